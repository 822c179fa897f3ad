"""Says for one file where its TLS functions can be hooked, or why they cannot.

Asks one module for each kind of TLS: `openssl`, `exported` (GnuTLS, NSS), `golang`, `stripped`,
`rustls`.
Must not attach anything and must not know processes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from agentsight_agent.bpf.kernel import TlsHook
from agentsight_agent.tls.elf import Elf, ElfError
from agentsight_agent.tls.exported import exported_hooks
from agentsight_agent.tls.golang import go_hooks, uses_go_tls
from agentsight_agent.tls.openssl import openssl_hooks
from agentsight_agent.tls.reasons import Reason
from agentsight_agent.tls.rustls import rustls_in
from agentsight_agent.tls.stripped import boringssl_in, openssl_in

# Libraries that carry TLS under another name than libssl, or another TLS than OpenSSL.
_SUSPECTS = re.compile(
    r"^libssl|gnutls|libnspr4|cygrpc|\.abi3\.so$|^_ssl\.|boringssl|rustls|^libjvm"
)
_JAVA = re.compile(r"^libjvm\.so")
# NSS does its input and output through NSPR, where it is hooked.
_NSS = re.compile(r"^libssl3\.so")
_OPENSSL = b"ssl/ssl_lib.c\0"


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a file the same file: a replaced or rewritten one differs."""

    device: int
    inode: int
    mtime_ns: int
    size: int


@dataclass(frozen=True, slots=True)
class TlsFile:
    """A file with TLS code that can be hooked."""

    path: str
    identity: Identity
    name: str
    hooks: tuple[TlsHook, ...]


@dataclass(frozen=True, slots=True)
class Unhookable:
    """A file with TLS code that cannot be hooked, and the reason."""

    path: str
    identity: Identity
    name: str
    reason: Reason


def identify(path: str) -> Identity:
    """Return the identity of the file at `path`; raises OSError when there is none."""
    status = os.stat(path)  # noqa: PTH116 - a Path object per mapped library is not free
    return Identity(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


def inspect(path: str, *, name: str = "", executable: bool = False) -> TlsFile | Unhookable | None:
    """Return what is known of the TLS code in the file at `path`; None when it has none.

    `name` is what its user calls it (default: the last part of `path`). An `executable` is also
    searched for traces of TLS code without symbols. Raises OSError when the file cannot be read.
    """
    name = name or path.rpartition("/")[2]
    identity = identify(path)
    suspect = executable or _SUSPECTS.search(name) is not None
    try:
        with Elf(path) as elf:
            found = find_hooks(elf) or (_search(elf, name) if suspect else None)
    except ElfError:
        found = Reason.NO_ELF if name.startswith("libssl") else None
    if isinstance(found, Reason):
        return Unhookable(path, identity, name, found)
    return TlsFile(path, identity, name, found) if found else None


def find_hooks(elf: Elf) -> tuple[TlsHook, ...]:
    """Return the hooks that see every plaintext byte of `elf` once, found by symbols."""
    return openssl_hooks(elf) or exported_hooks(elf)


def _search(elf: Elf, name: str) -> tuple[TlsHook, ...] | Reason | None:
    """Return the hooks of TLS code without symbols, or why there are none; None: no TLS code."""
    if _NSS.search(name):
        return None
    if _JAVA.search(name):
        return Reason.JAVA
    if uses_go_tls(elf):
        return go_hooks(elf)
    found = _several(openssl_in(elf) or boringssl_in(elf), rustls_in(elf))
    if found:
        return found
    if elf.first_of([_OPENSSL], b".rodata"):
        return Reason.OPENSSL
    return Reason.NO_FUNCTIONS if name.startswith("libssl") else None


def _several(
    one: tuple[TlsHook, ...] | Reason | None, other: tuple[TlsHook, ...] | Reason | None
) -> tuple[TlsHook, ...] | Reason | None:
    """Return the hooks of two kinds of TLS in one program; a reason if there are none."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return one + other
    return next((found for found in (one, other) if isinstance(found, tuple)), one or other)

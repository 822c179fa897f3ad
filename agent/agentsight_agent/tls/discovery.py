"""Says for one file where its TLS functions can be hooked, or why they cannot.

Asks one module for each kind of TLS: `openssl`, `exported` (GnuTLS, NSS), `golang`, `stripped`,
`rustls`.
Must not attach anything and must not know processes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from agentsight_agent.bpf.hooks import TlsHook
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
    """A file with TLS code that can be hooked; `unread`: why there is more that cannot be."""

    path: str
    identity: Identity
    name: str
    hooks: tuple[TlsHook, ...]
    unread: Reason | None = None


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
    hooks: tuple[TlsHook, ...] = ()
    reason = None
    try:
        with Elf(path) as elf:
            hooks = find_hooks(elf)
            if not hooks and suspect:
                hooks, reason = _search(elf, name)
    except ElfError:
        reason = Reason.NO_ELF if name.startswith("libssl") else None
    if hooks:
        return TlsFile(path, identity, name, hooks, reason)
    return Unhookable(path, identity, name, reason) if reason else None


def find_hooks(elf: Elf) -> tuple[TlsHook, ...]:
    """Return the hooks that see every plaintext byte of `elf` once, found by symbols."""
    return openssl_hooks(elf) or exported_hooks(elf)


def _search(elf: Elf, name: str) -> tuple[tuple[TlsHook, ...], Reason | None]:
    """Return the hooks of TLS code without symbols, and why not all of that is seen, if so."""
    if _NSS.search(name):
        return (), None
    if _JAVA.search(name):
        return (), Reason.JAVA
    if uses_go_tls(elf):
        return _parted(go_hooks(elf))
    hooks, reason = _parted(openssl_in(elf) or boringssl_in(elf))
    more, other = rustls_in(elf)
    hooks, reason = hooks + more, reason or other
    if not (hooks or reason) and elf.first_of([_OPENSSL], b".rodata"):
        reason = Reason.OPENSSL
    if not (hooks or reason) and name.startswith("libssl"):
        reason = Reason.NO_FUNCTIONS
    return hooks, reason


def _parted(
    found: tuple[TlsHook, ...] | Reason | None,
) -> tuple[tuple[TlsHook, ...], Reason | None]:
    return ((), found) if isinstance(found, Reason) else (found or (), None)

"""Says for one file where its TLS functions can be hooked, or why they cannot.

Covers OpenSSL 1.1.1 and 3.x, and whatever else defines SSL_read and SSL_write with their signature
(BoringSSL, LibreSSL, AWS-LC), as a shared library or linked into an executable with its symbols.
Must not attach anything and must not know processes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agentsight_agent.bpf.kernel import HookKind, TlsHook
from agentsight_agent.tls import emulated
from agentsight_agent.tls.elf import EM_X86_64, Elf, ElfError, Symbol
from agentsight_agent.tls.x86 import RDI, RDX, RSI

_PLAIN = {"SSL_read": HookKind.READ, "SSL_write": HookKind.WRITE}
_EX = {"SSL_read_ex": HookKind.READ_EX, "SSL_write_ex": HookKind.WRITE_EX}
_FREE = "SSL_free"
_NAMES = (*_PLAIN, *_EX, _FREE)

# Enough of a function to see all that it calls; the entries are 30 to 500 bytes long.
_CODE_BYTES = 4096

# Libraries that carry TLS under another name than libssl, or another TLS than OpenSSL.
_SUSPECTS = re.compile(r"^libssl|gnutls|libnspr4|cygrpc|_rust\.abi3|^_ssl\.|boringssl|rustls")
_BY_NAME = (
    (re.compile(r"gnutls"), "GnuTLS is not supported"),
    (re.compile(r"^libnspr4|^libssl3\.so"), "NSS is not supported"),
)
_BY_TEXT = {
    b"ssl_write_internal\0": "OpenSSL is linked in, but its symbols are stripped",
    b"ssl_lib.cc\0": "BoringSSL is linked in without symbols",
    b"rustls": "rustls has no function that can be hooked",
}


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
    reason: str


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
    try:
        with Elf(path) as elf:
            hooks = find_hooks(elf)
            if hooks:
                return TlsFile(path, identity, name, hooks)
            suspect = executable or _SUSPECTS.search(name)
            reason = _reason(elf, name) if suspect else None
    except ElfError as error:
        reason = str(error) if name.startswith("libssl") else None
    return Unhookable(path, identity, name, reason) if reason else None


def find_hooks(elf: Elf) -> tuple[TlsHook, ...]:
    """Return the hooks that see every plaintext byte of `elf` once; empty without SSL functions."""
    symbols = elf.functions(_NAMES)
    if not _PLAIN.keys() <= symbols.keys():
        return ()
    hooks: list[TlsHook] = []
    for plain, ex in zip(_PLAIN, _EX, strict=True):
        hooks.extend(_pair(elf, symbols, plain, ex))
    if _FREE in symbols:
        code = _code(elf, symbols[_FREE])
        inside = emulated.cheap_offset(code, frozenset({RDI}), returns=False)
        hooks.extend(_hook(elf, HookKind.FREE, symbols[_FREE].address + (inside or 0)))
    return tuple(hooks)


def _pair(elf: Elf, symbols: Mapping[str, Symbol], plain: str, ex: str) -> Iterator[TlsHook]:
    """Yield both entries where they are cheap, else the function they share, else both anyway."""
    kinds = {**_PLAIN, **_EX}
    names = [name for name in (plain, ex) if name in symbols]
    codes = {name: _code(elf, symbols[name]) for name in names}
    if ex in codes and symbols[plain].address in emulated.called(codes[ex], symbols[ex].address):
        names.remove(ex)  # LibreSSL, AWS-LC: SSL_read_ex calls SSL_read
    offsets = {name: _cheap_entry(codes[name], ex=name == ex) for name in names}
    if ex in names and None in offsets.values():
        inner = emulated.shared_internal(
            codes[ex], symbols[ex].address, codes[plain], symbols[plain].address
        )
        inside = None if inner is None else _cheap_entry(elf.code(inner, _CODE_BYTES), ex=True)
        if inner is not None and inside is not None:
            yield from _hook(elf, kinds[ex], inner + inside)
            return
    for name in names:
        yield from _hook(elf, kinds[name], symbols[name].address + (offsets[name] or 0))


def _cheap_entry(code: bytes, *, ex: bool) -> int | None:
    arguments = emulated.ARGUMENTS if ex else frozenset({RDI, RSI, RDX})
    return emulated.cheap_offset(code, arguments, returns=True)


def _code(elf: Elf, symbol: Symbol) -> bytes:
    """Return the code of a function; nothing on machines whose instructions are not decoded."""
    if elf.machine != EM_X86_64:
        return b""
    return elf.code(symbol.address, min(symbol.size or _CODE_BYTES, _CODE_BYTES))


def _hook(elf: Elf, kind: HookKind, address: int) -> Iterator[TlsHook]:
    offset = elf.file_offset(address)
    if offset is not None:
        yield TlsHook(kind, offset)


def _reason(elf: Elf, name: str) -> str | None:
    for pattern, reason in _BY_NAME:
        if pattern.search(name):
            return reason
    if elf.has_section(b".go.buildinfo"):
        # Function names are in .gopclntab, or since Go 1.26 in .rodata.
        names = [b"crypto/tls.(*Conn)"]
        go_tls = elf.first_of(names, b".gopclntab") or elf.first_of(names, b".rodata")
        return "Go's own TLS is not supported" if go_tls else None
    text = elf.first_of(list(_BY_TEXT), b".rodata")
    if text is not None:
        return _BY_TEXT[text]
    return "it does not define SSL_read and SSL_write" if name.startswith("libssl") else None

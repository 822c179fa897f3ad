"""Finds the doors of OpenSSL, and of what copies its interface, by their symbols.

Covers OpenSSL 1.1.1 and 3.x, and whatever else defines SSL_read and SSL_write with their signature
(BoringSSL, LibreSSL, AWS-LC). Must not search text: see `stripped` for files without symbols.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agentsight_agent.bpf.hooks import HookKind, TlsHook
from agentsight_agent.tls import emulated
from agentsight_agent.tls.elf import Elf, Symbol
from agentsight_agent.tls.x86 import R8, RDI, RDX, RSI

_PLAIN = {"SSL_read": HookKind.READ, "SSL_write": HookKind.WRITE}
_EX = {"SSL_read_ex": HookKind.READ_EX, "SSL_write_ex": HookKind.WRITE_EX}
# OpenSSL 3.3 and later
_EX2 = "SSL_write_ex2"
_FREE = "SSL_free"
_NAMES = (*_PLAIN, *_EX, _EX2, _FREE)


def openssl_hooks(elf: Elf) -> tuple[TlsHook, ...]:
    """Return the hooks that see every plaintext byte of `elf` once; empty without SSL functions."""
    symbols = elf.functions(_NAMES)
    if not _PLAIN.keys() <= symbols.keys():
        return ()
    hooks: list[TlsHook] = []
    for plain, ex in zip(_PLAIN, _EX, strict=True):
        hooks.extend(_pair(elf, symbols, plain, ex))
    if _EX2 in symbols:
        code = elf.function_code(symbols[_EX2])
        inside = emulated.cheap_offset(code, emulated.ARGUMENTS | {R8}, returns=True)
        hooks.extend(_hook(elf, HookKind.WRITE_EX2, symbols[_EX2].address + (inside or 0)))
    if _FREE in symbols:
        inside = emulated.cheap_offset(
            elf.function_code(symbols[_FREE]), frozenset({RDI}), returns=False
        )
        hooks.extend(_hook(elf, HookKind.FREE, symbols[_FREE].address + (inside or 0)))
    return tuple(hooks)


def _pair(elf: Elf, symbols: Mapping[str, Symbol], plain: str, ex: str) -> Iterator[TlsHook]:
    """Yield both entries where they are cheap, else the function they share, else both anyway."""
    kinds = {**_PLAIN, **_EX}
    names = [name for name in (plain, ex) if name in symbols]
    codes = {name: elf.function_code(symbols[name]) for name in names}
    if ex in codes and symbols[plain].address in emulated.called(codes[ex], symbols[ex].address):
        names.remove(ex)  # LibreSSL, AWS-LC: SSL_read_ex calls SSL_read
    offsets = {name: _cheap_entry(codes[name], ex=name == ex) for name in names}
    if ex in names and None in offsets.values():
        inner = emulated.shared_internal(
            codes[ex], symbols[ex].address, codes[plain], symbols[plain].address
        )
        inside = (
            None if inner is None else _cheap_entry(elf.function_code(Symbol(inner, 0)), ex=True)
        )
        if inner is not None and inside is not None:
            yield from _hook(elf, kinds[ex], inner + inside)
            return
    for name in names:
        yield from _hook(elf, kinds[name], symbols[name].address + (offsets[name] or 0))


def _cheap_entry(code: bytes, *, ex: bool) -> int | None:
    """Return where in the function `code` entry and return are cheap to hook; None: nowhere."""
    arguments = emulated.ARGUMENTS if ex else frozenset({RDI, RSI, RDX})
    return emulated.cheap_offset(code, arguments, returns=True)


def _hook(elf: Elf, kind: HookKind, address: int) -> Iterator[TlsHook]:
    offset = elf.file_offset(address)
    if offset is not None:
        yield TlsHook(kind, offset)

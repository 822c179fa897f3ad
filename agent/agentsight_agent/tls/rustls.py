"""Finds where a program with rustls seals and opens TLS records: in the C functions of AWS-LC.

The functions of rustls itself are inlined and their calling convention is not fixed. AWS-LC, its
default below, is C: its AEAD functions are found by the errors that they raise, with symbols or
without. Taken only if each of them is unique and begins as a function does. Must not attach
anything.

Sources: AWS-LC crypto/fipsmodule/cipher/aead.c, include/openssl/cipher.h (CIPHER_R_*); rustls
src/crypto/aws_lc_rs/tls12.rs and tls13.rs; aws-lc-rs src/aead/unbound_key.rs.
"""

from __future__ import annotations

import re

from agentsight_agent.bpf.hooks import HookKind, TlsHook
from agentsight_agent.tls import emulated
from agentsight_agent.tls.elf import EM_X86_64, Elf, Symbol
from agentsight_agent.tls.raised import errors_raised
from agentsight_agent.tls.reasons import Reason
from agentsight_agent.tls.references import texts
from agentsight_agent.tls.x86 import R8, R9

_RUSTLS = b"rustls"
# Paths of its sources, in the messages of its panics.
_ABOVE_AWS_LC, _ABOVE_RING = b"/src/crypto/aws_lc_rs/tls13.rs", b"/src/crypto/ring/tls13.rs"
_AEAD = b"/fipsmodule/cipher/aead.c"
_BAD_DECRYPT, _TOO_SMALL, _INVALID, _ALIASES, _TOO_LARGE = 101, 103, 112, 115, 117
_KNOWN = frozenset({_BAD_DECRYPT, _TOO_SMALL, _INVALID, _ALIASES, _TOO_LARGE})
_RAISED_BY = {
    HookKind.AEAD_SEAL: {_TOO_LARGE, _TOO_SMALL, _ALIASES},
    HookKind.AEAD_SEAL_SCATTER: {_ALIASES, _INVALID},
    HookKind.AEAD_OPEN: {_ALIASES, _BAD_DECRYPT, _TOO_SMALL},
}
_ARGUMENTS = emulated.ARGUMENTS | {R8, R9}
# endbr64; push; sub n, %rsp. The parts that compilers put elsewhere, errors above all, do not.
_BEGINNINGS = re.compile(rb"\xf3\x0f\x1e\xfa|\x41?[\x50-\x57]|\x48[\x81\x83]\xec")


def rustls_in(elf: Elf) -> tuple[tuple[TlsHook, ...], Reason | None]:
    """Return the hooks of rustls above AWS-LC, and why not all of rustls is seen, if that is so."""
    if not elf.first_of([_RUSTLS], b".rodata"):
        return (), None
    hooks: tuple[TlsHook, ...] = ()
    if elf.machine == EM_X86_64 and elf.first_of([_ABOVE_AWS_LC], b".rodata"):
        hooks = _aead_hooks(elf)
    if not hooks:
        return (), Reason.RUSTLS
    return hooks, Reason.RUSTLS_RING if elf.first_of([_ABOVE_RING], b".rodata") else None


def _aead_hooks(elf: Elf) -> tuple[TlsHook, ...]:
    raised = errors_raised(elf, texts(elf, _AEAD))
    hooks = []
    for kind, reasons in _RAISED_BY.items():
        starts = [start for start, one in raised.items() if one.reasons & _KNOWN == reasons]
        offset = _hooked(elf, starts[0]) if len(starts) == 1 else None
        if offset is None:
            return ()
        hooks.append(TlsHook(kind, offset))
    return tuple(hooks)


def _hooked(elf: Elf, function: int) -> int | None:
    """Return the file offset at which to hook; None if no function begins there."""
    code = elf.function_code(Symbol(function, 0))
    if not _BEGINNINGS.match(code):
        return None
    inside = emulated.cheap_offset(code, _ARGUMENTS, returns=True)
    return elf.file_offset(function + (inside or 0))

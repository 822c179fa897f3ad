"""Finds the doors of OpenSSL 3 and BoringSSL in programs without symbols, by their error messages.

Both say in an error where it was raised: OpenSSL the function's name, BoringSSL the file and a
number for the reason. The instruction that loads that text lies in the function. What is found is
taken only if it is unique. Must not attach anything.

Sources: OpenSSL include/openssl/err.h (ERR_raise), ssl/ssl_lib.c; BoringSSL
include/openssl/ssl.h (SSL_R_*), ssl/ssl_lib.cc.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from agentsight_agent.bpf.hooks import HookKind, TlsHook
from agentsight_agent.tls import emulated
from agentsight_agent.tls.elf import EM_X86_64, Elf, Symbol
from agentsight_agent.tls.raised import Raised, errors_raised
from agentsight_agent.tls.reasons import Reason
from agentsight_agent.tls.references import callers, function_starts, names, references, texts
from agentsight_agent.tls.x86 import R8

_READ, _WRITE = "ssl_read_internal", "ssl_write_internal"
_BEFORE_CALL = 24
# mov %rsp, %rcx or lea n(%rsp), %rcx or lea n(%rbp), %rcx; the same for %r8
_POINTS_FOURTH = re.compile(rb"\x48(?:\x89\xe1|\x8d(?:\x4c\x24|\x4d|\x8d|\x8c\x24))")
_POINTS_FIFTH = re.compile(rb"\x49\x89\xe0|\x4c\x8d(?:\x44\x24|\x45|\x85|\x84\x24)")
_BORINGSSL = b"ssl_lib.cc"
# Of SSL_write: should not have been called, protocol is shut down, uninitialized, bad length.
_WRITE_REASONS = frozenset({66, 226, 215, 111})
_READ_REASONS = frozenset({66})
# SSL_read and SSL_peek stand right before SSL_write in ssl_lib.cc.
_MAX_LINES_BEFORE = 60


def openssl_in(elf: Elf) -> tuple[TlsHook, ...] | Reason | None:
    """Return the hooks of an OpenSSL 3 without symbols, or why not; None if there is none."""
    targets = {address: name for name in (_READ, _WRITE) for address in names(elf, name)}
    if len(set(targets.values())) != 2 or elf.machine != EM_X86_64:
        return None
    found = references(elf, list(targets))
    starts = function_starts(elf, [reference.address for reference in found])
    functions: dict[str, set[int]] = defaultdict(set)
    for reference in found:
        if reference.address in starts:
            functions[targets[reference.target]].add(starts[reference.address])
    if any(len(functions[name]) != 1 for name in (_READ, _WRITE)):
        return Reason.OPENSSL
    read, write = functions[_READ].pop(), functions[_WRITE].pop()
    kind = _kind_of_write(elf, write)
    return _hooks(elf, {HookKind.READ_EX: read, kind: write}) if kind else Reason.OPENSSL


def boringssl_in(elf: Elf) -> tuple[TlsHook, ...] | Reason | None:
    """Return the hooks of a BoringSSL without symbols, or why not; None if there is none."""
    targets = texts(elf, _BORINGSSL)
    if not targets or elf.machine != EM_X86_64:
        return None
    raised = errors_raised(elf, targets)
    writes = [start for start, one in raised.items() if one.reasons >= _WRITE_REASONS]
    reads = _reads(raised, writes[0]) if len(writes) == 1 else []
    if not reads:
        return Reason.BORINGSSL
    hooks = _hooks(elf, {HookKind.WRITE: writes[0]})
    for read in reads:
        hooks += _hooks(elf, {HookKind.READ: read})
    return hooks


def _kind_of_write(elf: Elf, function: int) -> HookKind | None:
    """Return which argument of ssl_write_internal points to the length, as its callers show.

    It is the fourth, from OpenSSL 3.2 on the fifth, behind `flags`; callers point to a local.
    """
    before = [elf.code(at - _BEFORE_CALL, _BEFORE_CALL) for at in callers(elf, function)]
    fourth = any(_POINTS_FOURTH.search(code) for code in before)
    fifth = any(_POINTS_FIFTH.search(code) for code in before)
    if fourth == fifth:
        return None
    return HookKind.WRITE_EX if fourth else HookKind.WRITE_EX2


def _reads(raised: Mapping[int, Raised], write: int) -> list[int]:
    """Return SSL_peek, which SSL_read calls, or both where it is part of SSL_read."""
    first = min(raised[write].lines, default=0)
    return [
        start
        for start, one in raised.items()
        if one.count == 1
        and one.reasons == _READ_REASONS
        and any(0 < first - line < _MAX_LINES_BEFORE for line in one.lines)
    ]


def _hooks(elf: Elf, functions: Mapping[HookKind, int]) -> tuple[TlsHook, ...]:
    hooks = []
    for kind, address in functions.items():
        code = elf.function_code(Symbol(address, 0))
        inside = emulated.cheap_offset(code, emulated.ARGUMENTS | {R8}, returns=True)
        offset = elf.file_offset(address + (inside or 0))
        if offset is None:
            return ()  # the file contradicts itself
        hooks.append(TlsHook(kind, offset))
    return tuple(hooks)

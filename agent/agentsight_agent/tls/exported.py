"""Finds the doors of GnuTLS and NSS, which have stable exported functions.

What they do not see: `gnutls_record_recv_packet`, whose caller gets no buffer of its own, and
PR_Writev, PR_TransmitFile and PR_SendFile of NSPR.

Sources: GnuTLS manual, "Core TLS API"; NSPR API reference, "I/O functions". NSPR's functions also
serve files without TLS: the kernel side takes only descriptors with a layer, which SSL_ImportFD
makes. The functions named here call each other in the same direction only, so that the outermost
call counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentsight_agent.bpf.hooks import HookKind, TlsHook
from agentsight_agent.tls import emulated
from agentsight_agent.tls.elf import Elf
from agentsight_agent.tls.x86 import RCX, RDI, RDX, RSI

_GNUTLS = {
    "gnutls_record_recv": HookKind.READ_LONG,
    "gnutls_record_recv_early_data": HookKind.READ_LONG,
    "gnutls_record_recv_seq": HookKind.READ_LONG,
    "gnutls_record_send": HookKind.WRITE_LONG,
    "gnutls_record_send2": HookKind.WRITE_LONG,
    "gnutls_record_send_early_data": HookKind.WRITE_LONG,
    "gnutls_record_send_range": HookKind.WRITE_LONG,
    "gnutls_deinit": HookKind.FREE,
}
_NSPR = {
    "PR_Read": HookKind.READ_LAYERED,
    "PR_Recv": HookKind.RECEIVE_LAYERED,
    "PR_Write": HookKind.WRITE_LAYERED,
    "PR_Send": HookKind.WRITE_LAYERED,
    "PR_Close": HookKind.FREE,
}
# Without these the file is another library.
_NEEDED = ({"gnutls_record_recv", "gnutls_record_send"}, {"PR_Read", "PR_Write"})
_ARGUMENTS = frozenset({RDI, RSI, RDX, RCX})


def exported_hooks(elf: Elf) -> tuple[TlsHook, ...]:
    """Return the hooks of GnuTLS or NSPR in `elf`; empty if it is neither."""
    for kinds, needed in zip((_GNUTLS, _NSPR), _NEEDED, strict=True):
        hooks = _hooks(elf, kinds, needed)
        if hooks:
            return hooks
    return ()


def _hooks(elf: Elf, kinds: Mapping[str, HookKind], needed: set[str]) -> tuple[TlsHook, ...]:
    symbols = elf.functions(kinds)
    if not needed <= symbols.keys():
        return ()
    hooks = {}
    for name, symbol in symbols.items():
        inside = emulated.cheap_offset(elf.function_code(symbol), _ARGUMENTS, returns=True)
        offset = elf.file_offset(symbol.address + (inside or 0))
        if offset is not None:
            hooks[offset] = TlsHook(kinds[name], offset)  # two names may be one function
    return tuple(hooks.values())

"""Attaches programs to file offsets: by one uprobe_multi link, or by perf events without it.

Must not choose offsets. Detaching 40 perf-event uprobes took 4.9 s, one link of 40 took 27 ms
(kernel 6.18), hence the preference.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Sequence

from agentsight_agent.bpf.libbpf import UprobeOptions, library
from agentsight_agent.bpf.objects import ProbeError, advice

# enum bpf_attach_type
BPF_TRACE_UPROBE_MULTI = 48
# bpf(2), by `uname -m`.
_SYS_BPF = {"x86_64": 321, "aarch64": 280}
_BPF_LINK_CREATE = 28
_BPF_F_UPROBE_MULTI_RETURN = 1

# (file offset, attach cookie)
Place = tuple[int, int]


def has_uprobe_multi() -> bool:
    """Tell if the running kernel (6.6 or later) has uprobe_multi links."""
    btf = library().btf__load_vmlinux_btf()
    if not btf:
        return False
    try:
        return int(library().btf__find_by_name(btf, b"bpf_uprobe_multi_link")) > 0
    finally:
        library().btf__free(btf)


class MultiLink:
    """One program at many offsets of one file, as one link."""

    def __init__(
        self, program_fd: int, path: str, places: Sequence[Place], *, at_return: bool
    ) -> None:
        count = len(places)
        path_buffer = ctypes.create_string_buffer(os.fsencode(path))
        offsets = (ctypes.c_uint64 * count)(*(offset for offset, _ in places))
        cookies = (ctypes.c_uint64 * count)(*(cookie for _, cookie in places))
        # union bpf_attr, link_create.uprobe_multi (include/uapi/linux/bpf.h)
        attributes = struct.pack(
            "<IIIIQQQQIIII",
            program_fd,
            0,
            BPF_TRACE_UPROBE_MULTI,
            0,
            ctypes.addressof(path_buffer),
            ctypes.addressof(offsets),
            0,
            ctypes.addressof(cookies),
            count,
            _BPF_F_UPROBE_MULTI_RETURN if at_return else 0,
            0,
            0,
        )
        self._fd = _bpf(_BPF_LINK_CREATE, attributes, path)

    def close(self) -> None:
        """Detach."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class PerfLinks:
    """One program at many offsets of one file, as one perf event each."""

    def __init__(
        self, program: int, path: str, places: Sequence[Place], *, at_return: bool
    ) -> None:
        self._links: list[int] = []
        for offset, cookie in places:
            options = UprobeOptions(
                sz=ctypes.sizeof(UprobeOptions), bpf_cookie=cookie, retprobe=at_return
            )
            link = library().bpf_program__attach_uprobe_opts(
                program, -1, os.fsencode(path), offset, ctypes.byref(options)
            )
            if not link:
                code = ctypes.get_errno()
                self.close()
                raise _refused(path, code)
            self._links.append(link)

    def close(self) -> None:
        """Detach."""
        for link in self._links:
            library().bpf_link__destroy(link)
        self._links.clear()


def _bpf(command: int, attributes: bytes, path: str) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    system_call = ctypes.CDLL(None, use_errno=True).syscall
    result = system_call(
        ctypes.c_long(_SYS_BPF[platform.machine()]),
        ctypes.c_long(command),
        buffer,
        ctypes.c_long(len(attributes)),
    )
    if result < 0:
        raise _refused(path, ctypes.get_errno())
    return int(result)


def _refused(path: str, code: int) -> ProbeError:
    reason = os.strerror(code)
    if code == errno.ENOENT:
        return ProbeError(f"cannot hook {path}: {reason}")
    if code in {errno.EINVAL, errno.EOPNOTSUPP, errno.EILSEQ}:
        return ProbeError(
            f"cannot hook {path}: {reason}. An offset is outside of the code of the file, or on an "
            "instruction that the kernel does not probe."
        )
    return ProbeError(f"cannot hook {path}: {reason}. {advice(code)}")

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
from pathlib import Path

from agentsight_agent.bpf.objects import ProbeError, advice

# enum bpf_attach_type
BPF_TRACE_UPROBE_MULTI = 48
# bpf(2), by `uname -m`.
_SYS_BPF = {"x86_64": 321, "aarch64": 280}
# Opens events, likewise.
_SYS_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_PERF_FLAG_FD_CLOEXEC = 8
_PERF_ATTR_BYTES = 72
_BPF_PERF_EVENT = 41
_BPF_LINK_CREATE = 28
_BPF_F_UPROBE_MULTI_RETURN = 1

# (file offset, attach cookie)
Place = tuple[int, int]


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
        self, program_fd: int, path: str, places: Sequence[Place], *, at_return: bool
    ) -> None:
        self._fds: list[int] = []
        try:
            for offset, cookie in places:
                event = _uprobe_event(path, offset, at_return)
                self._fds.append(event)
                # union bpf_attr, link_create.perf_event
                attributes = struct.pack("<IIIIQ", program_fd, event, _BPF_PERF_EVENT, 0, cookie)
                self._fds.append(_bpf(_BPF_LINK_CREATE, attributes, path))
        except ProbeError:
            self.close()
            raise

    def close(self) -> None:
        """Detach."""
        for fd in reversed(self._fds):
            os.close(fd)
        self._fds.clear()


def _uprobe_event(path: str, offset: int, at_return: bool) -> int:
    """Open the perf event of all processes that run `offset` of the file."""
    source = Path("/sys/bus/event_source/devices/uprobe")
    return_bit = int((source / "format/retprobe").read_text().rpartition(":")[2])
    path_buffer = ctypes.create_string_buffer(os.fsencode(path))
    # struct perf_event_attr (include/uapi/linux/perf_event.h) up to config2: type, size, config,
    # five fields that stay 0, bp_type, uprobe_path, probe_offset
    attributes = struct.pack(
        "<IIQQQQQIIQQ",
        int((source / "type").read_text()),
        _PERF_ATTR_BYTES,
        at_return << return_bit,
        *(0, 0, 0, 0, 0, 0),
        ctypes.addressof(path_buffer),
        offset,
    )
    # pid -1 and CPU 0: every process; on which CPU makes no difference to a uprobe
    return _system_call(_SYS_PERF_EVENT_OPEN, path, attributes, -1, 0, -1, _PERF_FLAG_FD_CLOEXEC)


def _bpf(command: int, attributes: bytes, path: str) -> int:
    return _system_call(_SYS_BPF, path, command, attributes, len(attributes))


def _system_call(numbers: dict[str, int], path: str, *arguments: int | bytes) -> int:
    system_call = ctypes.CDLL(None, use_errno=True).syscall
    passed = [
        ctypes.create_string_buffer(argument, len(argument))
        if isinstance(argument, bytes)
        else ctypes.c_long(argument)
        for argument in arguments
    ]
    result = system_call(ctypes.c_long(numbers[platform.machine()]), *passed)
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

"""What the kernel side counted: per class, summed over the CPUs."""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass, field, fields

from agentsight_agent.bpf.libbpf import library
from agentsight_agent.bpf.objects import BpfObject, ProbeError

# enum record_class
CLASSES = ("tls", "process", "file", "net", "stdio")
_INFO_BYTES = 256
# struct bpf_prog_info.recursion_misses (include/uapi/linux/bpf.h, since 5.12)
_RECURSION_MISSES_OFFSET = 208


@dataclass(frozen=True, slots=True)
class ClassCounters:
    """One class of records; the fields are struct class_counters of bpf/lib/record.h, in its order.

    Bytes are payload bytes: plaintext, argument lists, paths.
    """

    submitted: int = 0
    submitted_bytes: int = 0
    # Records that found the ring full.
    ring_full: int = 0
    ring_full_bytes: int = 0
    # Records given up because memory of the process could not be read.
    read_faults: int = 0
    read_fault_bytes: int = 0
    # Calls, argument lists, paths of which only the beginning was taken.
    truncated: int = 0
    truncated_bytes: int = 0
    # Processes, connections, files or sockets that found their map full.
    map_full: int = 0
    # Calls whose payload was seen not to be wanted before it was taken.
    filtered: int = 0
    filtered_bytes: int = 0

    @property
    def dropped(self) -> dict[str, int]:
        """Records that are not in any batch, by reason."""
        return {"ring_full": self.ring_full, "read_fault": self.read_faults}


@dataclass(frozen=True, slots=True)
class KernelCounters:
    """Totals since load."""

    tls: ClassCounters = field(default_factory=ClassCounters)
    process: ClassCounters = field(default_factory=ClassCounters)
    file: ClassCounters = field(default_factory=ClassCounters)
    net: ClassCounters = field(default_factory=ClassCounters)
    stdio: ClassCounters = field(default_factory=ClassCounters)
    # Runs that the kernel left out because the same program was running on that CPU already.
    missed_runs: int = 0

    def by_class(self) -> dict[str, ClassCounters]:
        """Return the counters of each class under its name."""
        return {name: getattr(self, name) for name in CLASSES}

    @property
    def submitted(self) -> int:
        """Records of all classes that went into the ring."""
        return sum(one.submitted for one in self.by_class().values())

    @property
    def lost_records(self) -> int:
        """Records of all classes that did not go into the ring."""
        return sum(sum(one.dropped.values()) for one in self.by_class().values())


_MAP_FULL = [field.name for field in fields(ClassCounters)].index("map_full")
_COUNTERS = struct.Struct(f"<{len(fields(ClassCounters))}Q")


def read_counters(loaded: BpfObject, untrackable: int) -> KernelCounters:
    """Sum up the counters map; `untrackable` processes found no room when user space added them."""
    totals = [_class_total(loaded, index) for index in range(len(CLASSES))]
    totals[CLASSES.index("process")][_MAP_FULL] += untrackable
    tls, process, file, net, stdio = (ClassCounters(*total) for total in totals)
    missed = sum(_missed_runs(fd) for fd in loaded.program_fds())
    return KernelCounters(tls, process, file, net, stdio, missed)


def _class_total(loaded: BpfObject, index: int) -> list[int]:
    cpus = library().libbpf_num_possible_cpus()
    value = loaded.map("counters").lookup(index.to_bytes(4, "little"), cpus * _COUNTERS.size)
    if value is None:
        raise ProbeError("the counters map has no such class: build the programs anew")
    return [sum(column) for column in zip(*_COUNTERS.iter_unpack(value), strict=True)]


def _missed_runs(program_fd: int) -> int:
    info = ctypes.create_string_buffer(_INFO_BYTES)
    size = ctypes.c_uint32(_INFO_BYTES)
    status = library().bpf_obj_get_info_by_fd(program_fd, info, ctypes.byref(size))
    if status < 0:
        raise ProbeError(f"cannot ask the kernel about a program: {os.strerror(-status)}")
    return int.from_bytes(
        info.raw[_RECURSION_MISSES_OFFSET : _RECURSION_MISSES_OFFSET + 8], "little"
    )

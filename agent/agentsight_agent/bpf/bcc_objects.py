"""The programs built by BCC and loaded, with the interface of a compiled object.

Maps, their sizes and the tracepoints of programs are those of the compiled object, which needs no
BTF to be looked at. Must not know what the programs do.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from agentsight_agent.bpf.bcc import (
    INSTRUCTION_BYTES,
    check_release,
    compile_programs,
    find_headers,
    with_descriptors,
)
from agentsight_agent.bpf.libbpf import MapOptions, ProgramOptions, take_warnings
from agentsight_agent.bpf.objects import BpfObject, Map, ProbeError

# enum bpf_map_type
_ARRAY, _LRU_HASH = 2, 9
_STORAGE_OF_SOCKETS_AND_TASKS = {24, 29}
_STORED = 65536
# enum bpf_prog_type
_KPROBE, _RAW_TRACEPOINT = 2, 17
_LICENSE = b"Dual BSD/GPL"
_NAME_BYTES = 15  # BPF_OBJ_NAME_LEN without the ending zero
_LOG_BYTES = 1 << 20
_SAID_LINES = 20
# Variables of include/bcc.h alone.
_OWN_MAPS = (".bss.zeros", ".bss.scratch")
_OWN_BYTES = 1024
# What the compiled object has in one program is too much for BCC's.
_COMPANIONS = {
    "file_call_ended": ("stdio_call_companion", "use_call_companion", "change_call_companion"),
    "socket_sent": ("plain_sent_companion", "datagram_sent_companion"),
    "socket_received": ("plain_received_companion", "datagram_received_companion"),
}


class BccObject(BpfObject):
    """As BpfObject; raises ProbeError also without headers, BCC, or if it does not compile."""

    #: Of one call of a read or write function; its loops have bounds.
    max_payload_bytes = 1 << 20
    unseen = (
        "connections that others open to agents",
        "more than 1 MiB of a TLS call, more than 256 KiB of a call on a plain socket or a pipe",
        "sums of files and UDP flows above descriptor 63 that a process leaves open at its end",
    )

    def __init__(self, path: Path, headers: Path | None, layout: Path | None) -> None:
        super().__init__(path)
        self._headers = find_headers(headers)
        self._layout = layout
        if not layout:
            check_release(self._headers)
        self._map_fds: dict[str, int] = {}
        self._program_fds: dict[str, int] = {}
        # By the program that was attached: one descriptor for it and each of its companions.
        self._tracepoints: dict[int, list[int]] = {}

    def has_uprobe_multi(self) -> bool:
        """Tell that there is none: only BTF would tell."""
        return False

    def missing_tracepoints(self, names: Iterable[str]) -> set[str]:
        """Return those of `names` that the running kernel does not have."""
        symbols = Path("/proc/kallsyms").read_text(encoding="ascii")
        return {name for name in names if f" __traceiter_{name}\n" not in symbols}

    def load(self) -> None:
        """Make the maps, compile, let the kernel verify the programs."""
        for pointer in self._maps():
            self._create(pointer)
        for name in _OWN_MAPS:
            self._map_fds[name] = self._new_map(name, _ARRAY, 4, _OWN_BYTES, 1, 0)
        compiled = compile_programs(self._headers, tuple(self._map_fds), self._layout)
        descriptors = list(self._map_fds.values())
        for name, instructions in compiled.items():
            if self._is_wanted(name):
                linked = with_descriptors(instructions, descriptors)
                self._program_fds[name] = self._load_program(name, linked)

    def map(self, name: str) -> Map:
        """Return a map."""
        return Map(name, self._map_fds[name])

    def program_fd(self, name: str) -> int:
        """Return the file descriptor of a loaded program."""
        return self._program_fds[name]

    def program_fds(self) -> list[int]:
        """Return the descriptors of all loaded programs."""
        return list(self._program_fds.values())

    def attach(self, program: str) -> int:
        """Attach to the tracepoint of the program's section; return the link for `detach`."""
        section = self._library.bpf_program__section_name(self._program(program)).decode()
        tracepoint = section.rpartition("/")[2]
        descriptors: list[int] = []
        for name in (program, *_COMPANIONS.get(program, ())):
            fd = self._library.bpf_raw_tracepoint_open(tracepoint.encode(), self.program_fd(name))
            if fd < 0:
                self._close(descriptors)
                raise self._problem(f"cannot attach {name} to {tracepoint}", -fd)
            descriptors.append(fd)
        self._tracepoints[descriptors[0]] = descriptors
        return descriptors[0]

    def detach(self, link: int) -> None:
        """Undo an `attach`."""
        self._close(self._tracepoints.pop(link))

    def close(self) -> None:
        """Detach everything and let go of programs and maps."""
        for descriptors in self._tracepoints.values():
            self._close(descriptors)
        self._close([*self._program_fds.values(), *self._map_fds.values()])
        self._tracepoints.clear()
        self._program_fds.clear()
        self._map_fds.clear()
        super().close()

    @staticmethod
    def _close(descriptors: Iterable[int]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    def _maps(self) -> Iterator[int]:
        pointer = self._library.bpf_object__next_map(self._object, None)
        while pointer:
            yield pointer
            pointer = self._library.bpf_object__next_map(self._object, pointer)

    def _create(self, pointer: int) -> None:
        library = self._library
        name = library.bpf_map__name(pointer).decode()
        kind = library.bpf_map__type(pointer)
        key_bytes = library.bpf_map__key_size(pointer)
        value_bytes = library.bpf_map__value_size(pointer)
        entries = library.bpf_map__max_entries(pointer)
        flags = library.bpf_map__map_flags(pointer)
        if kind in _STORAGE_OF_SOCKETS_AND_TASKS:
            # Needs typed arguments: here by the address of the socket, the number of the thread.
            kind, key_bytes, entries, flags = _LRU_HASH, 8, _STORED, 0
        data = self._initial_value(pointer)
        if data is None:
            self._map_fds[name] = self._new_map(name, kind, key_bytes, value_bytes, entries, flags)
        elif name.startswith("."):
            # A data section whose variables have a name of their own in include/bcc.h.
            self._map_fds[name] = self._new_map(name, _ARRAY, 4, len(data), 1, 0)
            self.map(name).update(bytes(4), data)

    def _initial_value(self, pointer: int) -> bytes | None:
        size = ctypes.c_size_t()
        at = self._library.bpf_map__initial_value(pointer, ctypes.byref(size))
        return ctypes.string_at(at, size.value) if at else None

    def _new_map(
        self, name: str, kind: int, key_bytes: int, value_bytes: int, entries: int, flags: int
    ) -> int:
        options = MapOptions(sz=ctypes.sizeof(MapOptions), map_flags=flags)
        shortened = name.rpartition(".")[2].encode()[:_NAME_BYTES]
        fd = self._library.bpf_map_create(
            kind, shortened, key_bytes, value_bytes, entries, ctypes.byref(options)
        )
        if fd < 0:
            raise self._problem(f"cannot make map {name}", -fd)
        return int(fd)

    def _is_wanted(self, program: str) -> bool:
        if any(program in companions for companions in _COMPANIONS.values()):
            return True
        return bool(self._library.bpf_program__autoload(self._program(program)))

    def _load_program(self, name: str, instructions: bytes) -> int:
        section = self._library.bpf_object__find_program_by_name(self._object, name.encode())
        is_uprobe = section and b"probe" in self._library.bpf_program__section_name(section)
        take_warnings()
        log = ctypes.create_string_buffer(_LOG_BYTES)
        for level in (0, 1):
            # The second time for what the verifier says: its log costs, and may not fit.
            options = ProgramOptions(
                sz=ctypes.sizeof(ProgramOptions),
                log_level=level,
                log_size=_LOG_BYTES if level else 0,
                log_buf=ctypes.addressof(log) if level else None,
            )
            fd = self._library.bpf_prog_load(
                _KPROBE if is_uprobe else _RAW_TRACEPOINT,
                name.encode()[:_NAME_BYTES],
                _LICENSE,
                instructions,
                len(instructions) // INSTRUCTION_BYTES,
                ctypes.byref(options),
            )
            if fd >= 0:
                return int(fd)
        said = log.value.decode(errors="replace").splitlines()[-_SAID_LINES:]
        problem = self._problem(f"the kernel did not take {name}", -fd)
        raise ProbeError("\n  ".join([str(problem), *said]))

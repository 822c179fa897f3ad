"""A compiled BPF object through libbpf, by ctypes: open, configure, load, attach, use its maps.

Must not know what the programs do. Needs libbpf.so.1 (1.0 or later), nothing else on the node.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from agentsight_core.errors import AgentSightError

from agentsight_agent.bpf.libbpf import LibraryError, library, take_warnings

_BPF_TRACE_RAW_TP = 23
# BPF_NOEXIST
_NOEXIST = 1


class ProbeError(AgentSightError):
    """The kernel side cannot do what it must; the message says why and what to do."""


def compiled_for(machine: str) -> Path:
    """Return the object for a machine as `uname -m` names it; raises ProbeError without one."""
    folder = Path(__file__).parent
    path = folder / f"agentsight.{machine}.bpf.o"
    if not path.exists():
        there = sorted(file.name.split(".")[1] for file in folder.glob("agentsight.*.bpf.o"))
        raise ProbeError(
            f"no BPF programs for {machine}, only for: {', '.join(there) or 'none'}"
            " (scripts/build_bpf.sh compiles them)"
        )
    return path


class Map:
    """One map of a loaded object; keys and values are raw bytes."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd

    def update(self, key: bytes, value: bytes) -> bool:
        """Set an entry; False if the map is full."""
        status = library().bpf_map_update_elem(self.fd, key, value, 0)
        if status == -errno.E2BIG:
            return False
        self._check(status, "update")
        return True

    def add(self, key: bytes, value: bytes) -> bool:
        """Set an entry that is not there; False if it is, or if the map is full."""
        status = library().bpf_map_update_elem(self.fd, key, value, _NOEXIST)
        if status in {-errno.EEXIST, -errno.E2BIG}:
            return False
        self._check(status, "update")
        return True

    def lookup(self, key: bytes, value_bytes: int) -> bytes | None:
        """Return the value, which must have `value_bytes` bytes; None if there is none."""
        value = ctypes.create_string_buffer(value_bytes)
        status = library().bpf_map_lookup_elem(self.fd, key, value)
        if status == -errno.ENOENT:
            return None
        self._check(status, "read")
        return value.raw

    def delete(self, key: bytes) -> bool:
        """Remove an entry; False if there was none."""
        status = library().bpf_map_delete_elem(self.fd, key)
        if status == -errno.ENOENT:
            return False
        self._check(status, "delete from")
        return True

    def _check(self, status: int, verb: str) -> None:
        if status < 0:
            raise ProbeError(f"cannot {verb} map {self.name}: {os.strerror(-status)}")


class BpfObject:
    """A compiled object, from open to close. Closing detaches what was attached by `attach`."""

    #: Of one call of a read or write function: as much as the programs can take.
    max_payload_bytes = 16 << 20
    #: What programs that are loaded like this do not see, for people.
    unseen: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self._links: list[int] = []
        try:
            self._library = library()
        except LibraryError as error:
            raise ProbeError(str(error)) from error
        if not path.exists():
            raise ProbeError(f"{path} is missing: build it with scripts/build_bpf.sh")
        take_warnings()
        self._object = self._library.bpf_object__open_file(str(path).encode(), None)
        if not self._object:
            raise self._problem(f"cannot open {path}", ctypes.get_errno())

    def set_max_entries(self, map_name: str, count: int) -> None:
        """Set the size of a map before `load`."""
        status = self._library.bpf_map__set_max_entries(self._map(map_name), count)
        if status:
            raise self._problem(f"cannot size map {map_name}", -status)

    def set_initial_value(self, map_name: str, value: bytes) -> None:
        """Set the whole value of a data section (".rodata.x") before `load`."""
        status = self._library.bpf_map__set_initial_value(self._map(map_name), value, len(value))
        if status:
            raise self._problem(f"cannot set {map_name} to {len(value)} bytes", -status)

    def leave_out(self, program: str) -> None:
        """Do not load `program`."""
        self._library.bpf_program__set_autoload(self._program(program), False)

    def expect_attach_type(self, program: str, attach_type: int) -> None:
        """Declare before `load` how `program` will be attached (enum bpf_attach_type)."""
        self._library.bpf_program__set_expected_attach_type(self._program(program), attach_type)

    def load(self) -> None:
        """Let the kernel verify and take the programs."""
        status = self._library.bpf_object__load(self._object)
        if status:
            raise self._problem("the kernel did not take the programs", -status)

    def map(self, name: str) -> Map:
        """Return a map of the loaded object."""
        return Map(name, self._library.bpf_map__fd(self._map(name)))

    def program_fd(self, name: str) -> int:
        """Return the file descriptor of a loaded program."""
        return int(self._library.bpf_program__fd(self._program(name)))

    def program_fds(self) -> list[int]:
        """Return the descriptors of all loaded programs."""
        descriptors = []
        program = self._library.bpf_object__next_program(self._object, None)
        while program:
            descriptors.append(self._library.bpf_program__fd(program))
            program = self._library.bpf_object__next_program(self._object, program)
        return [descriptor for descriptor in descriptors if descriptor >= 0]

    def has_uprobe_multi(self) -> bool:
        """Tell if the running kernel (6.6 or later) has uprobe_multi links."""
        btf = self._library.btf__load_vmlinux_btf()
        if not btf:
            return False
        try:
            return int(self._library.btf__find_by_name(btf, b"bpf_uprobe_multi_link")) > 0
        finally:
            self._library.btf__free(btf)

    def missing_tracepoints(self, names: Iterable[str]) -> set[str]:
        """Return those of `names` that the running kernel does not have."""
        find = self._library.libbpf_find_vmlinux_btf_id
        return {name for name in names if find(name.encode(), _BPF_TRACE_RAW_TP) <= 0}

    def attach(self, program: str) -> int:
        """Attach as the program's section says; return the link for `detach`."""
        link = self._library.bpf_program__attach(self._program(program))
        if not link:
            raise self._problem(f"cannot attach {program}", ctypes.get_errno())
        self._links.append(link)
        return int(link)

    def detach(self, link: int) -> None:
        """Undo an `attach`."""
        self._links.remove(link)
        self._library.bpf_link__destroy(link)

    def close(self) -> None:
        """Detach everything and let go of programs and maps."""
        for link in self._links:
            self._library.bpf_link__destroy(link)
        self._links.clear()
        if self._object:
            self._library.bpf_object__close(self._object)
            self._object = 0

    def _map(self, name: str) -> int:
        pointer = self._library.bpf_object__find_map_by_name(self._object, name.encode())
        if not pointer:
            raise ProbeError(f"the object has no map {name}: build it anew")
        return int(pointer)

    def _program(self, name: str) -> int:
        pointer = self._library.bpf_object__find_program_by_name(self._object, name.encode())
        if not pointer:
            raise ProbeError(f"the object has no program {name}: build it anew")
        return int(pointer)

    def _problem(self, what: str, code: int) -> ProbeError:
        said = "".join(f"\n  {line}" for line in take_warnings())
        return ProbeError(f"{what}: {os.strerror(code)}. {advice(code)}{said}")


def advice(code: int) -> str:
    """Return what a person can do about error `code` of a bpf system call."""
    if code in {errno.EPERM, errno.EACCES}:
        return "Run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE."
    if code == errno.ENOMEM:
        return "Not enough memory: try a smaller ring."
    return f"Kernel {os.uname().release}; run `agentsight doctor` for what it lacks."

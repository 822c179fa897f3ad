"""The kernel side as one object: what to watch goes in, drained batches and counters come out.

Must not wait, keep history, or look into payloads. Not thread-safe, except that `attach_tls` and
closing its links may run in another thread than the rest.
"""

from __future__ import annotations

import select
import struct
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from agentsight_agent.bpf import _drain
from agentsight_agent.bpf.attaching import FileHooks, FileLink
from agentsight_agent.bpf.control import Control, KernelSettings
from agentsight_agent.bpf.counters import KernelCounters, read_counters
from agentsight_agent.bpf.exclusions import ExcludedProgram, Network, packed_network
from agentsight_agent.bpf.familiar import FamiliarPrograms
from agentsight_agent.bpf.hooks import GpuHook, TlsHook
from agentsight_agent.bpf.libbpf import library
from agentsight_agent.bpf.limits import (
    ClassLimit,
    Rate,
    forget_rates,
    read_rate,
    write_limits,
)
from agentsight_agent.bpf.loader import open_programs
from agentsight_agent.bpf.prefixes import ALL_PATHS, PathFilter, write_prefixes
from agentsight_agent.bpf.records import ITEM_TYPES, Drained

_ALWAYS = (
    "process_forked",
    "process_executed",
    "process_exited",
    "signal_generated",
    "process_killed_for_memory",
)
_CALLS = "file_call_ended"
_NETWORK = "socket_state_changed"
# Program to the tracepoint that older kernels lack (both since 6.3). Without them connections have
# no peer address.
_SOCKETS = {"socket_sent": "sock_send_length", "socket_received": "sock_recv_length"}
# enum verdict
_MUTED, _WANTED = b"\1", b"\2"
# struct membership of bpf/lib/sessions.bpf.h
_MEMBERSHIP = struct.Struct("<QII")


class Kernel(AbstractContextManager["Kernel"]):
    """The loaded programs. Raises ProbeError if the kernel does not take them."""

    def __init__(self, settings: KernelSettings | None = None) -> None:
        settings = settings or KernelSettings()
        self._settings = settings
        self._control = Control(discover=settings.discover)
        self._call_link: int | None = None
        self._limits: Mapping[str, ClassLimit] = {}
        self.has_limits = False
        self.quiet_ns = settings.quiet_ns
        self._paths = ALL_PATHS
        self._excluded: frozenset[ExcludedProgram] = frozenset()
        self._peers: frozenset[Network] = frozenset()
        self._local_ports: set[int] = set()
        self._network_link: int | None = None
        self._untrackable = 0
        self._object = open_programs(
            settings.loader, settings.kernel_headers, settings.kernel_layout
        )
        #: What the programs do not see because of how they were loaded, for people.
        self.unseen = self._object.unseen
        try:
            self._load()
        except BaseException:
            self._object.close()
            raise

    def _load(self) -> None:
        self._hooks = FileHooks(self._object)
        self._object.set_max_entries("events", self._settings.ring_bytes)
        packed = self._settings.packed(self._object.max_payload_bytes)
        self._object.set_initial_value(".rodata.settings", packed)
        missing = self._object.missing_tracepoints(_SOCKETS.values())
        for program, tracepoint in _SOCKETS.items():
            if tracepoint in missing:
                self._object.leave_out(program)
        self._object.load()
        self._tracked = self._object.map("tracked")
        #: Programs whose starts outside of sessions are not told; none while the network is not
        #: watched, which tells what their processes then do.
        self.familiar = FamiliarPrograms(self._object)
        self._events = self._object.map("events")
        self._ring = _drain.Ring(
            self._events.fd,
            self._settings.ring_bytes,
            library().libbpf_num_possible_cpus(),
            ITEM_TYPES,
        )
        # Told once for each wake-up: records that come without one would keep the ring readable.
        self._wakes = select.epoll()
        self._wakes.register(self._events.fd, select.EPOLLIN | select.EPOLLET)
        self._write_control()
        for program in _ALWAYS:
            self._object.attach(program)
        self.watch_network(self._settings.network)
        for program, tracepoint in _SOCKETS.items():
            if tracepoint not in missing:
                self._object.attach(program)
        #: False on kernels before 6.3: there are no ConnectionOpened items.
        self.sees_peers = not missing

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Detach and unload everything; what is still in the ring is gone, so drain before."""
        self._hooks.close()
        self._wakes.close()
        self._ring.close()
        self._object.close()

    def track(self, pid: int, session: int, *, quiet: bool = False) -> None:
        """Put a process into `session` (not 0); its future children inherit it in the kernel.

        `quiet`: nothing of it and of them is recorded but that they begin, execute and end.

        Also lifts a `mute_process`. If the kernel has no room for it, that is counted as `map_full`
        of the class "process".
        """
        if not session:
            raise ValueError("0 is no session")
        if not self._tracked.update(pid.to_bytes(4, "little"), _MEMBERSHIP.pack(session, quiet, 0)):
            self._untrackable += 1
        self._memberships_changed()
        self._object.map("muted_processes").delete(pid.to_bytes(4, "little"))

    def untrack(self, pid: int) -> None:
        """Take a process out of its session; nothing happens if it is in none."""
        self._tracked.delete(pid.to_bytes(4, "little"))
        self._memberships_changed()

    def _memberships_changed(self) -> None:
        """Have the programs look up again what they remember of `tracked`."""
        self._control.count_membership()
        self._write_control()

    def mute(self, connection: int) -> None:
        """Capture nothing more of a connection."""
        self._object.map("muted_connections").update(connection.to_bytes(8, "little"), _MUTED)

    def want(self, connection: int) -> None:
        """Take all that goes over standard streams that have shown to be wanted."""
        self._object.map("muted_connections").update(connection.to_bytes(8, "little"), _WANTED)

    def unmute(self, connection: int) -> None:
        """Capture a connection again; nothing tells what was left out meanwhile."""
        self._object.map("muted_connections").delete(connection.to_bytes(8, "little"))

    def mute_process(self, pid: int) -> None:
        """Do not watch the TLS of a process while it is in no session.

        Holds until the process executes another program or ends.
        """
        self._object.map("muted_processes").update(pid.to_bytes(4, "little"), b"\1")

    def set_enabled(self, on: bool) -> None:
        """Throw the kill switch. Connections that live through "off" are new ones afterwards."""
        self._control.switch(on=on)
        self._write_control()

    def set_discover(self, on: bool) -> None:
        """Watch the TLS and the executions of all processes, or of tracked ones only."""
        self._control.discover = on
        self._write_control()

    def set_limits(self, limits: Mapping[str, ClassLimit]) -> None:
        """Record only so much of what begins in each session, by class ("file", "net", "tls"…)."""
        if limits != self._limits:
            write_limits(self._object, limits)
            self._limits = dict(limits)
            self._control.limited = any(limit.is_one for limit in limits.values())
            self.has_limits |= self._control.limited
            self._write_control()

    def set_paths(self, paths: PathFilter) -> None:
        """Record of files only those that `paths` wants; those that are open stay as they are."""
        if paths != self._paths:
            write_prefixes(self._object, self._paths, paths)
            self._paths = paths
            self._control.path_filter = paths.default
            self._write_control()

    def exclude_programs(self, programs: frozenset[ExcludedProgram]) -> None:
        """Make members of sessions quiet that execute one of `programs`, before they do more."""
        table = self._object.map("excluded_programs")
        for program in self._excluded - programs:
            table.delete(program.packed())
        for program in programs - self._excluded:
            table.update(program.packed(), b"\1")
        self._excluded = programs
        self._control.excludes_programs = bool(programs)
        self._write_control()

    def exclude_peers(self, networks: frozenset[Network]) -> None:
        """Record nothing of connections with peers in `networks` that begin from now on."""
        table = self._object.map("excluded_peers")
        for network in self._peers - networks:
            table.delete(packed_network(network))
        for network in networks - self._peers:
            table.update(packed_network(network), b"\1")
        self._peers = networks
        self._control.excludes_peers = bool(networks)
        self._write_control()

    def rate(self, session: int, name: str) -> Rate:
        """Return what limits have decided for a class of a session."""
        return read_rate(self._object, session, name)

    def forget_rates(self, session: int) -> None:
        """Remove what limits know of a session."""
        forget_rates(self._object, session)

    def _write_control(self) -> None:
        self._object.map(".bss.control").update(bytes(4), self._control.packed())

    def attach_tls(self, path: str, hooks: Sequence[TlsHook]) -> FileLink:
        """Set hooks in the file at `path`, as FileHooks does it; raises ProbeError."""
        return self._hooks.attach_tls(path, hooks)

    def attach_gpu(self, path: str, hooks: Sequence[GpuHook]) -> FileLink:
        """Set hooks in the CUDA library at `path`, as FileHooks does it; raises ProbeError."""
        return self._hooks.attach_gpu(path, hooks)

    def watch_readline(self, places: Mapping[str, int]) -> None:
        """Watch what tracked shells read, as FileHooks does it; raises ProbeError."""
        self._hooks.watch_readline(places)

    def watch_files(self, on: bool) -> None:
        """Begin or stop watching the files of tracked processes.

        While it is on it costs every system call of the machine some 0.1 µs, so keep it off when no
        process is tracked. Files that were opened before are not seen.
        """
        if on != self._control.files:
            self._control.files = on
            self._watch_calls()

    def watch_stdio(self, on: bool, *, output_bytes: int = 0) -> None:
        """Begin or stop watching the standard streams of tracked processes, where they are pipes.

        JSON-RPC is taken, and of all else the first `output_bytes` of each process. Costs what
        `watch_files` costs, but not a second time.
        """
        control = self._control
        if (on, output_bytes) != (control.stdio, control.output_bytes):
            control.stdio, control.output_bytes = on, output_bytes
            self._watch_calls()

    def _watch_calls(self) -> None:
        """Attach to the end of all system calls while something there is looked at."""
        self._write_control()
        wanted = self._control.watches_calls
        if wanted and self._call_link is None:
            self._call_link = self._object.attach(_CALLS)
        elif not wanted and self._call_link is not None:
            self._object.detach(self._call_link)
            self._call_link = None

    def watch_sockets(self, on: bool) -> None:
        """Begin or stop watching plain HTTP on the TCP sockets of clients.

        Does nothing on kernels before 6.3, which lack the tracepoints.
        """
        if on != self._control.plain_sockets and self.sees_peers:
            self._control.plain_sockets = on
            self._write_control()

    def watch_datagrams(self, on: bool) -> None:
        """Begin or stop watching the UDP sockets of tracked processes, and answers of DNS.

        Costs what `watch_files` costs, but not a second time. Does nothing on kernels before 6.3.
        """
        if on != self._control.datagrams and self.sees_peers:
            self._control.datagrams = on
            self._watch_calls()

    def set_local_model_ports(self, ports: Sequence[int]) -> None:
        """Watch connections of processes in no session to these ports of this machine."""
        if set(ports) == self._local_ports:
            return
        ports_map = self._object.map("local_model_ports")
        for port in self._local_ports - set(ports):
            ports_map.delete(port.to_bytes(2, "little"))
        for port in ports:
            ports_map.update(port.to_bytes(2, "little"), b"\1")
        self._local_ports = set(ports)

    def watch_network(self, on: bool) -> None:
        """Begin or stop watching the TCP connections of tracked processes."""
        if on and self._network_link is None:
            self._network_link = self._object.attach(_NETWORK)
        elif not on and self._network_link is not None:
            self._object.detach(self._network_link)
            self._network_link = None
        self.familiar.allow(on)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the ring is to be drained soon.

        That is when `wakeup_bytes` wait in it, a program was executed, a process in no session
        has used TLS, or something came after `sleep`. `acknowledge` makes it unreadable until the
        next time.
        """
        return self._wakes.fileno()

    def sleep(self) -> bool:
        """Have the next record make `fileno()` readable, whatever it is.

        False if there is a record already, or one is being written: poll on.
        """
        self._object.map(".bss.asleep").update(bytes(4), b"\1\0\0\0")
        return self._ring.is_empty()

    def acknowledge(self) -> None:
        """Say that the wake-up was heard; what is in the ring has to be drained after this."""
        self._wakes.poll(0)

    def drain(self, wall_offset_ns: int, budget_bytes: int = 4 << 20) -> Drained:
        """Take up to `budget_bytes` of records out of the ring.

        `wall_offset_ns` is what makes Unix time of CLOCK_BOOTTIME.
        """
        return Drained(*self._ring.drain(wall_offset_ns, budget_bytes))

    def counters(self) -> KernelCounters:
        """Return the totals since the programs were loaded."""
        return read_counters(self._object, self._untrackable)

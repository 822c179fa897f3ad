"""The agent of one node: loads the probes, drains them, keeps probes where the programs are.

Frames go to whatever sink it is given: the spool in front of the bus, or a recording file.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self

from agentsight_core.clocks import boot_ns
from agentsight_core.parsers.http1 import HttpSettings
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.recordings.frames import FrameSink
from agentsight_core.runtime.memory import give_back_free_memory, keep_what_is_loaded
from agentsight_core.sealing import Sealer
from agentsight_core.telemetry.ledger import Ledger

from agentsight_agent.bpf.control import KernelSettings
from agentsight_agent.bpf.familiar import MAX_MARKS
from agentsight_agent.bpf.kernel import Kernel
from agentsight_agent.bpf.limits import ClassLimit
from agentsight_agent.bpf.prefixes import ALL_PATHS, PathFilter
from agentsight_agent.connections import Connections
from agentsight_agent.enrich.boot import Node, wall_offset_ns
from agentsight_agent.enrich.container_state import Containers
from agentsight_agent.familiar import Familiarity
from agentsight_agent.frames import FrameWriter, Identity
from agentsight_agent.gpu.attachments import GpuAttachments
from agentsight_agent.gpu.samples import DeviceSample
from agentsight_agent.gpu.sampling import GpuSampler
from agentsight_agent.gpu.use import GpuUse
from agentsight_agent.hosts import ALL_HOSTS, HostFilter
from agentsight_agent.limits import LimitAccount
from agentsight_agent.pipeline import Pipeline, ProcessListener
from agentsight_agent.redact import Redactor
from agentsight_agent.seeker import Seeker
from agentsight_agent.sessions.filters import Filters, ProcessFilter
from agentsight_agent.sessions.interest import Interest
from agentsight_agent.sessions.rules import SessionRule
from agentsight_agent.sessions.session import Session
from agentsight_agent.sessions.tracker import SessionTracker
from agentsight_agent.shells import readline_places
from agentsight_agent.stdio import StdioStreams
from agentsight_agent.tls.attachments import Attachments
from agentsight_agent.tls.unread import UnreadProcess
from agentsight_agent.uncaptured import late_event, unread_event

# The stages of a node, in the order of the way of an event.
STAGES = (
    ("filters", "processes"),
    ("limits", "decisions"),
    ("kernel", "records"),
    ("drain", "records"),
    ("tls", "bytes"),
    ("stdio", "bytes"),
    ("http", "messages"),
    ("events", "events"),
    ("gpu", "samples"),
)
_SECOND_NS = 1_000_000_000
# What is made of a batch lives until its end, and takes several times its size.
_BATCH_BYTES = 1 << 20
# The kernel side wakes us up for what is urgent, but not again within this time (HURRY_NS of
# bpf/lib/ring.bpf.h). The other thread is asked as often for what it found.
_SOON_NS = 20_000_000
# More records were no urgent ones: the ring was filling.
_FEW_RECORDS = 64


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How one agent works."""

    kernel: KernelSettings = field(default_factory=KernelSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    rules: tuple[SessionRule, ...] = ()
    include: tuple[ProcessFilter, ...] = ()
    exclude: tuple[ProcessFilter, ...] = ()
    hosts: HostFilter = ALL_HOSTS
    # While something comes the ring is looked at this often; it wakes the agent earlier when
    # something is urgent. Longer means that what agents do at once is worked off while they wait.
    poll_s: float = 0.2
    # Longest time that an event waits for others to share a frame.
    flush_s: float = 0.1
    # A process that talks to an LLM API becomes a session by itself.
    promote: bool = True
    watch_files: bool = True
    # JSON-RPC on standard input and output of processes in sessions: MCP servers on pipes.
    watch_stdio: bool = True
    # Plain HTTP of clients in sessions and, if `promote`, of those of local models.
    watch_sockets: bool = True
    local_model_ports: tuple[int, ...] = ()
    # Lines typed into shells of sessions.
    watch_shells: bool = False
    # Of all else that they write to pipes so many bytes of each program; 0 = nothing.
    output_bytes: int = 0
    # Files that are recorded, by what their paths begin with.
    paths: PathFilter = ALL_PATHS
    # Sampling and rates of what begins in a session, by class of the kernel side.
    limits: Mapping[str, ClassLimit] = field(default_factory=dict)
    # Seals every frame; None: they stay readable.
    sealer: Sealer | None = None


class Agent:
    """An async context manager: probes are in place inside of it."""

    def __init__(
        self,
        settings: AgentSettings,
        node: Node,
        redactor: Redactor,
        sink: FrameSink,
        ledger: Ledger,
        containers: Containers | None = None,
    ) -> None:
        self._containers = containers or Containers()
        self._settings = settings
        self._sink = sink
        self._redactor = redactor
        self._node = node
        self._ledger = ledger
        self._wake = asyncio.Event()
        self._next_drain_ns = 0
        self._next_flush_ns = 0
        self._next_second_ns = 0
        self._was_woken = False
        self._drained_records = 0
        self._finished = False

    async def __aenter__(self) -> Self:
        """Load the programs and attach to what is installed and running.

        Raises ProbeError with what to do when the kernel does not take them.
        """
        self._kernel = Kernel(self._settings.kernel)
        filters = Filters(self._settings.include, self._settings.exclude)
        self._set_filters(self._settings, filters)
        self._offset_ns = wall_offset_ns()
        self._limits = LimitAccount(self._kernel, self._ledger.stage("limits", "decisions"))
        self._limits.wall_offset_ns = self._offset_ns
        self._tracker = SessionTracker(
            self._kernel,
            self._node,
            self._settings.rules,
            wall_offset_ns=self._offset_ns,
            filters=filters,
            containers=self._containers,
            judged=self._ledger.stage("filters", "processes"),
            before_end=self._limits.close,
        )
        self._familiarity = Familiarity(self._kernel.familiar)
        self._set_interest(self._settings.rules)
        self._attachments = Attachments(self._kernel, familiarity=self._familiarity)
        self._gpu = GpuAttachments(self._kernel)
        sampler = GpuSampler(self._ledger.stage("gpu", "samples"))
        self._gpu_use = GpuUse(sampler, self._tracker.session_of)
        self._seeker = Seeker(self._look)
        self._seeker.soon(partial(self._gpu.start, boot_ns()))
        self._pipeline = self._make_pipeline()
        loop = asyncio.get_running_loop()
        await self._seeker.run(partial(self._attachments.start, boot_ns()))
        keep_what_is_loaded()
        # Loading programs and reading executables took megabytes that nothing needs any more.
        give_back_free_memory()
        loop.add_reader(self._kernel.fileno(), self._wake_up)
        self._pipeline.publish(self._tracker.begin_running(boot_ns()))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish if that was not done, and detach."""
        await self.finish()
        asyncio.get_running_loop().remove_reader(self._kernel.fileno())
        self._seeker.close()
        self._attachments.close()
        self._gpu.close()
        self._gpu_use.close()
        self._kernel.close()

    async def finish(self) -> None:
        """Give everything seen so far to the sink; what happens later is not seen."""
        if self._finished:
            return
        self._finished = True
        self._kernel.set_enabled(False)
        now_ns = boot_ns()
        self._drain(now_ns)
        self._pipeline.publish(self._unseen(now_ns))
        self.refresh_ledger()
        self._pipeline.stop(boot_ns(), self._offset_ns)
        await self._sink.drain()

    @property
    def uncaptured(self) -> tuple[UnreadProcess, ...]:
        """The processes that have TLS which is not seen, with the reason."""
        return self._attachments.unread

    @property
    def unseen(self) -> tuple[str, ...]:
        """What is not seen because of how the programs came into the kernel."""
        return self._kernel.unseen

    @property
    def gpus(self) -> Sequence[DeviceSample]:
        """The GPUs as they were seen last; () while no session uses them."""
        return self._gpu_use.devices

    async def prepare(self, paths: Sequence[str]) -> None:
        """Attach to files that a program which starts soon will use."""
        await self._seeker.run(partial(self._attachments.prepare, paths))

    def begin_session(self, pid: int, rule: SessionRule) -> None:
        """Watch process `pid`, which will execute the program of a session, from now on."""
        self._tracker.begin_at_exec(pid, boot_ns(), rule)
        self._watch_calls()

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions that are watched."""
        return self._tracker.sessions

    def session_of(self, pid: int) -> int:
        """Return the session of a process, 0 if it is in none."""
        return self._tracker.session_of(pid)

    def add(self, events: Iterable[pb.Event]) -> None:
        """Take events that others have seen, of processes of sessions; not after `finish`."""
        self._pipeline.publish(events)
        self._wake.set()

    def apply(self, settings: AgentSettings) -> None:
        """Go on with other settings; of `settings.kernel` only `discover` and `network` can change.

        Raises ConfigError, with nothing changed, or ProbeError.
        """
        rules_changed = settings.rules != self._settings.rules
        filters = Filters(settings.include, settings.exclude)
        if rules_changed:
            self._tracker.set_rules(settings.rules)
            self._set_interest(settings.rules)
        if (settings.include, settings.exclude) != (self._settings.include, self._settings.exclude):
            self._pipeline.publish(self._tracker.set_filters(filters, boot_ns()))
        self._kernel.set_discover(settings.kernel.discover)
        self._kernel.watch_network(settings.kernel.network)
        self._set_filters(settings, filters)
        self._connections.apply(settings.http, promote=settings.promote, hosts=settings.hosts)
        self._streams.output = settings.output_bytes > 0
        self._settings = settings
        if rules_changed:
            self._pipeline.publish(self._tracker.begin_running(boot_ns()))
        self._watch_calls()
        self._wake.set()

    def _set_interest(self, rules: Sequence[SessionRule]) -> None:
        """Have starts told that may begin a session by `rules`."""
        self._familiarity.judge_by(Interest(rules, max_marks=MAX_MARKS))

    def _set_filters(self, settings: AgentSettings, filters: Filters) -> None:
        """Tell the kernel side what it can leave out by itself."""
        self._kernel.set_limits(settings.limits)
        self._kernel.set_paths(settings.paths)
        self._kernel.exclude_programs(filters.programs)
        self._kernel.exclude_peers(settings.hosts.excluded_networks)

    async def run(self, stop: asyncio.Event) -> None:
        """Drain until `stop` is set."""
        # A group of tasks would put what is raised here into another exception.
        waking = asyncio.create_task(self._wake_at(stop), name="end of the drain")
        try:
            while not stop.is_set():
                await self._wait()
                now_ns = boot_ns()
                if self._was_woken or now_ns >= self._next_drain_ns:
                    self._drain(now_ns)
                self._seeker.turn(now_ns)
                self._pipeline.publish(self._unseen(now_ns))
                if now_ns >= self._next_second_ns:
                    self._every_second(now_ns)
        finally:
            waking.cancel()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    def _unseen(self, now_ns: int) -> Iterator[pb.Event]:
        """Yield what the other thread found out about processes of sessions that are not read."""
        for process in self._attachments.take_unread():
            session = self._tracker.session_of(process.pid)
            if session:
                yield unread_event(process, session, now_ns, self._offset_ns)
        for pid in self._attachments.take_late():
            session = self._tracker.session_of(pid)
            if session:
                yield late_event(pid, session, now_ns, self._offset_ns)

    def _wake_up(self) -> None:
        self._kernel.acknowledge()
        self._wake.set()

    async def _wait(self) -> None:
        """Wait until the ring is to be drained, a program to be looked at, or a second is over."""
        now_ns = boot_ns()
        next_ns = min(self._seeker.next_ns, self._next_second_ns)
        if self._seeker.is_busy:
            next_ns = min(next_ns, now_ns + _SOON_NS)
        if not self._may_sleep():
            next_ns = min(next_ns, self._next_drain_ns)
        wait_s = max(0, next_ns - now_ns) / _SECOND_NS
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            self._was_woken = False
            return
        self._wake.clear()
        self._was_woken = True

    def _may_sleep(self) -> bool:
        """Say whether there is nothing to do before the next record, which then wakes us up."""
        idle = not self._drained_records and self._frames.is_empty
        return idle and self._kernel.sleep()

    def _drain(self, now_ns: int) -> None:
        """Empty the ring, and say when that is to be done again if nothing wakes us up."""
        self._drained_records = 0
        while True:
            drained = self._kernel.drain(self._offset_ns, _BATCH_BYTES)
            self._drained_records += drained.records
            self._pipeline.take(drained, self._offset_ns)
            if not drained.more:
                break
        self._watch_calls()
        if now_ns >= self._next_flush_ns:
            self._next_flush_ns = now_ns + int(self._settings.flush_s * _SECOND_NS)
            self._frames.flush()
        urgent = self._was_woken and self._drained_records <= _FEW_RECORDS
        poll_ns = int(self._settings.poll_s * _SECOND_NS)
        self._next_drain_ns = now_ns + (_SOON_NS if urgent else poll_ns)

    def _watch_calls(self) -> None:
        """Watch files and pipes while there is somebody to watch: it costs all system calls."""
        anybody = self._tracker.is_watching and not self._finished
        self._kernel.watch_files(self._settings.watch_files and anybody)
        self._kernel.watch_stdio(
            self._settings.watch_stdio and anybody, output_bytes=self._settings.output_bytes
        )
        self._kernel.watch_readline(
            readline_places() if self._settings.watch_shells and anybody else {}
        )
        self._kernel.watch_datagrams(self._settings.kernel.network and anybody)
        seeking = self._settings.promote and bool(self._settings.local_model_ports)
        self._kernel.set_local_model_ports(self._settings.local_model_ports if seeking else ())
        self._kernel.watch_sockets(
            self._settings.watch_sockets and (anybody or seeking) and not self._finished
        )

    def _every_second(self, now_ns: int) -> None:
        self._next_second_ns = now_ns + _SECOND_NS
        # A burst leaves free memory behind.
        give_back_free_memory()
        self._offset_ns = self._limits.wall_offset_ns = wall_offset_ns()
        self._pipeline.publish(self._limits.sweep(self._tracker.sessions, now_ns))
        self._pipeline.publish(self._tracker.sweep(now_ns))
        self._pipeline.publish(self._gpu_use.due(self._gpu.users, now_ns, self._offset_ns))
        self.refresh_ledger()
        self._pipeline.tell_losses(now_ns, self._offset_ns)

    def refresh_ledger(self) -> None:
        """Bring the counts of the kernel side up to date."""
        self._pipeline.count_kernel(self._kernel.counters())

    def _make_pipeline(self) -> Pipeline:
        identity = Identity(
            agent_id=self._node.agent_id,
            epoch_ns=time.time_ns(),
            node=self._node.name,
            cluster=self._node.cluster,
        )
        stage = self._ledger.stage("events", "events")
        self._frames = FrameWriter(identity, self._sink, stage, self._settings.sealer)
        self._connections = Connections(
            self._tracker,
            self._redactor,
            self._kernel,
            self._ledger,
            self._settings.http,
            promote=self._settings.promote,
            hosts=self._settings.hosts,
        )
        self._streams = StdioStreams(
            self._tracker,
            self._redactor,
            self._kernel,
            self._ledger,
            output=self._settings.output_bytes > 0,
        )
        listener = ProcessListener(
            on_exec=self._on_exec, on_networked=self._on_networked, on_exit=self._on_exit
        )
        return Pipeline(
            self._tracker,
            self._connections,
            self._streams,
            self._redactor,
            self._frames,
            listener,
            self._ledger,
        )

    def _look(self, now_ns: int) -> int:
        return min(self._attachments.due(now_ns), self._gpu.due(now_ns))

    def _on_exec(self, pid: int, is_familiar: bool) -> None:
        now_ns = boot_ns()
        if is_familiar:
            self._seeker.later(partial(self._attachments.on_exit, pid), now_ns)
        else:
            self._seeker.soon(partial(self._attachments.on_exec, pid, now_ns))
        self._seeker.later(partial(self._gpu.on_exec, pid, now_ns), now_ns)

    def _on_networked(self, pid: int) -> None:
        now_ns = boot_ns()
        self._tracker.note_running(pid)
        self._seeker.soon(partial(self._attachments.on_networked, pid, now_ns))
        self._seeker.soon(partial(self._gpu.on_exec, pid, now_ns))

    def _on_exit(self, pid: int) -> None:
        now_ns = boot_ns()
        self._seeker.later(partial(self._attachments.on_exit, pid), now_ns)
        self._seeker.later(partial(self._gpu.on_exit, pid), now_ns)

"""The agent as a service: probes in front, spool and bus behind, telemetry beside.

The bus may be away, at the start too: frames wait in the spool.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from agentsight_core.bus.access import connection_settings
from agentsight_core.bus.connection import ConnectionSettings, connect
from agentsight_core.bus.members import noted
from agentsight_core.bus.pace import Pace
from agentsight_core.bus.publisher import Publisher
from agentsight_core.clocks import boot_ns
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.errors import Retryable
from agentsight_core.plugins import SourcePlugin, find_plugin
from agentsight_core.runtime.live_config import ConfigCollector, LiveConfig
from agentsight_core.runtime.member import Member, member_name
from agentsight_core.runtime.notes import announced, leave_ledger
from agentsight_core.sealing import Sealer
from agentsight_core.spool.epochs import REASON, STAGE, Epoch, EpochNote, losses
from agentsight_core.spool.spool import Spool
from agentsight_core.telemetry.certificates import CertificateCollector, certificate_files
from agentsight_core.telemetry.http import TelemetryServer, TelemetrySettings
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.telemetry.links import Link
from agentsight_core.telemetry.process import process_registry

from agentsight_agent.agent import STAGES, Agent
from agentsight_agent.enrich.boot import Node, read_node, wall_offset_ns
from agentsight_agent.enrich.container_state import Containers
from agentsight_agent.gpu.metrics import GpuCollector
from agentsight_agent.kubernetes.client import ApiSettings
from agentsight_agent.kubernetes.informer import PodCollector, PodInformer
from agentsight_agent.kubernetes.pods import PodTable
from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_agent.redact.key import redaction_key
from agentsight_agent.settings import agent_settings, spool_folder, spool_settings
from agentsight_agent.sources import PluginSource
from agentsight_agent.spool_metrics import SpoolCollector
from agentsight_agent.uncaptured import UncapturedCollector

_log = logging.getLogger(__name__)

_DRAIN_S = 20.0
_RECONNECT_S = 1.0
_NOTE_S = 1.0
# Sessions that begin before the pods are known have none.
_PODS_S = 5.0

# What each stage gives on, the next one takes.
LINKS = (
    Link(("kernel",), ("drain",)),
    Link(("spool",), ("publish",)),
)


async def serve(live: LiveConfig, stop: asyncio.Event) -> None:
    """Watch this node until `stop` is set; then deliver what was seen if the bus is there."""
    config = live.config
    ledger = Ledger()
    node = read_node(config.node.cluster, config.node.name)
    redactor = Redactor(CaptureMode(config.capture.mode), redaction_key(config.node.state_dir))
    for name, unit in STAGES:
        ledger.stage(name, unit)
    spool = Spool(spool_folder(config), spool_settings(config), ledger.stage("spool", "frames"))
    public_file = config.security.seal.frames_public_file
    sealer = Sealer(public_file) if public_file else None
    informer = _pod_informer(config, node)
    containers = Containers(informer.pods.find if informer else None)
    agent = Agent(
        replace(agent_settings(config), sealer=sealer), node, redactor, spool, ledger, containers
    )
    note = EpochNote(config.node.state_dir / "epoch.json")
    registry = process_registry(ledger, "agent")
    registry.register(CertificateCollector(certificate_files(config)))
    registry.register(UncapturedCollector(lambda: agent.uncaptured))
    registry.register(GpuCollector(lambda: agent.gpus))
    registry.register(ConfigCollector(live))
    registry.register(SpoolCollector(spool, lambda: spool_settings(live.config).max_bytes))
    if informer:
        registry.register(PodCollector(informer))
    settings = TelemetrySettings(config.node.telemetry_host, config.node.telemetry_port)
    async with (
        spool,
        _followed(informer),
        _publishing(spool, live, node.name, ledger) as delivery,
        agent,
        TelemetryServer(registry, ledger, links=LINKS, settings=settings) as telemetry,
    ):
        with announced(config.node.state_dir, "agent", {"telemetry_port": telemetry.port}):
            _log.info("watching node %s", node.name)
            for unseen in agent.unseen:
                _log.warning("not seen, as BCC has built the programs: %s", unseen)
            live.serve(partial(_apply, agent, redactor, spool))
            if earlier := note.left_behind():
                _tell_losses(agent, earlier, node, ledger)
            async with _sources(agent, live, ledger), asyncio.TaskGroup() as group:
                beside = [
                    group.create_task(live.watch_file(), name="configuration file"),
                    group.create_task(_keep_note(agent, spool, note, node), name="epoch"),
                ]
                await agent.run(stop)
                for task in beside:
                    task.cancel()
        await agent.finish()
        note.remove()
        if not await delivery.drain(_DRAIN_S):
            _log.warning("the bus did not take %d frames; they stay in the spool", spool.held)
        leave_ledger(config.node.state_dir, "agent", ledger)


@contextlib.asynccontextmanager
async def _sources(agent: Agent, live: LiveConfig, ledger: Ledger) -> AsyncIterator[None]:
    """Run the source plugins; raises ConfigError when one is not installed."""
    plugins = live.config.plugins
    async with contextlib.AsyncExitStack() as stack:
        for name in plugins.sources:
            plugin = find_plugin("source", name)
            assert isinstance(plugin, SourcePlugin)
            source = PluginSource(
                name,
                partial(plugin.make, plugins.options_of(name)),
                agent.session_of,
                agent.add,
                ledger.stage(f"source.{name}", "events"),
                lambda: live.config.plugins.max_failures,
            )
            await stack.enter_async_context(source)
        yield


def _pod_informer(config: AgentSightConfig, node: Node) -> PodInformer | None:
    """Return who follows the pods of this node, if that is asked for; raises ConfigError."""
    asked = config.kubernetes
    if not asked.enabled:
        return None
    settings = ApiSettings(
        asked.node_name or node.name, asked.api_url, asked.token_file, asked.ca_file
    )
    return PodInformer(settings, PodTable(asked.labels))


@contextlib.asynccontextmanager
async def _followed(informer: PodInformer | None) -> AsyncIterator[None]:
    """Follow the pods; wait for them a little, but not for ever."""
    with informer or contextlib.nullcontext():
        if informer and not await asyncio.to_thread(informer.wait_listed, _PODS_S):
            _log.warning("the pods of this node are not known yet; sessions begin without them")
        yield


def _tell_losses(agent: Agent, earlier: Epoch, node: Node, ledger: Ledger) -> None:
    """Tell the sessions that a run which was killed has watched."""
    _log.warning("an earlier run was killed; it watched %d sessions", len(earlier.sessions))
    stage = ledger.stage(STAGE, "runs")
    stage.received += 1
    stage.drop(REASON, 1)
    now_ns = boot_ns()
    agent.add(losses(earlier, node.boot_id, now_ns, now_ns + wall_offset_ns()))


async def _keep_note(agent: Agent, spool: Spool, note: EpochNote, node: Node) -> None:
    """Note every second what is watched, and up to when all of it is on the disk."""
    durable_ns = boot_ns()
    while True:
        seen_ns = boot_ns()
        # What was seen until now will have left its frame.
        await asyncio.sleep(_NOTE_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_NOTE_S):
                await spool.drain()
                durable_ns = seen_ns
        sessions = sorted(session.id for session in agent.sessions)
        try:
            await asyncio.to_thread(note.write, Epoch(node.boot_id, durable_ns, sessions))
        except OSError as error:
            _log.warning("the note of what is watched cannot be written: %s", error)


async def _apply(agent: Agent, redactor: Redactor, spool: Spool, config: AgentSightConfig) -> None:
    """Go on as `config` says: at one moment, between two batches of the ring."""
    agent.apply(agent_settings(config))
    redactor.set_mode(CaptureMode(config.capture.mode))
    spool.apply(spool_settings(config))


class _Delivery:
    """Publishes from the spool whenever the bus is there."""

    def __init__(
        self, spool: Spool, settings: ConnectionSettings, live: LiveConfig, ledger: Ledger
    ) -> None:
        self._member = Member("agent", member_name(live.config), ledger)
        self._spool = spool
        self._live = live
        self._settings = settings
        self._stage = ledger.stage("publish", "frames")
        self._publisher: Publisher | None = None
        self._connected = asyncio.Event()
        self._pace = Pace(lambda: live.config.spool.publish_bytes_per_s)

    async def run(self) -> None:
        while True:
            try:
                async with (
                    connect(self._settings) as bus,
                    noted(bus, self._member.status),
                    asyncio.TaskGroup() as group,
                ):
                    self._publisher = Publisher(self._spool, bus, self._stage, pace=self._pace)
                    self._connected.set()
                    group.create_task(self._live.watch_bus(bus), name="configuration")
                    group.create_task(self._publisher.run(), name="publisher")
            except* Retryable as errors:
                for error in errors.exceptions:
                    _log.warning("the bus is away: %s", error)
                await asyncio.sleep(_RECONNECT_S)

    async def drain(self, seconds: float) -> bool:
        """Wait until all is delivered, `seconds` at most; tell whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # A stop soon after the start comes before the connection.
                if self._spool.held and self._publisher is None:
                    await self._connected.wait()
                if self._publisher is not None:
                    await self._publisher.drain(seconds)
        return not self._spool.held


@contextlib.asynccontextmanager
async def _publishing(
    spool: Spool, live: LiveConfig, node: str, ledger: Ledger
) -> AsyncIterator[_Delivery]:
    settings = connection_settings(live.config, "agent", node=node)
    delivery = _Delivery(spool, settings, live, ledger)
    task = asyncio.create_task(delivery.run(), name="delivery")
    try:
        yield delivery
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

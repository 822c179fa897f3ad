"""The aggregator as a service: provisions the bus, folds its partitions, feeds its exporters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from agentsight_core.bus.access import connection_settings
from agentsight_core.bus.connection import Bus, connect
from agentsight_core.bus.members import noted
from agentsight_core.bus.provisioning import StreamUpdateError, provision
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.errors import ConfigError, Retryable
from agentsight_core.pb.api_pb2 import MemberStatus, PartitionStatus
from agentsight_core.plugins import AnalyzerPlugin, find_plugin
from agentsight_core.ports import Analyzer
from agentsight_core.runtime.live_config import ConfigCollector, LiveConfig
from agentsight_core.runtime.member import Member, member_name
from agentsight_core.runtime.notes import announced, leave_ledger
from agentsight_core.telemetry.certificates import CertificateCollector, certificate_files
from agentsight_core.telemetry.http import TelemetryServer
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.telemetry.process import process_registry

from agentsight_aggregator.api.server import serving
from agentsight_aggregator.coordination.coordinator import Coordinator
from agentsight_aggregator.coordination.etcd import EtcdCoordinator, OnLeader
from agentsight_aggregator.coordination.local import LocalCoordinator
from agentsight_aggregator.exporters.prometheus import PartitionCollector
from agentsight_aggregator.exporting import Exporting
from agentsight_aggregator.fold import build_fold
from agentsight_aggregator.plugins.fold import PluggedFold
from agentsight_aggregator.samples import Sample
from agentsight_aggregator.settings import (
    aggregator_settings,
    api_settings,
    bus_settings,
    etcd_settings,
    fold_settings,
    group_settings,
    plugin_limits,
    telemetry_settings,
)
from agentsight_aggregator.status_metrics import StatusCollector, WorkCollector
from agentsight_aggregator.worker.aggregator import Aggregator
from agentsight_aggregator.worker.retention import keeping_unfolded

_log = logging.getLogger(__name__)

_SETTLE_S = 20.0
_RETRY_S = 0.5


class Service:
    """One aggregator with its exporters."""

    def __init__(self, live: LiveConfig, bus: Bus, coordinator: Coordinator) -> None:
        self._live = live
        self._config = config = live.config
        self._bus = bus
        self._coordinator = coordinator
        self.ledger = Ledger()
        # Of all plugins: they change while these run.
        self._limits = plugin_limits(config)
        _find_analyzers(config)
        self._exporting = Exporting(bus, coordinator, self.ledger, self._samples)
        self._aggregator = Aggregator(
            bus,
            coordinator,
            lambda _: PluggedFold(
                build_fold(fold_settings(self._config)),
                self._config.plugins.analyzers,
                self._make_analyzer,
                self._limits,
            ),
            self.ledger,
            aggregator_settings(config),
            self._exporting.wrote,
        )
        self._member = Member("aggregator", member_name(config), self.ledger)
        self._api_port = 0
        self._telemetry = self._make_telemetry()
        self._announce: Callable[[Mapping[str, object]], object] = lambda _: None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish what is on the bus already."""
        async with (
            self._telemetry,
            self._answering(),
            asyncio.TaskGroup() as group,
        ):
            await self._exporting.start(self._config, group)
            folding = group.create_task(self._aggregator.run(), name="aggregator")
            watching = [
                group.create_task(self._live.watch_file(), name="configuration file"),
                group.create_task(self._live.watch_bus(self._bus), name="configuration"),
            ]
            state_dir = self._config.node.state_dir
            with announced(state_dir, "aggregator", self._facts()) as self._announce:
                self._live.serve(self.apply)
                await stop.wait()
            for task in watching:
                task.cancel()
            await asyncio.wait(watching)
            await self._settle()
            await self._exporting.close()
            self._aggregator.stop()
            await folding

    async def apply(self, config: AgentSightConfig) -> None:
        """Go on as `config` says.

        Raises ConfigError when a plugin is not there, an exporter or a port cannot be opened, or
        the streams cannot become so; Retryable when the bus does not answer.
        """
        _find_analyzers(config)
        await self._listen(config)
        await self._exporting.apply(config)
        await self._change_streams(config)
        self._config = config
        limits = plugin_limits(config)
        self._limits.seconds, self._limits.failures = limits.seconds, limits.failures
        self._aggregator.apply(aggregator_settings(config))

    async def _change_streams(self, config: AgentSightConfig) -> None:
        """Bring the streams to what `config` says, if that is new and this member is to do it."""
        wanted = bus_settings(config)
        if wanted == bus_settings(self._config) or not self._coordinator.is_leader:
            return
        if await keeping_unfolded(self._bus, wanted) != wanted:
            raise ConfigError(
                f"bus.events_max_age_s: {wanted.events.max_age_seconds:g} s would remove frames "
                "that no aggregator has folded yet; `agentsight status` shows how far they are"
            )
        await provision(self._bus, wanted, placing_seconds=0.0)

    async def _listen(self, config: AgentSightConfig) -> None:
        settings = telemetry_settings(config)
        try:
            await self._telemetry.apply(settings)
        except OSError as error:
            raise ConfigError(
                f"exporters.prometheus: cannot listen on {settings.host}:{settings.port}: "
                f"{error.strerror}"
            ) from error
        self._announce(self._facts())

    def _facts(self) -> Mapping[str, object]:
        """Return what other processes of this machine may know."""
        return {"telemetry_port": self._telemetry.port, "api_port": self._api_port}

    def _make_analyzer(self, name: str) -> Analyzer:
        plugin = find_plugin("analyzer", name)
        assert isinstance(plugin, AnalyzerPlugin)
        return plugin.make(self._config.plugins.options_of(name))

    async def _settle(self) -> None:
        """Answer what is in EVENTS, and export what is in FINDINGS, if that can be done soon."""
        try:
            async with asyncio.timeout(_SETTLE_S):
                await self._aggregator.settle()
                await self._exporting.settle()
        except TimeoutError:
            _log.warning("not everything was answered in %s s; the next start goes on", _SETTLE_S)

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """Serve the API, and say on the bus who this is."""
        async with AsyncExitStack() as stack:
            if self._config.api.enabled:
                api = serving(self._bus, api_settings(self._config))
                self._api_port = await stack.enter_async_context(api)
            await stack.enter_async_context(noted(self._bus, self._note))
            yield

    def _note(self) -> MemberStatus:
        note = self._member.status()
        if self._api_port:
            note.api_address = f"{self._config.api.host}:{self._api_port}"
        note.partitions.extend(
            PartitionStatus(partition=mine.partition, fence=mine.fence, position=position)
            for mine, position in self._aggregator.positions().items()
        )
        note.exports.extend(self._exporting.status())
        if status := self._coordinator.status():
            note.coordination.CopyFrom(status)
        return note

    def _samples(self) -> Iterator[tuple[int, Sample]]:
        for partition, fold in self._aggregator.folds().items():
            assert isinstance(fold, PluggedFold)
            for sample in fold.samples():
                yield partition, sample

    def _make_telemetry(self) -> TelemetryServer:
        registry = process_registry(self.ledger, "aggregator")
        registry.register(PartitionCollector(self._samples))
        registry.register(CertificateCollector(certificate_files(self._config)))
        registry.register(ConfigCollector(self._live))
        registry.register(StatusCollector(self._note))
        aggregator = self._aggregator
        registry.register(WorkCollector(aggregator.lags, lambda: aggregator.fenced_writes))
        return TelemetryServer(registry, self.ledger, settings=telemetry_settings(self._config))


def _find_analyzers(config: AgentSightConfig) -> None:
    """Raise ConfigError unless all analyzer plugins of `config` are installed and fit."""
    for name in config.plugins.analyzers:
        find_plugin("analyzer", name)


async def serve(live: LiveConfig, stop: asyncio.Event) -> None:
    """Run one aggregator until `stop` is set; it owns what its coordinator assigns to it."""
    config = live.config
    async with connect(connection_settings(config, "aggregator")) as bus:
        prepare = _preparing(bus, live)
        if not config.coordination.endpoints:
            await _until_done(prepare)
        # In a group the leader prepares the bus before it assigns anything.
        async with _coordinator(config, prepare) as coordinator:
            service = Service(live, bus, coordinator)
            await service.run(stop)
    leave_ledger(config.node.state_dir, "aggregator", service.ledger)


def _preparing(bus: Bus, live: LiveConfig) -> OnLeader:
    """Return what makes the streams and buckets as the configuration says at that moment.

    Streams that cannot become so stay as they are: a bad generation must not end every aggregator
    that is elected.
    """

    async def prepare() -> None:
        wanted = bus_settings(live.config)
        possible = await keeping_unfolded(bus, wanted)
        if possible != wanted:
            _log.warning("EVENTS keeps its age: there are frames that are not folded yet")
        try:
            await provision(bus, possible)
        except StreamUpdateError as error:
            _log.error("%s; it stays as it is", error)

    return prepare


async def _until_done(prepare: OnLeader) -> None:
    """Prepare the bus, as soon as it can be done: its servers may still look for a leader."""
    while True:
        try:
            await prepare()
        except Retryable as error:
            _log.warning("the bus is not ready: %s", error)
            await asyncio.sleep(_RETRY_S)
        else:
            return


def _coordinator(config: AgentSightConfig, on_leader: OnLeader) -> Coordinator:
    if not config.coordination.endpoints:
        return LocalCoordinator(config.bus.partitions)
    return EtcdCoordinator(etcd_settings(config), group_settings(config), on_leader)

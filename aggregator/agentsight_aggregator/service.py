"""The aggregator as a service: provisions the bus, folds its partitions, feeds its exporters."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial

from agentsight_core.bus.access import connection_settings
from agentsight_core.bus.connection import Bus, connect
from agentsight_core.bus.findings import ExportRunner
from agentsight_core.bus.provisioning import provision
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.errors import Retryable
from agentsight_core.ports import Exporter
from agentsight_core.runtime.notes import announced, leave_ledger
from agentsight_core.telemetry.certificates import CertificateCollector, certificate_files
from agentsight_core.telemetry.http import TelemetryServer, TelemetrySettings
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.telemetry.process import process_registry

from agentsight_aggregator.coordination.coordinator import Coordinator
from agentsight_aggregator.coordination.etcd import EtcdCoordinator, OnLeader
from agentsight_aggregator.coordination.local import LocalCoordinator
from agentsight_aggregator.exporters.jsonl import JsonLinesExporter
from agentsight_aggregator.exporters.otlp.exporter import OtlpMetricsExporter, OtlpTraceExporter
from agentsight_aggregator.exporters.otlp.grpc_transport import GrpcTransport
from agentsight_aggregator.exporters.otlp.http_transport import HttpTransport
from agentsight_aggregator.exporters.otlp.transport import Transport
from agentsight_aggregator.exporters.prometheus import PartitionCollector
from agentsight_aggregator.exporters.rotating_file import RotatingFile
from agentsight_aggregator.fold import PartitionFold, build_fold
from agentsight_aggregator.samples import Sample
from agentsight_aggregator.settings import (
    aggregator_settings,
    bus_settings,
    etcd_settings,
    fold_settings,
    group_settings,
    otlp_settings,
    rotation_settings,
)
from agentsight_aggregator.worker.aggregator import Aggregator

_log = logging.getLogger(__name__)

_SETTLE_S = 20.0
_RETRY_S = 0.5


class Service:
    """One aggregator with its exporters."""

    def __init__(self, config: AgentSightConfig, bus: Bus, coordinator: Coordinator) -> None:
        self._config = config
        self._bus = bus
        self.ledger = Ledger()
        settings = fold_settings(config)
        self._aggregator = Aggregator(
            bus,
            coordinator,
            lambda _: build_fold(settings),
            self.ledger,
            aggregator_settings(config),
        )
        self._runners: list[ExportRunner] = []
        self._metrics: OtlpMetricsExporter | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish what is on the bus already."""
        async with AsyncExitStack() as stack:
            await self._open_exporters(stack)
            telemetry = await stack.enter_async_context(self._telemetry())
            async with asyncio.TaskGroup() as group:
                folding = group.create_task(self._aggregator.run(), name="aggregator")
                exporting = [
                    group.create_task(runner.run(), name=runner.name) for runner in self._runners
                ]
                if self._metrics is not None:
                    interval_s = self._config.exporters.otlp.metrics_interval_ms / 1000
                    exporting.append(group.create_task(self._metrics.run(interval_s)))
                facts = {"telemetry_port": telemetry.port}
                with announced(self._config.node.state_dir, "aggregator", facts):
                    await stop.wait()
                await self._settle()
                for task in exporting:
                    task.cancel()
                self._aggregator.stop()
                await folding

    async def _settle(self) -> None:
        """Answer what is in EVENTS, and export what is in FINDINGS, if that can be done soon."""
        try:
            async with asyncio.timeout(_SETTLE_S):
                await self._aggregator.settle()
                for runner in self._runners:
                    await runner.settle()
                if self._metrics is not None:
                    await self._metrics.push(time.time_ns())
        except TimeoutError:
            _log.warning("not everything was answered in %s s; the next start goes on", _SETTLE_S)

    def _samples(self) -> Iterator[tuple[int, Sample]]:
        for partition, fold in self._aggregator.folds().items():
            assert isinstance(fold, PartitionFold)
            for sample in fold.samples():
                yield partition, sample

    def _telemetry(self) -> TelemetryServer:
        registry = process_registry(self.ledger, "aggregator")
        registry.register(PartitionCollector(self._samples))
        registry.register(CertificateCollector(certificate_files(self._config)))
        prometheus = self._config.exporters.prometheus
        settings = TelemetrySettings(host=prometheus.host, port=prometheus.port)
        return TelemetryServer(registry, self.ledger, settings=settings)

    async def _open_exporters(self, stack: AsyncExitStack) -> None:
        exporters = self._config.exporters
        if exporters.jsonl.path is not None:
            file = RotatingFile(exporters.jsonl.path, rotation_settings(self._config))
            self._add("jsonl", JsonLinesExporter(stack.enter_context(file)))
        if exporters.otlp.endpoint:
            transport = await self._open_transport(stack)
            self._add("otlp", OtlpTraceExporter(transport, self.ledger.stage("sink.otlp", "spans")))
            started_ns = time.time_ns()
            self._metrics = OtlpMetricsExporter(
                transport,
                self._samples,
                self.ledger.stage("sink.otlp.metrics", "points"),
                start_ns=lambda _: started_ns,
                resource={
                    "service.name": "agentsight",
                    "agentsight.cluster": self._config.node.cluster,
                },
            )

    async def _open_transport(self, stack: AsyncExitStack) -> Transport:
        settings = otlp_settings(self._config)
        if settings.protocol == "grpc":
            return await stack.enter_async_context(GrpcTransport(settings))
        return await stack.enter_async_context(HttpTransport(settings))

    def _add(self, name: str, exporter: Exporter) -> None:
        stage = self.ledger.stage(f"export.{name}", "findings")
        self._runners.append(ExportRunner(name, exporter, self._bus, stage))


async def serve(config: AgentSightConfig, stop: asyncio.Event) -> None:
    """Run one aggregator until `stop` is set; it owns what its coordinator assigns to it."""
    async with connect(connection_settings(config, "aggregator")) as bus:
        prepare = partial(provision, bus, bus_settings(config))
        if not config.coordination.endpoints:
            await _until_done(prepare)
        # In a group the leader prepares the bus before it assigns anything.
        async with _coordinator(config, prepare) as coordinator:
            service = Service(config, bus, coordinator)
            await service.run(stop)
    leave_ledger(config.node.state_dir, "aggregator", service.ledger)


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

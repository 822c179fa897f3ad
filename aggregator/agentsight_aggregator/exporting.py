"""The exporters of one aggregator: opened, run, and replaced when the configuration changes.

An exporter exports the partitions that this aggregator owns. One that changes finishes the batch
under way before its successor begins; its positions stay on the bus, also while it is switched off.
Must not know how to export.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from agentsight_core.bus.connection import Bus
from agentsight_core.bus.sinks import Sink
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.errors import ConfigError, Permanent, Retryable
from agentsight_core.pb.api_pb2 import ExportStatus
from agentsight_core.plugins import ExporterPlugin, find_plugin
from agentsight_core.ports import Exporter
from agentsight_core.telemetry.ledger import Ledger

from agentsight_aggregator.coordination.coordinator import Assignment, Coordinator
from agentsight_aggregator.exporters.jsonl import JsonLinesExporter
from agentsight_aggregator.exporters.otlp.exporter import OtlpMetricsExporter, OtlpTraceExporter
from agentsight_aggregator.exporters.otlp.grpc_transport import GrpcTransport
from agentsight_aggregator.exporters.otlp.http_transport import HttpTransport
from agentsight_aggregator.exporters.otlp.transport import Transport
from agentsight_aggregator.exporters.rotating_file import RotatingFile
from agentsight_aggregator.owned_exports import OwnedExports
from agentsight_aggregator.plugins.guarded_analyzer import Limits
from agentsight_aggregator.plugins.guarded_exporter import GuardedExporter
from agentsight_aggregator.samples import SampleSource
from agentsight_aggregator.settings import otlp_settings, rotation_settings

_log = logging.getLogger(__name__)

# At the end of the process: for a batch that its sink is about to answer.
_LAST_S = 5.0
_PLUGIN = "plugin."
# A batch of an exporter plugin may take so many times as an event of an analyzer plugin.
_BATCH_BUDGET = 100


@dataclass(slots=True)
class _Running:
    """One exporter at work, and the part of the configuration that it was made of."""

    part: object
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    exports: OwnedExports | None = None
    # Pushes metrics beside.
    pushing: asyncio.Task[None] | None = None
    push: Callable[[int], Awaitable[None]] | None = None


class Exporting:
    """Runs the exporters that the configuration asks for."""

    def __init__(
        self, bus: Bus, coordinator: Coordinator, ledger: Ledger, samples: SampleSource
    ) -> None:
        self._bus = bus
        self._coordinator = coordinator
        self._ledger = ledger
        self._samples = samples
        self._running: dict[str, _Running] = {}
        self._group: asyncio.TaskGroup | None = None
        self._following: asyncio.Task[None] | None = None
        self._mine: frozenset[Assignment] = frozenset()
        # Counters are the partitions' own and go on when the exporter is replaced.
        self._started_ns = time.time_ns()

    async def start(self, config: AgentSightConfig, group: asyncio.TaskGroup) -> None:
        """Open what `config` asks for and run it in `group`; raises ConfigError."""
        self._group = group
        await self.apply(config)
        self._following = self._task(self._follow_assignments(), "exporting")

    def wrote(self, partition: int, sequence: int, count: int) -> None:
        """Say that `count` findings, up to `sequence`, were written to `partition`."""
        for exports in self._exports():
            exports.wrote(partition, sequence, count)

    def status(self) -> list[ExportStatus]:
        """Return how far each exporter is behind, on the partitions that this process owns."""
        return [
            ExportStatus(
                exporter=exports.sink.name,
                partitions=exports.partitions,
                behind=exports.behind,
                retries=exports.sink.retries,
                is_off=not exports.sink.is_on,
            )
            for exports in self._exports()
        ]

    def _exports(self) -> Iterator[OwnedExports]:
        return (one.exports for one in self._running.values() if one.exports is not None)

    async def _follow_assignments(self) -> None:
        async for mine in self._coordinator.assignments():
            self._mine = mine
            for exports in self._exports():
                exports.follow(mine)

    async def apply(self, config: AgentSightConfig) -> None:
        """Open, close and replace what has changed.

        Raises ConfigError when one cannot be opened: that one is closed then, the rest is as asked.
        """
        otlp, jsonl = config.exporters.otlp, config.exporters.jsonl
        await self._follow("jsonl", jsonl if jsonl.path else None, self._open_jsonl, config)
        await self._follow("otlp", otlp if otlp.endpoint else None, self._open_otlp, config)
        wanted = {f"{_PLUGIN}{name}": name for name in config.plugins.exporters}
        for name in [one for one in self._running if one.startswith(_PLUGIN)]:
            if name not in wanted:
                await self._close(name)
        plugins = config.plugins
        for full_name, name in wanted.items():
            part = (plugins.options_of(name), plugins.time_budget_ms, plugins.max_failures)
            await self._follow(full_name, part, partial(self._open_plugin, name), config)

    async def settle(self) -> None:
        """Return when everything that is in FINDINGS at the call is exported, metrics too."""
        for running in self._running.values():
            if running.exports is not None:
                await running.exports.settle()
            if running.push is not None:
                try:
                    await running.push(time.time_ns())
                except (Retryable, Permanent) as error:
                    _log.warning("the last metrics were not pushed: %s", error)

    async def close(self) -> None:
        """Stop all of them; what a sink does not answer soon comes again after the next start."""
        if self._following is not None:
            self._following.cancel()
        async with asyncio.TaskGroup() as group:
            for name in list(self._running):
                group.create_task(self._close(name, _LAST_S))

    async def _follow(
        self,
        name: str,
        part: object,
        open_it: Callable[[_Running, AgentSightConfig], Awaitable[None]],
        config: AgentSightConfig,
    ) -> None:
        running = self._running.get(name)
        if (running.part if running else None) == part:
            return
        if running is not None:
            await self._close(name)
        if part is None:
            return
        running = _Running(part)
        try:
            await open_it(running, config)
        except BaseException:
            await running.stack.aclose()
            raise
        self._running[name] = running

    async def _close(self, name: str, grace_s: float | None = None) -> None:
        running = self._running.pop(name)
        if running.pushing is not None:
            running.pushing.cancel()
        if running.exports is not None:
            await (running.exports.close() if grace_s is None else running.exports.close(grace_s))
        await running.stack.aclose()

    async def _open_jsonl(self, running: _Running, config: AgentSightConfig) -> None:
        path = config.exporters.jsonl.path
        assert path is not None
        try:
            file = running.stack.enter_context(RotatingFile(path, rotation_settings(config)))
        except OSError as error:
            raise ConfigError(
                f"exporters.jsonl.path: {path} cannot be opened: {error.strerror}"
            ) from error
        self._run(running, "jsonl", JsonLinesExporter(file))

    async def _open_otlp(self, running: _Running, config: AgentSightConfig) -> None:
        transport = await _open_transport(running.stack, config)
        metrics = OtlpMetricsExporter(
            transport,
            self._samples,
            self._ledger.stage("sink.otlp.metrics", "points"),
            start_ns=lambda _: self._started_ns,
            resource={
                "service.name": "agentsight",
                "agentsight.cluster": config.node.cluster,
            },
        )
        running.push = metrics.push
        interval_s = config.exporters.otlp.metrics_interval_ms / 1000
        running.pushing = self._task(metrics.run(interval_s), "otlp metrics")
        traces = OtlpTraceExporter(transport, self._ledger.stage("sink.otlp", "spans"))
        self._run(running, "otlp", traces)

    async def _open_plugin(self, name: str, running: _Running, config: AgentSightConfig) -> None:
        plugin = find_plugin("exporter", name)
        assert isinstance(plugin, ExporterPlugin)
        try:
            exporter = await running.stack.enter_async_context(
                plugin.make(config.plugins.options_of(name))
            )
        except Exception as error:  # code of others: it must not end the service
            text = f"{type(error).__name__}: {error}"
            raise ConfigError(f"plugins: exporter {name} cannot be opened: {text}") from error
        settings = config.plugins
        limits = Limits(settings.time_budget_ms / 1000 * _BATCH_BUDGET, settings.max_failures)

        def switch_off() -> None:
            assert running.exports is not None
            running.exports.sink.switch_off()

        self._run(running, f"{_PLUGIN}{name}", GuardedExporter(name, exporter, limits, switch_off))

    def _run(self, running: _Running, name: str, exporter: Exporter) -> None:
        assert self._group is not None, "start() comes first"
        stage = self._ledger.stage(f"export.{name}", "findings")
        sink = Sink(name, exporter, self._bus, stage)
        running.exports = OwnedExports(sink, self._bus, self._coordinator, self._group)
        running.exports.follow(self._mine)

    def _task(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        assert self._group is not None, "start() comes first"
        return self._group.create_task(work, name=name)


async def _open_transport(stack: AsyncExitStack, config: AgentSightConfig) -> Transport:
    settings = otlp_settings(config)
    if settings.protocol == "grpc":
        return await stack.enter_async_context(GrpcTransport(settings))
    return await stack.enter_async_context(HttpTransport(settings))

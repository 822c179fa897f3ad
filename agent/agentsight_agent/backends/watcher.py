"""Turns what a back end gives into frames: the same pipeline as behind the eBPF probes.

For one session. Must not know which back end it is.
"""

from __future__ import annotations

import asyncio
import time

from agentsight_core.clocks import boot_ns
from agentsight_core.parsers.http1 import HttpSettings
from agentsight_core.recordings.frames import FrameSink
from agentsight_core.telemetry.ledger import Ledger

from agentsight_agent.backends.backend import Backend
from agentsight_agent.backends.pipeline import make_pipeline
from agentsight_agent.backends.tree import ProcessTree
from agentsight_agent.enrich.boot import Node, wall_offset_ns
from agentsight_agent.frames import FrameWriter, Identity
from agentsight_agent.redact import Redactor

# The stages of such a recording, in the order of the way of an event.
STAGES = (
    ("drain", "records"),
    ("tls", "bytes"),
    ("http", "messages"),
    ("events", "events"),
)


class BackendWatcher:
    """Drains a back end into a sink."""

    def __init__(
        self,
        backend: Backend,
        tree: ProcessTree,
        node: Node,
        redactor: Redactor,
        sink: FrameSink,
        ledger: Ledger,
        http: HttpSettings,
    ) -> None:
        self._backend = backend
        self._sink = sink
        for name, unit in STAGES:
            ledger.stage(name, unit)
        identity = Identity(node.agent_id, time.time_ns(), node.name, node.cluster)
        self._frames = FrameWriter(identity, sink, ledger.stage("events", "events"))
        self._pipeline = make_pipeline(tree, redactor, self._frames, ledger, http)

    async def run(self, stop: asyncio.Event, period_s: float) -> None:
        """Drain every `period_s` until `stop` is set."""
        while not stop.is_set():
            self.drain()
            try:
                async with asyncio.timeout(period_s):
                    await stop.wait()
            except TimeoutError:
                continue

    def drain(self) -> None:
        """Take what there is, as of now."""
        offset_ns = wall_offset_ns()
        self._pipeline.take(self._backend.drain(offset_ns), offset_ns)
        self._frames.flush()

    async def finish(self) -> None:
        """Take the rest and end what is open."""
        self.drain()
        self._pipeline.stop(boot_ns(), wall_offset_ns())
        await self._sink.drain()

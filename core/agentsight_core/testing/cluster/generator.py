"""A program in the place of an agent: the real spool and publisher, numbered units, no probes.

    python -m agentsight_core.testing.cluster.generator --folder F --config FILE …

It writes each unit into a ledger that is synced, then puts it into the spool. SIGTERM: it ends its
sessions, waits until everything is delivered, says so in the ledger and exits.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import time
from pathlib import Path

from agentsight_core import ids, wire
from agentsight_core.bus.access import connection_settings
from agentsight_core.bus.connection import connect
from agentsight_core.bus.publisher import Publisher
from agentsight_core.config import load_config
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.errors import Retryable
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.runtime.signals import stop_on_signals
from agentsight_core.sealing import Sealer
from agentsight_core.spool.epochs import Epoch, EpochNote, losses
from agentsight_core.spool.settings import SpoolSettings
from agentsight_core.spool.spool import Spool
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.testing.cluster.ledger import LedgerWriter, read_ledger_of_units
from agentsight_core.testing.cluster.units import digest_of, end_events, unit_events

_ROUND_SECONDS = 0.05
_DRAIN_SECONDS = 600.0

log = logging.getLogger("generator")


class Generator:
    """The units of one node."""

    def __init__(self, options: argparse.Namespace, config: AgentSightConfig, spool: Spool) -> None:
        self._options = options
        self._spool = spool
        self._node = config.node.name
        self._cluster = config.node.cluster
        public_file = config.security.seal.frames_public_file
        self._sealer = Sealer(public_file) if public_file else None
        self._epoch_ns = time.time_ns()
        self._agent_id = ids.digest("agent", self._node, size=8).hex()
        self._sequences: dict[int, int] = {}
        self._note = EpochNote(options.folder / "spool" / "epoch.json")
        path = options.folder / "ledger"
        known = read_ledger_of_units(path).taken
        self._ledger = LedgerWriter(path)
        self._units = {
            session: max(known.get(session, {0: ""}))
            for session in sessions_of(self._node, options.sessions)
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Make units at the wanted rate until `stop`."""
        if earlier := self._note.left_behind():
            for event in losses(earlier, "", time.time_ns(), time.time_ns()):
                self._put(event.session, [event])
        per_session = max(1, round(self._options.rate * _ROUND_SECONDS / len(self._units)))
        due = time.monotonic()
        while not stop.is_set():
            await self._round(per_session)
            due += per_session * len(self._units) / self._options.rate
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await stop.wait()
        for session in self._units:
            self._put(session, end_events(session, time.time_ns()))
        await self._spool.drain()
        self._note.remove()

    def ended(self) -> None:
        """Say in the ledger that everything is delivered."""
        self._ledger.ended()
        self._ledger.sync()

    async def _round(self, per_session: int) -> None:
        """Write the next units of each session into the ledger, then into the spool."""
        made = []
        for session in self._units:
            for _ in range(per_session):
                self._units[session] += 1
                unit = self._units[session]
                events = unit_events(session, unit, time.time_ns(), self._options.padding)
                self._ledger.taken(session, unit, digest_of(events))
                made.append((session, unit, events))
        await asyncio.to_thread(self._ledger.sync)
        await asyncio.to_thread(self._note.write, Epoch("", 0, list(self._units)))
        for session, _, events in made:
            self._put(session, events)
        await self._spool.drain()
        for session, unit, _ in made:
            self._ledger.durable(session, unit)

    def _put(self, session: int, events: list[pb.Event]) -> None:
        self._sequences[session] = self._sequences.get(session, 0) + 1
        header = pb.FrameHeader(
            agent_id=self._agent_id,
            epoch_ns=self._epoch_ns,
            session=session,
            seq=self._sequences[session],
            event_count=len(events),
            node=self._node,
            cluster=self._cluster,
        )
        frame = wire.encode_frame(header, wire.encode_events(events), self._sealer)
        self._spool.put(header, frame, rank=0)


def sessions_of(node: str, count: int) -> list[int]:
    """Return the ids of the sessions of a node, the same in every run."""
    return [int.from_bytes(ids.digest("session", node, n, size=8), "big") for n in range(count)]


async def _deliver(spool: Spool, config: AgentSightConfig, ledger: Ledger) -> None:
    """Publish what the spool holds, over one connection after the other."""
    settings = connection_settings(config, config.node.name, node=config.node.name)
    while True:
        try:
            async with connect(settings) as bus:
                await Publisher(spool, bus, ledger.stage("publish", "frames")).run()
        except Retryable as error:
            log.warning("the bus is away: %s", error)
            await asyncio.sleep(0.2)


async def _main(options: argparse.Namespace) -> None:
    ledger = Ledger()
    config = load_config(options.config, {})
    settings = SpoolSettings(max_bytes=options.spool_bytes, min_free_bytes=1 << 20)
    stop = stop_on_signals()
    (options.folder / "ready").write_text(str(os.getpid()))
    async with Spool(options.folder / "spool", settings, ledger.stage("spool", "frames")) as spool:
        publishing = asyncio.create_task(_deliver(spool, config, ledger))
        generator = Generator(options, config, spool)
        await generator.run(stop)
        async with asyncio.timeout(_DRAIN_SECONDS):
            while spool.held:  # noqa: ASYNC110  # the spool tells nobody else than its publisher
                await asyncio.sleep(0.02)
        publishing.cancel()
        await asyncio.wait([publishing])
        generator.ended()
        log.warning("%s", ledger.as_dict())


def main() -> None:
    """Run a generator until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    # An agent's: who it is, how it reaches the bus.
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--sessions", type=int, default=4)
    # Units a second, all sessions together.
    parser.add_argument("--rate", type=float, default=40.0)
    parser.add_argument("--padding", type=int, default=0)
    parser.add_argument("--spool-bytes", type=int, default=256 << 20)
    logging.basicConfig(
        level=logging.INFO, format="%(created).3f %(name)s %(levelname)s %(message)s"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(_main(options))


if __name__ == "__main__":
    main()

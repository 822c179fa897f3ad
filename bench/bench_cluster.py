"""Events a second through the whole cluster: publish, EVENTS, fold, FINDINGS, export.

A real cluster (three servers, etcd, processes, as in tests/cluster) is given a backlog of frames by
real spools and publishers; aggregators are started and the time is taken until every finding is
exported to JSON lines. Servers, generators and aggregators share the machine, so figures are given
as ratios too, and a core is CPU time that the aggregators used.

Needs root. Run: sudo .venv/bin/python bench/bench_cluster.py [--units 3000]
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

from agentsight_aggregator.worker.checkpoints import CheckpointStore
from agentsight_core.bus import subjects
from agentsight_core.bus.export_positions import exported_up_to
from agentsight_core.testing.cluster.cluster import Cluster, ClusterSettings, patiently
from agentsight_core.testing.cluster.network import running_network

# What a unit of the generator is made of (a fork, an exec, an exit, and five events of a call).
EVENTS_PER_UNIT = 8
PARTITIONS = 6


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def last_sequence(cluster: Cluster, stream: str) -> int:
    async with cluster.bus("bench") as bus:
        return int((await bus.stream_state(stream)).state.last_seq)


async def fill(cluster: Cluster, units: int) -> float:
    """Let the generators deliver `units` and end; return the seconds that took."""
    began = time.perf_counter()
    for node in cluster.nodes:
        await node.start()

    async def enough() -> bool:
        return await last_sequence(cluster, subjects.EVENTS) >= units

    await patiently(enough, 300)
    seconds = time.perf_counter() - began
    for node in cluster.nodes:
        assert await node.stop() == 0
    return seconds


async def ends(cluster: Cluster) -> dict[int, int]:
    """Return the sequence of the last event of each partition."""
    found = {}
    async with cluster.bus("bench") as bus:
        for number in range(PARTITIONS):
            last = await bus.last(subjects.EVENTS, f"events.{number}.>")
            found[number] = last.sequence if last else 0
    return found


async def exported(cluster: Cluster, wanted: dict[int, int]) -> bool:
    """Whether the checkpoints cover `wanted`, and the exporters have had every finding."""
    async with cluster.bus("bench") as bus:
        for number, end in wanted.items():
            if await CheckpointStore(bus, number).position() < end:
                return False
            last = await bus.last(subjects.FINDINGS, subjects.findings_filter(number))
            if last and await exported_up_to(bus, "jsonl", number) < last.sequence:
                return False
        return True


async def measure(folder: Path, aggregators: int, replicas: int, units: int) -> tuple[float, ...]:
    """Return seconds of publishing, seconds of folding, and CPU seconds of the aggregators."""
    settings = ClusterSettings(
        aggregators=aggregators,
        replicas=replicas,
        partitions=PARTITIONS,
        sessions_per_node=12,
        rate=600,
        checkpoint_ms=500,
        jsonl=True,
        # What TLS and sealing cost is measured apart.
        secured=False,
    )
    async with running_network() as network:
        cluster = Cluster(folder, settings, network)
        try:
            await cluster.build()
            await asyncio.gather(*(member.start() for member in [*cluster.nats, *cluster.etcd]))
            await cluster.healthy()
            # The leader makes the streams; then the load comes without anybody who folds it.
            await cluster.aggregators[0].start()
            await cluster.ready(cluster.aggregators[0])
            await patiently(lambda: _exists(cluster), 60)
            await cluster.aggregators[0].stop()
            publishing = await fill(cluster, units)
            frames = await last_sequence(cluster, subjects.EVENTS)
            wanted = await ends(cluster)
            for member in cluster.aggregators:
                await member.start()
            await cluster.ready(*cluster.aggregators)
            began = time.perf_counter()
            used = sum(cpu_seconds(member.pid) for member in cluster.aggregators)
            await patiently(lambda: exported(cluster, wanted), 600)
            folding = time.perf_counter() - began
            used = sum(cpu_seconds(member.pid) for member in cluster.aggregators) - used
            return frames, publishing, folding, used
        finally:
            await cluster.kill_all()


async def _exists(cluster: Cluster) -> bool:
    return await last_sequence(cluster, subjects.EVENTS) >= 0


async def main_async(units: int) -> None:
    reference = 0.0
    for replicas, aggregators in ((3, 1), (3, 2), (3, 3), (1, 1)):
        with tempfile.TemporaryDirectory() as folder:
            frames, publishing, folding, used = await measure(
                Path(folder) / "c", aggregators, replicas, units
            )
        rate = frames * EVENTS_PER_UNIT / folding
        reference = reference or rate
        print(
            f"R{replicas}, {aggregators} aggregators: publish "
            f"{frames * EVENTS_PER_UNIT / publishing:6.0f} events/s, fold and export {rate:6.0f} "
            f"events/s ({rate / reference:4.2f} x R3 with one), "
            f"{frames * EVENTS_PER_UNIT / used:6.0f} events/s and core",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=3000)
    asyncio.run(main_async(parser.parse_args().units))


if __name__ == "__main__":
    main()

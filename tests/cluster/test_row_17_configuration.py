import asyncio
import json
import sys
from functools import partial

import pytest
import yaml
from agentsight_core.bus import subjects
from agentsight_core.testing.cluster.cluster import patiently
from agentsight_core.testing.conditions import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]

_BAD_FILES = {
    "broken YAML": "node: {cluster: [",
    "unknown key": "node:\n  colour: blue\n",
    "wrong type": "aggregator:\n  tick_interval_ms: soon\n",
    "half-written": None,
    "no UTF-8": b"\xff\xfe\x00",
}


async def config(cluster, *words: str) -> tuple[int, str]:
    """Run `agentsight config …` as an operator; return status and output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentsight_cli", "config", *words),
        f"--config={cluster.operator_config()}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return int(process.returncode), output.decode()


async def everybody_runs_the_newest(cluster) -> bool:
    status, text = await config(cluster, "status", "--json")
    return status == 0 and len(json.loads(text)["members"]) >= len(cluster.aggregators)


def refusals(aggregator) -> int:
    return aggregator.output().count("configuration refused, the last good one stays")


async def test_the_configuration_changes_under_load_and_bad_ones_are_refused(run):
    async with run("configuration: changed, and damaged, under load") as it:
        cluster = it.cluster
        for value in (500, 1500, 700):
            it.happens()
            status, text = await config(
                cluster, "set", "aggregator.checkpoint_interval_ms", str(value)
            )
            assert status == 0, text
            await cluster.flows()
        it.happens()
        status, text = await config(cluster, "set", "bus.findings_max_age_s", "7200")
        assert status == 0, text
        await patiently(partial(everybody_runs_the_newest, cluster), 30)
        async with cluster.bus() as bus:
            # Who leads has done it.
            assert (await bus.stream_state(subjects.FINDINGS)).config.max_age == 7200
        for key, value in (("aggregator.checkpoint_interval_ms", "soon"), ("colour", "blue")):
            it.happens()
            status, text = await config(cluster, "set", key, value)
            assert status != 0, text
            assert key in text
        victim = it.random.choice(cluster.aggregators)
        file = victim.folder / "config.yaml"
        good = file.read_bytes()
        for text in _BAD_FILES.values():
            it.happens()
            seen = refusals(victim)
            bad = good[: len(good) // 2] if text is None else text
            file.write_bytes(bad if isinstance(bad, bytes) else bad.encode())
            await eventually(lambda seen=seen: refusals(victim) > seen, 20)
            await cluster.flows()
        file.write_bytes(good)
        await patiently(partial(everybody_runs_the_newest, cluster), 30)
        it.note(refused=refusals(victim))
        verdict = await it.finish()
        assert not verdict.faults


async def test_with_a_bad_file_an_aggregator_does_not_start(run):
    async with run("configuration: bad at the start") as it:
        cluster = it.cluster
        victim = it.random.choice(cluster.aggregators)
        file = victim.folder / "config.yaml"
        good = yaml.safe_load(file.read_text())
        it.happens()
        await victim.kill()
        file.write_text(yaml.safe_dump({**good, "colour": "blue"}))
        await victim.start()
        assert await victim.ended(20) != 0
        assert "colour" in victim.output()
        await cluster.flows()
        file.write_text(yaml.safe_dump(good))
        await victim.start()
        await cluster.ready(victim)
        verdict = await it.finish()
        assert not verdict.faults

"""The plugins keep what AgentSight promises of every analyzer and exporter."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from agentsight_core.pb.findings_pb2 import Edge, Finding
from agentsight_core.testing.agent_log import AgentLog
from agentsight_core.testing.contracts import check_analyzer, check_exporter
from agentsight_example_plugin import commands, counts


def test_the_analyzer() -> None:
    """It is deterministic, also over a restart anywhere, and finds what repeats."""
    log = AgentLog()
    log.start(1.0)
    for number in range(3):
        log.run(2.0 + number, 2.5 + number, 300 + number, ["ls", "-l"])
    found = check_analyzer(lambda: commands.PLUGIN.make({}), log.events)
    assert [finding.edge.method for finding in found] == [
        "repeated command, 2 times",
        "repeated command, 3 times",
    ]


def test_the_exporter(tmp_path: Path) -> None:
    """What it was given is there when it returns, and blocks nobody."""
    path = tmp_path / "counts.json"
    batch = [Finding(id=bytes([n]) * 16, edge=Edge(method="m")) for n in range(1, 4)]

    async def check() -> None:
        async with counts.PLUGIN.make({"path": str(path)}) as exporter:
            await check_exporter(exporter, batch, lambda: path.exists() and path.read_text())
            await exporter.export(batch)

    asyncio.run(check())
    assert json.loads(path.read_text()) == {"edge": 3}, "what comes again counts once"

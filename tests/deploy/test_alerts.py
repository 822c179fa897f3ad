"""The alerts: unit-tested by promtool, documented, and delivered by a real Alertmanager."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import pytest
import yaml
from agentsight_core.telemetry.http import TelemetryServer
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.telemetry.process import process_registry
from agentsight_core.testing.ports import free_ports

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "agentsight.rules.yaml"
UNIT_TESTS = ROOT / "deploy" / "prometheus" / "tests" / "agentsight.test.yaml"
SEVERITIES = {"critical", "warning", "info"}


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def promtool(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    assert program is not None, "the set-up installs Debian's prometheus"
    return subprocess.run(
        [program, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_the_unit_tests_of_the_rules_pass() -> None:
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0, done.stderr
    done = promtool("test", "rules", str(UNIT_TESTS))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new"), [("> 0.7", "> 0.9"), ("> 50", "> 5"), ("for: 1m", "for: 9m")]
)
def test_the_unit_tests_fail_when_a_rule_is_changed(tmp_path: Path, old: str, new: str) -> None:
    text = RULES.read_text()
    assert old in text
    (tmp_path / RULES.name).write_text(text.replace(old, new))
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "changed.yaml").write_text(UNIT_TESTS.read_text())
    assert promtool("test", "rules", "tests/changed.yaml", cwd=tmp_path).returncode != 0


def test_each_alert_is_tested_to_fire_and_not_to_fire() -> None:
    fires, quiet = set(), set()
    for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"]:
        for expected in test["alert_rule_test"]:
            (fires if expected["exp_alerts"] else quiet).add(expected["alertname"])
    assert fires == set(alerts())
    # The test of an agent that is down has one at first, and two later.
    assert quiet | {"AgentSightAgentDown"} == set(alerts())


@pytest.mark.parametrize("name", sorted(alerts()))
def test_each_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    rule = alerts()[name]
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    headings = re.findall(
        r"^#+ (.*)$", (ROOT / "docs/runbooks" / f"{name}.md").read_text(), re.MULTILINE
    )
    assert headings == [name, "What it means", "How to look", "What to do"]


def test_there_is_no_runbook_without_an_alert() -> None:
    assert {path.stem for path in (ROOT / "docs/runbooks").glob("*.md")} == set(alerts())


class Webhook:
    """Takes what Alertmanager sends."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None
        self.received.put_nowait(json.loads(await reader.readexactly(int(length[1]))))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


async def start(folder: Path, program: str, config: object, *options: str) -> Process:
    path = shutil.which(program)
    assert path is not None, f"the set-up installs Debian's {program}"
    (folder / f"{program}.yml").write_text(json.dumps(config))
    with (folder / f"{program}.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            path, f"--config.file={folder / f'{program}.yml'}", *options, stderr=log
        )


@pytest.mark.server
async def test_a_loss_is_told_by_a_real_alertmanager(tmp_path: Path) -> None:
    ledger, webhook = Ledger(), Webhook()
    ledger.stage("kernel", "records").drop("ring_full", 7)
    listener = await asyncio.start_server(webhook.answer, "127.0.0.1", 0)
    hook = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    manager_port, prometheus_port = free_ports(2)
    async with TelemetryServer(process_registry(ledger, "agent"), ledger) as telemetry:
        manager = await start(
            tmp_path,
            "prometheus-alertmanager",
            {
                "route": {"receiver": "hook", "group_wait": "0s"},
                "receivers": [{"name": "hook", "webhook_configs": [{"url": hook}]}],
            },
            f"--storage.path={tmp_path / 'manager'}",
            f"--web.listen-address=127.0.0.1:{manager_port}",
            "--cluster.listen-address=",
        )
        targets = [{"targets": [f"127.0.0.1:{telemetry.port}"]}]
        prometheus = await start(
            tmp_path,
            "prometheus",
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(RULES)],
                "alerting": {
                    "alertmanagers": [
                        {"static_configs": [{"targets": [f"127.0.0.1:{manager_port}"]}]}
                    ]
                },
                "scrape_configs": [{"job_name": "agentsight-agent", "static_configs": targets}],
            },
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{prometheus_port}",
        )
        try:
            async with asyncio.timeout(90):
                told = await webhook.received.get()
        finally:
            for process in (prometheus, manager):
                process.kill()
                await process.wait()
            listener.close()
            await listener.wait_closed()
    assert told["status"] == "firing"
    alert = told["alerts"][0]
    assert alert["labels"]["alertname"] == "AgentSightEventsLost"
    assert alert["labels"]["stage"] == "kernel"
    assert alert["labels"]["reason"] == "ring_full"
    assert alert["annotations"]["runbook_url"] == "docs/runbooks/AgentSightEventsLost.md"

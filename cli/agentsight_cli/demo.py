"""`agentsight demo`: the whole system watches an example agent, and everything must be captured.

The agent and the server it talks to are programs of their own in `examples/`. Must not help the
capture along in any way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from agentsight_aggregator.exporters.console import describe
from agentsight_core.bus.connection import Bus
from agentsight_core.config import AgentSightConfig, load_config
from agentsight_core.errors import AgentSightError, ConfigError
from agentsight_core.pb import findings_pb2 as pb
from agentsight_core.telemetry.links import LedgerVerdict, close_ledger

from agentsight_cli import output, running, summary, tree
from agentsight_cli.expectations import Expected, compare, expect
from agentsight_cli.spans import SessionSpans, by_session
from agentsight_cli.system import LINKS, LocalSystem

_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_SERVER_S = 20.0
_AGENT_S = 120.0
# From the agent's end to the summary of its session.
_ANSWER_S = 60.0


@dataclass(slots=True)
class _Run:
    """What happened, as seen from outside and from inside."""

    expected: Expected = field(default_factory=Expected)
    findings: list[pb.Finding] = field(default_factory=list)
    ledgers: list[list[dict[str, object]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def run(*, json_summary: bool) -> int:
    """Run the demo and print what was found; 0 only if all was captured and nothing was lost."""
    if not (_EXAMPLES / "demo_agent.py").exists():
        raise ConfigError(f"the demo's programs are not in {_EXAMPLES}: run it from a clone")
    if os.geteuid() != 0:
        raise ConfigError("the demo loads probes into the kernel: run it with sudo")
    out = sys.stderr if json_summary else sys.stdout
    with tempfile.TemporaryDirectory(prefix="agentsight-demo-") as folder:
        done = asyncio.run(_run(Path(folder), out))
    return _report(done, out, json_summary=json_summary)


async def _run(folder: Path, out: TextIO) -> _Run:
    done = _Run()
    scenarios = sorted((_EXAMPLES / "scenarios").glob("*.json"))
    work, log = folder / "work", folder / "agent.jsonl"
    work.mkdir()
    _say(out, "starting bus, aggregator and agent")
    system = LocalSystem(_config(folder))
    async with _llm_server(folder) as url:
        async with system, running.open_bus(system.config) as bus:
            _say(out, f"watching; the example agent talks to {url}")
            watching = asyncio.create_task(_watch(bus, done.findings, str(log), out))
            status = await _agent(scenarios, work, log, _environment(url, folder), out)
            if status:
                done.problems.append(f"the example agent ended with status {status}")
            try:
                await asyncio.wait_for(watching, _ANSWER_S)
            except TimeoutError:
                done.problems.append(f"the agent's session did not end within {_ANSWER_S:.0f} s")
            _say(out, "stopping")
        done.expected = expect(scenarios, log, int(url.rpartition(":")[2]))
    done.ledgers = system.final_ledgers()
    if system.restarts:
        done.problems.append(f"processes of the system had to be started again: {system.restarts}")
    session = _session(done.findings, str(log))
    done.findings = [item for item in done.findings if item.session == session.session]
    done.problems += compare(done.expected, session)
    return done


def _config(folder: Path) -> AgentSightConfig:
    """Return defaults, with everything in `folder` and no fixed ports."""
    return load_config(
        None,
        {},
        {
            "node.state_dir": folder / "state",
            "node.telemetry_port": 0,
            "exporters.prometheus.port": 0,
            "aggregator.tick_interval_ms": 250,
            "logging.level": "warning",
        },
    )


@contextlib.asynccontextmanager
async def _llm_server(folder: Path) -> AsyncIterator[str]:
    """Run the server that the agent talks to; gives its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_EXAMPLES / "llm_server.py"),
        "--scenarios",
        str(_EXAMPLES / "scenarios"),
        "--folder",
        str(folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _SERVER_S)
        if not line:
            raise AgentSightError("the example server did not start; its message is above")
        yield line.decode().strip()
    finally:
        process.stdin.close()  # it ends by that
        await process.wait()


async def _agent(
    scenarios: list[Path], work: Path, log: Path, environment: dict[str, str], out: TextIO
) -> int:
    """Run the example agent, show what it prints, return its exit status."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_EXAMPLES / "demo_agent.py"),
        "--log",
        str(log),
        "--folder",
        str(work),
        *map(str, scenarios),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_AGENT_S):
            async for line in process.stdout:
                out.write(f"agent │ {line.decode().rstrip()}\n")
                out.flush()
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()


def _environment(url: str, folder: Path) -> dict[str, str]:
    """Return the variables by which the SDKs find a server, and trust it."""
    return {
        **os.environ,
        "ANTHROPIC_BASE_URL": url,
        "OPENAI_BASE_URL": f"{url}/v1",
        "SSL_CERT_FILE": str(folder / "ca.pem"),
        "ANTHROPIC_API_KEY": "not-a-key",
        "OPENAI_API_KEY": "not-a-key",
    }


async def _watch(bus: Bus, findings: list[pb.Finding], mark: str, out: TextIO) -> None:
    """Take and show findings until the session of the process with `mark` in its argv has ended."""
    coming = running.coming_findings(bus, running.ALL, beginning=True)
    async with contextlib.aclosing(coming):
        async for finding in coming:
            findings.append(finding)
            if line := describe(finding):
                out.write(f"{line}\n")
                out.flush()
            ended = finding.session_summary
            if ended.ended and mark in ended.argv:
                return


def _session(findings: list[pb.Finding], mark: str) -> SessionSpans:
    """Return the session of the process with `mark` in its argv; an empty one if there is none."""
    found = (item for item in by_session(findings) if item.summary and mark in item.summary.argv)
    return next(found, SessionSpans(0))


def _report(done: _Run, out: TextIO, *, json_summary: bool) -> int:
    verdict = close_ledger(done.ledgers, LINKS)
    problems = done.problems + verdict.explain()
    stages = [stage for ledger in done.ledgers for stage in ledger]
    out.write("\n")
    output.print_tree(tree.build_tree(done.findings), out)
    out.write("\n")
    output.print_ledger(stages, out)
    out.write("\n")
    out.writelines(f"PROBLEM: {problem}\n" for problem in problems)
    found = _summary(done, verdict, stages)
    ok = not problems
    counts = ", ".join(f"{count} {name}" for name, count in done.expected.counts().items())
    out.write(
        f"{'ok' if ok else 'NOT OK'}: expected {counts.replace('_', ' ')}; "
        f"{'all were captured' if not done.problems else f'{len(done.problems)} things differ'}, "
        f"{found['events_lost']} of {found['events_captured']} events were lost\n"
    )
    if json_summary:
        extra = {"ok": ok, "expected": done.expected.counts(), "problems": problems}
        output.print_json({**found, **extra}, sys.stdout)
    return 0 if ok else 1


def _summary(
    done: _Run, verdict: LedgerVerdict, stages: list[dict[str, object]]
) -> dict[str, object]:
    captured = sum(_received(stage) for stage in stages if stage["stage"] == "events")
    return summary.summarize(
        done.findings, events_captured=captured, stages=stages, events_lost=verdict.lost_count
    )


def _received(stage: dict[str, object]) -> int:
    value = stage["received"]
    return value if isinstance(value, int) else 0


def _say(out: TextIO, text: str) -> None:
    out.write(f"demo: {text}\n")
    out.flush()

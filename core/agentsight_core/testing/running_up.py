"""Runs `agentsight up`, as a user does, and a small program that it has to find by itself.

Must not import the command: it is run as a program of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentsight_core.runtime.notes import read_ledger, read_note
from agentsight_core.telemetry.ledger import lost_items
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.llm_tls_server import LlmTlsServer

_SECONDS = 40.0

# One call of a model for every line of its input; the line is the number that the call carries as
# its max_tokens, and is printed when the answer is read. A chatty one asks for other things before,
# often, on a connection that it later uses for the numbers above 1000.
CALLER = """
import http.client, json, os, ssl, sys
context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
port = int(os.environ["PORT"])
first, second = (http.client.HTTPSConnection("localhost", port, context=context) for _ in "12")
chatty = "chatty" in sys.argv
for _ in range(6 if chatty else 0):
    second.request("GET", "/v1/files")
    second.getresponse().read()
headers = {"anthropic-version": "2023-06-01"}
for line in sys.stdin:
    ask = {"model": sys.argv[1], "max_tokens": int(line), "messages": []}
    connection = second if chatty and int(line) > 1000 else first
    connection.request("POST", "/v1/messages", json.dumps(ask), headers)
    assert json.loads(connection.getresponse().read())["stop_reason"] == "end_turn"
    print(line, end="", flush=True)
first.close()
second.close()
"""


@dataclass(slots=True)
class RunningUp:
    """The system as it runs; everything of it lies in `folder`."""

    folder: Path
    process: asyncio.subprocess.Process

    @property
    def state_dir(self) -> Path:
        """Its state directory."""
        return self.folder / "state"

    def pid(self, component: str) -> int:
        """Return the process id of "agent", "aggregator" or "nats-server"; 0 while it is away."""
        if component != "nats-server":
            note = read_note(self.state_dir, component)
            return int(str(note["pid"])) if note else 0
        return next((pid for pid in _children(self.process.pid) if _program(pid) == component), 0)

    def telemetry_port(self, component: str) -> int:
        """Return the port of a component's /metrics and /ledger."""
        note = read_note(self.state_dir, component)
        assert note is not None
        return int(str(note["telemetry_port"]))

    async def kill(self, component: str) -> None:
        """Kill a component with SIGKILL and wait until another one runs in its place."""
        await eventually(lambda: self.pid(component) != 0, _SECONDS)
        old = self.pid(component)
        os.kill(old, signal.SIGKILL)
        await eventually(lambda: self.pid(component) not in (0, old), _SECONDS)

    async def stop(self) -> int:
        """Ask it to stop, as a service manager does; return its exit status."""
        self.process.terminate()
        async with asyncio.timeout(_SECONDS):
            return await self.process.wait()

    def ledgers(self) -> list[tuple[str, Any]]:
        """Return the stages of the processes that ended, each with the name of its process."""
        return [
            (name, stage)
            for name in ("agent", "aggregator")
            for stage in read_ledger(self.state_dir, name)
        ]

    def losses(self) -> dict[str, object]:
        """Return the stages of the processes that ended which lost something; {} if none did."""
        return {
            f"{name} {stage['stage']}": stage
            for name, stage in self.ledgers()
            if lost_items([stage])
        }

    def findings(self) -> list[dict[str, Any]]:
        """Return what is in the file of JSON lines so far."""
        return read_json_lines(self.folder / "findings.jsonl")

    def calls(self, model: str) -> list[int]:
        """Return the numbers of the calls of `model` in that file, in its order."""
        return call_numbers(self.findings(), model)


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return []


def _program(pid: int) -> str:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of all complete lines; [] when there is no file."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]


def call_numbers(findings: list[dict[str, Any]], model: str) -> list[int]:
    """Return the numbers that the program gave to its calls of `model`."""
    spans = [finding["span"]["attributes"] for finding in findings if finding["kind"] == "span"]
    calls = [span for span in spans if span.get("gen_ai.request.model") == model]
    return [span["gen_ai.request.max_tokens"] for span in calls]


async def start_up(folder: Path, settings: Mapping[str, str]) -> asyncio.subprocess.Process:
    """Start `agentsight up` with its state in `folder`; its messages go to `folder`/up.log."""
    values = {
        "NODE_STATE_DIR": str(folder / "state"),
        "NODE_TELEMETRY_PORT": "0",
        "EXPORTERS_PROMETHEUS_PORT": "0",
        "EXPORTERS_JSONL_PATH": str(folder / "findings.jsonl"),
        "AGGREGATOR_TICK_INTERVAL_MS": "250",
        **settings,
    }
    with (folder / "up.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agentsight_cli",
            "up",
            stdin=asyncio.subprocess.DEVNULL,
            stderr=log,
            env={**os.environ, **{f"AGENTSIGHT_{key}": value for key, value in values.items()}},
        )


@contextlib.asynccontextmanager
async def running_up(
    folder: Path, settings: Mapping[str, str] | None = None
) -> AsyncIterator[RunningUp]:
    """Run the system until the end of the context; `settings` as AGENTSIGHT_ variables have them.

    It is ready inside of the context.
    """
    log = folder / "up.log"
    seen = log.read_text().count("ready;") if log.exists() else 0
    process = await start_up(folder, settings or {})

    def is_ready() -> bool:
        assert process.returncode is None, log.read_text()
        return log.read_text().count("ready;") > seen

    up = RunningUp(folder, process)
    try:
        await eventually(is_ready, _SECONDS)
        yield up
    except BaseException:
        await _end(process)
        # pytest shows with the failure what was said, and in which stage something is missing.
        sys.stderr.write(log.read_text())
        with contextlib.suppress(FileNotFoundError):  # ended before it had a ledger
            sys.stderr.writelines(f"{name}: {stage}\n" for name, stage in up.ledgers())
        raise
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        await process.wait()


def own_model(name: str) -> str:
    """Return a model that only this run of tests calls: `up` sees all programs of the machine."""
    return f"{name}-{secrets.token_hex(3)}"


@dataclass(slots=True)
class Caller:
    """A program that calls a model when it is told to."""

    process: asyncio.subprocess.Process

    async def call(self, number: int) -> None:
        """Make one call and wait until the program has read the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"%d\n" % number)
        async with asyncio.timeout(_SECONDS):
            assert await self.process.stdout.readline() == b"%d\n" % number


@contextlib.asynccontextmanager
async def caller(
    server: LlmTlsServer, model: str, *, chatty: bool = False
) -> AsyncIterator[Caller]:
    """Run the program; at the end of the context its input ends, and so does it.

    A `chatty` one begins with requests that are no calls of a model.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CALLER,
        model,
        "chatty" if chatty else "",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **server.environment},
    )
    try:
        yield Caller(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0

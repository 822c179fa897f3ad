"""The command as a user runs it: help, errors, exit codes, and a running bus with real findings."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from agentsight_aggregator.api.admission import kept_token
from agentsight_aggregator.api.server import ApiSettings, serving
from agentsight_aggregator.fold import build_fold, findings_of
from agentsight_core import wire
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Outgoing
from agentsight_core.bus.letters import DeadLetter, write_letter
from agentsight_core.bus.members import noted
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.ids import session_text
from agentsight_core.pb.api_pb2 import MemberStatus
from agentsight_core.runtime.notes import announced
from agentsight_core.testing.agent_log import AgentLog, text, tool_use, user
from agentsight_core.testing.buses import RunningBus, running_bus
from agentsight_core.testing.numbered_frames import numbered_frame

COMMAND = (sys.executable, "-m", "agentsight_cli")
TIMEOUT_S = 60
SESSION = 0xA1


def call(*arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **environ},
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("up",),
        ("record",),
        ("replay",),
        ("demo",),
        ("sessions",),
        ("status",),
        ("tail",),
        ("doctor",),
        ("config",),
        ("config", "check"),
        ("dlq",),
        ("dlq", "ls"),
        ("dlq", "show"),
        ("dlq", "replay"),
        ("dlq", "purge"),
    ],
)
def test_everything_has_help(arguments: tuple[str, ...]) -> None:
    done = call(*arguments, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: agentsight" in done.stdout
    assert len(done.stdout.splitlines()) > 5


def test_help_does_not_load_what_commands_need() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "agentsight_cli", "--help"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "agentsight_cli.app" in loaded
    assert not loaded & {"pydantic", "google.protobuf", "nats", "grpc", "zstandard", "asyncio"}


def test_wrong_usage_and_wrong_configuration_are_status_2(tmp_path: Path) -> None:
    assert call("replay").returncode == 2
    assert call("nothing").returncode == 2
    assert call("replay", "--format", "xml", "x").returncode == 2
    file = tmp_path / "bad.yaml"
    file.write_text("capture: {mode: alles}\nbus: {portt: 1}\n", encoding="utf-8")
    done = call("config", "check", str(file))
    assert done.returncode == 2
    assert f"{file}:1: capture.mode: 'alles' is wrong: allowed: 'none'" in done.stderr
    assert f"{file}:2: bus.portt: is no known key; did you mean port?" in done.stderr
    assert "Traceback" not in done.stderr
    file.write_text("capture: {mode: none}\n", encoding="utf-8")
    good = call("config", "check", str(file), AGENTSIGHT_CAPTURE_MODE="nonsense")
    assert (good.returncode, good.stdout) == (0, f"{file}: ok; capture mode none, 0 rules\n")


def test_completion_knows_the_commands() -> None:
    done = call(_AGENTSIGHT_COMPLETE="complete_bash", COMP_WORDS="agentsight re", COMP_CWORD="1")
    assert done.stdout.split() == ["record", "replay"]


def test_commands_for_a_running_system_say_that_none_runs(tmp_path: Path) -> None:
    for arguments in (("sessions",), ("status",), ("tail",), ("dlq", "ls")):
        done = call(*arguments, "--state-dir", str(tmp_path))
        assert done.returncode == 2
        assert f"no system runs with the state directory {tmp_path}" in done.stderr


def test_doctor_says_what_to_do(tmp_path: Path) -> None:
    config = tmp_path / "agentsight.yaml"
    config.write_text(
        "spool: {min_free_bytes: 999999999GB}\nexporters: {prometheus: {host: 203.0.113.1}}\n"
        f"node: {{state_dir: {tmp_path}}}\n",
        encoding="utf-8",
    )
    done = call("doctor", "--json", "--config", str(config))
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert found["ok"] is False
    checks = {item["name"]: item for item in found["checks"]}
    assert not checks["disk for state"]["ok"]
    assert "spool.dir" in checks["disk for state"]["to_do"]
    assert not checks["port 9464"]["ok"]
    assert "exporters.prometheus.port" in checks["port 9464"]["to_do"]
    for name in ("kernel", "nats-server", "python packages"):
        assert checks[name]["ok"], checks[name]
    lines = call("doctor", "--config", str(config)).stdout
    assert "NOT OK  disk for state" in lines
    assert "to do: free " in lines


@pytest.mark.kernel
def test_doctor_tries_the_probes() -> None:
    found = json.loads(call("doctor", "--json").stdout)
    checks = {item["name"]: item for item in found["checks"]}
    for name in (
        "privileges",
        "libbpf",
        "BPF programs",
        "drain",
        "loading the programs",
        "uprobes",
    ):
        assert checks[name]["ok"], checks[name]


def log() -> AgentLog:
    made = AgentLog(SESSION)
    made.start(0)
    made.call(1, 2, [user("List the files.")], [tool_use("t1", "bash", command="ls")])
    made.run(2.1, 2.2, 301, ["ls"])
    made.call(3, 4, [user("Say hello.")], [text("Hello.")])
    made.end(5)
    return made


async def add_findings(running: RunningBus) -> None:
    for finding in findings_of(build_fold(), log().events):
        subject = subjects.finding_subject(0, finding)
        await running.bus.publish(Outgoing(subject, finding.SerializeToString()))


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[RunningBus]:
    """Give a bus that can be found as that of `agentsight up`, in the state directory."""
    folder = tmp_path / "bus"
    async with running_bus(folder, BusSettings(partitions=1)) as running:
        facts = {"url": running.server.url, "token_file": str(folder / "token")}
        with announced(tmp_path, "bus", facts):
            yield running


async def in_system(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command while this process serves the bus."""
    return await asyncio.to_thread(call, *arguments, "--state-dir", str(tmp_path))


@pytest.mark.server
async def test_sessions_of_a_running_system(system: RunningBus, tmp_path: Path) -> None:
    empty = await in_system(tmp_path, "sessions")
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, "", "no sessions yet\n")
    await add_findings(system)
    listed = await in_system(tmp_path, "sessions")
    rows = [row.split() for row in listed.stdout.splitlines()]
    assert rows[0][0] == "session"
    assert rows[1][:6] == [session_text(SESSION), "demo-agent", "ended", "2", "2", "1"]
    as_json = await in_system(tmp_path, "sessions", "--json")
    summary = json.loads(as_json.stdout)["session_summary"]
    assert (summary["llm_calls"], summary["ended"]) == (2, True)
    tree = await in_system(tmp_path, "sessions", "0000")
    assert "turn  demo-agent" in tree.stdout
    assert "process  ls · pid 301 · exit 0" in tree.stdout
    unknown = await in_system(tmp_path, "sessions", "ffff")
    assert unknown.returncode == 2
    assert "no session begins with 'ffff'" in unknown.stderr


@pytest.mark.server
async def test_tail_shows_what_comes_and_leaves_nothing_behind(
    system: RunningBus, tmp_path: Path
) -> None:
    tail = await asyncio.create_subprocess_exec(
        *(*COMMAND, "tail", "--all", "--state-dir", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert tail.stdout is not None
    await add_findings(system)
    seen = ""
    async with asyncio.timeout(TIMEOUT_S):
        while "ended" not in seen:
            seen += (await tail.stdout.readline()).decode()
        tail.send_signal(2)
        status = await tail.wait()
    assert "process  ls · pid 301" in seen
    assert status == 130
    state = await system.bus.stream_state(subjects.FINDINGS)
    assert state.state.consumer_count == 0


@pytest.mark.server
async def test_dead_letters(system: RunningBus, tmp_path: Path) -> None:
    nothing = await in_system(tmp_path, "dlq", "ls")
    assert (nothing.returncode, nothing.stderr) == (0, "no dead letters\n")
    _, frame = numbered_frame(5, 1)
    for number, data in ((1, frame), (2, b"no frame")):
        moment = time.time_ns()
        letter = DeadLetter("decode", "ValueError: bad", 1, moment, 0, "events.0.x", number, data)
        await write_letter(system.bus, letter)
    listed = (await in_system(tmp_path, "dlq", "ls")).stdout.splitlines()
    assert [row.split()[0] for row in listed] == ["number", "1", "2"]
    shown = json.loads((await in_system(tmp_path, "dlq", "show", "1", "--json")).stdout)
    assert (shown["stage"], shown["error"]) == ("decode", "ValueError: bad")
    assert len(shown["events"]) > 0
    assert "error     ValueError: bad" in (await in_system(tmp_path, "dlq", "show", "2")).stdout
    missing = await in_system(tmp_path, "dlq", "show", "99")
    assert (missing.returncode, "no dead letter 99" in missing.stderr) == (2, True)
    assert (await in_system(tmp_path, "dlq", "replay")).returncode == 2
    again = await in_system(tmp_path, "dlq", "replay", "--all")
    assert again.returncode == 1, "one of them is no frame"
    assert again.stdout.startswith("dead letter 1: sent again\ndead letter 2: not sent")
    assert (await system.bus.get(subjects.EVENTS, 1)).data == frame
    refused = await in_system(tmp_path, "dlq", "purge")
    assert refused.returncode == 1, "nobody said yes"
    purged = await in_system(tmp_path, "dlq", "purge", "--yes")
    assert purged.stdout == "1 dead letters thrown away\n"


@pytest.mark.server
async def test_a_repaired_letter_is_sent_again(system: RunningBus, tmp_path: Path) -> None:
    header, frame = numbered_frame(5, 1)
    moment = time.time_ns()
    damaged = DeadLetter("fold", "bad path", 1, moment, 0, "events.0.x", 1, frame)
    await write_letter(system.bus, damaged)
    letter = json.loads((await in_system(tmp_path, "dlq", "show", "1", "--json")).stdout)
    letter["events"][0]["file_opened"]["path"] = "/put/right"
    file = tmp_path / "letter.json"
    file.write_text(json.dumps({**letter, "events": [*letter["events"], {"pdi": 1}]}))
    send = ("dlq", "replay", "1", "--repaired", str(file))
    wrong = await in_system(tmp_path, *send)
    assert wrong.returncode == 2
    assert f"{file}: events[{len(letter['events'])}]: " in wrong.stderr
    assert '"pdi"' in wrong.stderr
    file.write_text(json.dumps(letter))
    sent = await in_system(tmp_path, *send)
    assert (sent.returncode, sent.stdout) == (0, "dead letter 1: sent again\n"), sent.stderr
    stored = await system.bus.get(subjects.EVENTS, 1)
    found, events = wire.decode_frame(stored.data)
    assert found == header
    assert events[0].file_opened.path == "/put/right"
    assert subjects.REPLAYED in stored.headers
    assert (await in_system(tmp_path, "dlq", "ls")).stderr == "no dead letters\n"


async def ask_api(token: Path, *arguments: str, port: int) -> subprocess.CompletedProcess[str]:
    environ = {"AGENTSIGHT_API_TOKEN_FILE": str(token)}
    return await asyncio.to_thread(call, *arguments, "--api", f"127.0.0.1:{port}", **environ)


@pytest.mark.server
async def test_commands_ask_an_aggregator(system: RunningBus, tmp_path: Path) -> None:
    """With --api nothing of the system but the port is known to the command."""
    await add_findings(system)
    note = MemberStatus(kind="aggregator", name="a1", version="9.9", api_address="here:1")
    note.partitions.add(partition=0, fence=3, position=7)
    file = tmp_path / "token"
    token = kept_token(file)
    call_api = partial(ask_api, file)
    note.ledger.add(stage="worker", unit="frames", received=5, emitted=5)
    async with (
        serving(system.bus, ApiSettings(1, grace_seconds=0.5, token=token)) as port,
        noted(system.bus, lambda: note),
    ):
        listed = await call_api("sessions", port=port)
        assert session_text(SESSION) in listed.stdout, listed.stderr
        assert "turn  demo-agent" in (await call_api("sessions", "0000", port=port)).stdout
        stranger = await asyncio.to_thread(call, "status", "--api", f"127.0.0.1:{port}")
        assert (stranger.returncode, "send the token" in stranger.stderr) == (2, True)
        unknown = await call_api("sessions", "ffff", port=port)
        assert unknown.returncode == 2
        assert "no session begins with 'ffff'" in unknown.stderr
        nothing = await call_api("dlq", "ls", port=port)
        assert (nothing.returncode, nothing.stderr) == (0, "no dead letters\n")
        missing = await call_api("dlq", "show", "9", port=port)
        assert (missing.returncode, "no dead letter 9" in missing.stderr) == (2, True)
        status = (await call_api("status", port=port)).stdout
        assert [line.split()[:3] for line in status.splitlines()[1:2]] == [
            ["aggregator", "a1", "9.9"]
        ]
        assert ["0", "a1", "3", "7"] in [line.split() for line in status.splitlines()]
        as_json = json.loads((await call_api("status", "--json", port=port)).stdout)
        assert [stream["name"] for stream in as_json["streams"]] == ["EVENTS", "FINDINGS", "DLQ"]
        ledger = (await call_api("status", "--ledger", port=port)).stdout
        assert ["worker", "frames", "5", "5"] in [line.split()[:4] for line in ledger.splitlines()]
        local = await in_system(tmp_path, "status")
        assert ["0", "a1", "3", "7"] in [line.split() for line in local.stdout.splitlines()]
    gone = await call_api("sessions", port=port)
    assert gone.returncode == 1
    assert f"API at 127.0.0.1:{port}" in gone.stderr
    assert "must be HOST:PORT" in call("sessions", "--api", "here").stderr

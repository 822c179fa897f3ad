"""`agentsight record --proxy` with the official SDKs, without any privilege."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from agentsight_aggregator.exporters.jsonl import span_to_json
from agentsight_aggregator.fold import build_fold
from agentsight_cli.replay import Replay
from agentsight_core.testing.llm_tls_server import LlmTlsServer
from agentsight_core.testing.llm_websocket_server import llm_websocket_server
from agentsight_core.testing.recorded_run import RecordedRun, record

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

# Root without a capability may do what anybody may, and can still read where the tests are.
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")

AGENT = """
import subprocess, sys
import anthropic, openai
claude, gpt = anthropic.Anthropic(), openai.OpenAI()
hello = [{"role": "user", "content": "hello"}]
claude.messages.create(model="claude-test", max_tokens=40, messages=hello)
with claude.messages.stream(model="claude-test", max_tokens=400, messages=hello) as stream:
    print(stream.get_final_text() != "")
gpt.chat.completions.create(model="gpt-test", max_tokens=60, messages=hello)
list(gpt.chat.completions.create(model="gpt-test", max_tokens=90, messages=hello, stream=True))
subprocess.run([sys.executable, "-c", "import time; time.sleep(3)"], check=True)
sys.exit(3)
"""
# What depends on when and by whom a run was watched.
_OF_THE_RUN = ("session.id", "process.pid")


@contextmanager
def answering(folder: Path) -> Iterator[LlmTlsServer]:
    server = LlmTlsServer(folder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def watch(server: LlmTlsServer, folder: Path, program: str, *, proxy: bool = True) -> RecordedRun:
    folder.mkdir()
    options, before = (["--proxy"], UNPRIVILEGED) if proxy else ([], ())
    command = [sys.executable, "-c", program]
    return record(command, folder, server.environment, options=options, before=before)


def calls(folder: Path) -> list[tuple[str, dict[str, str]]]:
    """Return name and attributes of each LLM call, without what is a run's own."""
    found = []
    for finding in Replay(build_fold()).findings([str(folder / "run.rec")]):
        span = span_to_json(finding.span)
        attributes = span["attributes"]
        assert isinstance(attributes, dict)
        if "gen_ai.request.model" in attributes:
            kept = {
                key: value
                for key, value in attributes.items()
                if key not in _OF_THE_RUN and "time" not in key and "duration" not in key
            }
            found.append((finding.span.name, kept))
    return found


@pytest.mark.kernel
def test_it_finds_what_the_probes_find(tmp_path: Path) -> None:
    with answering(tmp_path) as server:
        by_proxy = watch(server, tmp_path / "proxy", AGENT)
        by_probes = watch(server, tmp_path / "probes", AGENT, proxy=False)
        said = server.pairs

    assert by_proxy.exit_status == by_probes.exit_status == 3, by_proxy.stderr
    assert by_proxy.stdout == by_probes.stdout == "True\n"
    assert [exchange.pair for exchange in by_proxy.exchanges()] == said[:4]
    assert [exchange.pair for exchange in by_probes.exchanges()] == said[4:]
    found = calls(tmp_path / "proxy")
    assert len(found) == 4
    assert found == calls(tmp_path / "probes")
    assert not by_proxy.losses()
    unseen = by_proxy.summary["unseen"]
    assert isinstance(unseen, list)
    assert any("files" in line for line in unseen)

    bodies = [event.WhichOneof("body") for event in by_proxy.events]
    assert bodies[0] == "session_started"
    assert bodies[-1] == "session_ended"
    assert by_proxy.events[-1].session_ended.exit_code == 3
    executed = [e.process_executed for e in by_proxy.events if e.HasField("process_executed")]
    assert [list(item.argv)[1:] for item in executed] == [
        ["-c", AGENT],
        ["-c", "import time; time.sleep(3)"],
    ]
    exited = [
        e.process_exited.status_unknown for e in by_proxy.events if e.HasField("process_exited")
    ]
    assert exited == [True, False]


# The official SDK over a WebSocket.
REALTIME = """
import openai
with openai.OpenAI(max_retries=0).realtime.connect(model="gpt-realtime") as connection:
    assert connection.recv().type == "session.created"
    item = [{"type": "input_text", "text": "What is the weather?"}]
    connection.conversation.item.create(item={"type": "message", "role": "user", "content": item})
    connection.response.create()
    for event in connection:
        if event.type == "response.done":
            break
"""


def test_websockets_pass(tmp_path: Path) -> None:
    with llm_websocket_server(tmp_path) as server:
        (tmp_path / "run").mkdir()
        command = [sys.executable, "-c", REALTIME]
        folder = tmp_path / "run"
        run = record(command, folder, server.environment, options=["--proxy"], before=UNPRIVILEGED)
    assert run.exit_status == 0, run.stderr
    assert not run.losses()
    assert sum(event.HasField("websocket_message") for event in run.events) > 4
    [(name, attributes)] = calls(folder)
    assert name == "chat gpt-realtime"
    assert "gen_ai.usage.output_tokens" in attributes


def test_an_upstream_that_is_not_trusted_is_counted(tmp_path: Path) -> None:
    program = "import os, urllib.request as u; u.urlopen(os.environ['ANTHROPIC_BASE_URL'])"
    with answering(tmp_path) as server:
        (tmp_path / "run").mkdir()
        env = {**server.environment, "SSL_CERT_FILE": "/dev/null", "NODE_EXTRA_CA_CERTS": ""}
        command = [sys.executable, "-c", program]
        run = record(command, tmp_path / "run", env, options=["--proxy"], before=UNPRIVILEGED)
    assert run.exit_status == 1
    assert "RemoteDisconnected" in run.stderr
    dropped = run.ledger["proxy"]["dropped"]
    assert isinstance(dropped, dict)
    assert [count for reason, count in dropped.items() if "certificate not trusted" in reason] == [
        1
    ]


def test_what_the_shell_reports(tmp_path: Path) -> None:
    def status(number: int, *command: str) -> tuple[int, str]:
        output = tmp_path / f"{number}.rec"
        words = ["record", "--proxy", "-q", "-o", str(output), "--", *command]
        done = subprocess.run(
            [*UNPRIVILEGED, sys.executable, "-m", "agentsight_cli", *words],
            env={"PATH": "/usr/bin:/bin", "AGENTSIGHT_NODE_STATE_DIR": str(tmp_path / "state")},
            input="typed",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout

    assert status(1, "cat") == (0, "typed")
    assert status(2, "sh", "-c", "kill -TERM $$") == (128 + signal.SIGTERM, "")
    assert status(3, "no-such-command-here") == (127, "")


# What the drain in C and libbpf would do cannot be had on other systems.
_WITHOUT_BPF = """
import sys
sys.modules["agentsight_agent.bpf._drain"] = None
sys.modules["agentsight_agent.bpf.kernel"] = None
import os, select, time
del os.pidfd_open, os.pipe2, select.epoll, time.CLOCK_BOOTTIME
from agentsight_cli.__main__ import main
sys.argv = ["agentsight", *sys.argv[1:]]
sys.exit(main())
"""


def test_it_needs_nothing_that_only_linux_has(tmp_path: Path) -> None:
    output = tmp_path / "x.rec"
    words = ["record", "--proxy", "--json", "-o", str(output), "--", "sh", "-c", "exit 5"]
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_BPF, *words],
        env={"PATH": "/usr/bin:/bin", "AGENTSIGHT_NODE_STATE_DIR": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    assert len(json.loads(done.stdout)["sessions"]) == 1

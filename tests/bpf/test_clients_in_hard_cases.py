"""Many connections, big bodies, foreign roots and violent ends under `agentsight record`."""

from __future__ import annotations

import json
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.llm_tls_server import (
    ENDLESS,
    LlmTlsServer,
    llm_tls_server,
)
from agentsight_core.testing.recorded_run import record

pytestmark = pytest.mark.kernel

MIB = 1 << 20
# Nothing may be lost for want of room where a test is about other limits.
BIG_RING = {"CAPTURE_RING_BYTES": str(64 * MIB)}
ANTHROPIC = """
import anthropic, sys
client = anthropic.Anthropic(max_retries=0)
size, answer = map(int, sys.argv[1:])
text = "".join(f"q{number:08d} " for number in range(size // 10))
ask = [{"role": "user", "content": text}]
client.messages.create(model="claude-test", max_tokens=answer, messages=ask, timeout=60)
"""

CONCURRENT = """
import anthropic, asyncio
async def one(client, number):
    ask = dict(model=f"claude-{number}", max_tokens=2000 + number)
    for turn in range(3):
        content = f"{number}/{turn} " * 200
        async with client.messages.stream(
            messages=[{"role": "user", "content": content}], **ask
        ) as stream:
            await stream.get_final_message()
async def main():
    client = anthropic.AsyncAnthropic(max_retries=0)
    await asyncio.gather(*(one(client, number) for number in range(20)))
asyncio.run(main())
"""

KILLED = f"""
import anthropic, os, signal
client = anthropic.Anthropic(max_retries=0)
ask = dict(model="{ENDLESS}", max_tokens=300, messages=[{{"role": "user", "content": "Hi"}}])
with client.messages.create(stream=True, **ask) as stream:
    for event in stream:
        if event.type == "content_block_stop":
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LlmTlsServer]:
    with llm_tls_server(tmp_path) as server:
        yield server


def python(script: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", script, *map(str, arguments)]


def test_connections_of_one_thread_are_kept_apart(server: LlmTlsServer, tmp_path: Path) -> None:
    run = record(python(CONCURRENT), tmp_path, server.environment)

    assert run.exit_status == 0, run.stderr
    found = run.exchanges()
    assert len(server.pairs) == 60
    assert sorted(exchange.pair.request for exchange in found) == sorted(
        pair.request for pair in server.pairs
    )
    # Each answer lies beside its own request.
    said = {pair.request: pair for pair in server.pairs}
    assert [exchange.pair for exchange in found] == [said[e.request_body] for e in found]
    assert len({exchange.request.connection for exchange in found}) > 10
    assert run.losses() == {}
    assert run.summary["llm_calls"] == 60


def test_bodies_of_five_mebibytes_are_kept_whole(server: LlmTlsServer, tmp_path: Path) -> None:
    run = record(python(ANTHROPIC, 5 * MIB, 5 * MIB), tmp_path, server.environment, BIG_RING)

    assert run.exit_status == 0, run.stderr
    (exchange,) = run.exchanges()
    assert exchange.pair == server.pairs[0]
    assert len(exchange.request_body) > 5 * MIB
    assert len(exchange.response_body) > 5 * MIB
    assert not exchange.finished.request_truncated
    assert run.losses() == {}


def test_what_is_above_the_cap_is_cut_and_marked(server: LlmTlsServer, tmp_path: Path) -> None:
    text = "x" * (20 * MIB)
    ask = {"model": "claude-test", "max_tokens": 20 * MIB, "messages": [], "system": text}
    (tmp_path / "ask.json").write_text(json.dumps(ask))
    command = ["curl", "--silent", "--fail", "--http1.1", "--cacert", str(server.ca)]
    command += [f"{server.url}/v1/messages", "--data-binary", f"@{tmp_path / 'ask.json'}"]
    run = record([*command, "--output", str(tmp_path / "answer")], tmp_path, settings=BIG_RING)

    assert run.exit_status == 0, run.stderr
    (exchange,) = run.exchanges()
    said = server.pairs[0]
    assert exchange.request_body == said.request[: 16 * MIB]
    assert exchange.response_body == said.response[: 16 * MIB]
    assert exchange.finished.request_truncated
    assert exchange.finished.response_truncated
    assert exchange.finished.request_bytes == len(said.request)
    assert exchange.finished.response_bytes == len(said.response)
    assert exchange.finished.outcome == pb.HTTP_OUTCOME_COMPLETE
    cut = len(said.request) + len(said.response) - 32 * MIB
    assert run.losses()["tls"]["dropped"] == {"body_limit": cut}


def test_a_write_above_the_cap_leaves_a_gap_that_is_told(
    server: LlmTlsServer, tmp_path: Path
) -> None:
    # The SDK gives all of the body to one SSL_write.
    run = record(python(ANTHROPIC, 20 * MIB, 10), tmp_path, server.environment, BIG_RING)

    assert run.exit_status == 0, run.stderr
    (exchange,) = run.exchanges()
    said = server.pairs[0]
    assert exchange.request_body == said.request[: 16 * MIB]
    assert exchange.response_body == said.response
    assert exchange.finished.outcome == pb.HTTP_OUTCOME_GAP
    assert exchange.finished.lost_bytes == len(said.request) - 16 * MIB
    assert run.losses()["tls"]["dropped"] == {"call_limit": exchange.finished.lost_bytes}
    assert [e.lost.count for e in run.events if e.HasField("lost")] == [
        exchange.finished.lost_bytes
    ]


def test_a_client_killed_in_mid_stream_leaves_an_aborted_call(
    server: LlmTlsServer, tmp_path: Path
) -> None:
    run = record(python(KILLED), tmp_path, server.environment)

    assert run.exit_status == 128 + signal.SIGKILL
    (exchange,) = run.exchanges()
    assert exchange.finished.outcome == pb.HTTP_OUTCOME_ABORTED
    (said,) = server.pairs
    assert exchange.request_body == said.request
    # The client had read the block's end, not necessarily what followed.
    assert said.response.startswith(exchange.response_body)
    assert b"content_block_stop" in exchange.response_body
    assert run.summary["failed_llm_calls"] == 1
    assert run.losses() == {}
    (ended,) = [e.session_ended for e in run.events if e.HasField("session_ended")]
    assert ended.exit_signal == signal.SIGKILL


def copy_program(program: str, root: Path) -> None:
    """Copy a program and the libraries it loads to the same places under `root`."""
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    files = [word for word in listed.split() if word.startswith("/")]
    for file in (program, *files):
        target = root / file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


def test_a_library_inside_a_root_of_its_own_is_found(server: LlmTlsServer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    copy_program("/usr/bin/curl", root)
    shutil.copy(server.ca, root / "ca.pem")
    ask = '{"model": "claude-test", "max_tokens": 10, "messages": []}'
    curl = ["/usr/bin/curl", "--silent", "--fail", "--http1.1", "--cacert", "/ca.pem"]
    # It begins before anybody can know the library, so the first requests may be missed.
    url = f"https://127.0.0.1:{server.server_port}/v1/messages?[1-500]"
    run = record(["unshare", "--mount", "chroot", str(root), *curl, url, "--data", ask], tmp_path)

    assert run.exit_status == 0, run.stderr
    assert len(server.pairs) == 500
    found = [exchange.pair for exchange in run.exchanges()]
    assert len(found) > 1
    assert found == server.pairs[-len(found) :]


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["agentsight-no-such-program"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_the_exit_status_is_passed_on(command: list[str], status: int, tmp_path: Path) -> None:
    assert record(command, tmp_path).exit_status == status


def test_the_command_runs_as_the_user_who_called_sudo(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    caller = {"SUDO_UID": str(nobody.pw_uid), "SUDO_GID": str(nobody.pw_gid)}
    script = "import os; print(os.getuid(), os.getgid(), os.environ['HOME'])"
    run = record([sys.executable, "-c", script], tmp_path, caller)

    assert run.exit_status == 0, run.stderr
    assert run.stdout.split() == [str(nobody.pw_uid), str(nobody.pw_gid), nobody.pw_dir]
    assert (tmp_path / "run.rec").stat().st_uid == nobody.pw_uid
    executed = [e.process_executed for e in run.events if e.HasField("process_executed")]
    assert [event.uid for event in executed] == [nobody.pw_uid]

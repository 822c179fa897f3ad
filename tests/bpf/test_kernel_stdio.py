"""Standard streams of tracked processes, where they are pipes: only JSON-RPC is taken."""

import subprocess
import sys
from pathlib import Path

import pytest
from agentsight_agent.bpf.records import PayloadSource

pytestmark = pytest.mark.kernel

TESTERS = Path(__file__).parent / "testers"
PING = '{"jsonrpc":"2.0","id":1,"method":"ping"}'
PONG = '{"jsonrpc":"2.0","id":1,"result":{}}'


@pytest.fixture
def echoing(watch, tester):
    """Start the echo with its standard streams watched; return what is seen, and it."""

    def run(*, tracked: bool = True, output_bytes: int = 0):
        seen_by = watch()
        echo = tester(sys.executable, TESTERS / "stdio_echo.py")
        seen_by.kernel.watch_stdio(True, output_bytes=output_bytes)
        if tracked:
            seen_by.track(echo.pid)
        return seen_by, echo

    return run


def said(seen_by, echo, text: str) -> str:
    echo.say(text)
    return str(echo.line())


def joined(seen, *, written: bool, source: PayloadSource = PayloadSource.STDIO) -> bytes:
    return b"".join(run.data for run in seen.runs(written=written) if run.source == source)


def test_requests_and_answers_come_once_each_under_one_connection(echoing) -> None:
    seen_by, echo = echoing()
    assert said(seen_by, echo, PING) == PONG
    assert said(seen_by, echo, PING) == PONG
    seen = seen_by.until(lambda seen: joined(seen, written=True).count(b"\n") == 2)
    assert joined(seen, written=False).decode() == f"{PING}\n{PING}\n"
    assert joined(seen, written=True).decode() == f"{PONG}\n{PONG}\n"
    runs = seen.runs(written=True) + seen.runs(written=False)
    assert len({run.connection for run in runs}) == 1
    assert {run.session for run in runs} == {seen_by.session}


@pytest.mark.every_loader
def test_several_buffers_of_one_call_are_put_together(echoing) -> None:
    seen_by, echo = echoing()
    answer = said(seen_by, echo, '{"jsonrpc":"2.0","method":"vectors"}')
    seen = seen_by.until(lambda seen: joined(seen, written=True).endswith(b"\n"))
    assert joined(seen, written=True).decode() == f"{answer}\n" != "\n"


def test_a_long_message_is_whole(echoing) -> None:
    seen_by, echo = echoing()
    answer = said(seen_by, echo, '{"jsonrpc":"2.0","method":"long"}')
    assert len(answer) > 100_000
    seen = seen_by.until(lambda seen: joined(seen, written=True).endswith(b"\n"))
    assert joined(seen, written=True).decode() == f"{answer}\n"


def test_a_stream_that_was_diverted_and_used_is_standard_again_after_an_exec(watch, tester) -> None:
    diverting = (
        "import os, sys; kept = os.dup(1); os.write(1, b'ready\\n'); os.read(0, 3); "
        "os.dup2(kept, 1); os.write(1, b'words\\n'); "
        "os.execv(sys.executable, [sys.executable, sys.argv[1]])"
    )
    seen_by = watch()
    echo = tester(sys.executable, "-c", diverting, TESTERS / "stdio_echo.py")
    seen_by.kernel.watch_files(True)
    seen_by.kernel.watch_stdio(True)
    seen_by.track(echo.pid)
    assert said(seen_by, echo, "go") == "words"
    assert echo.line() == "ready"
    assert said(seen_by, echo, PING) == PONG
    seen = seen_by.until(lambda seen: joined(seen, written=True))
    assert joined(seen, written=False).decode() == f"{PING}\n"
    assert joined(seen, written=True).decode() == f"{PONG}\n"


def test_what_cannot_be_json_rpc_is_counted_and_switched_off(echoing) -> None:
    seen_by, echo = echoing()
    for _ in range(4):
        assert said(seen_by, echo, "words") == "words"
    filtered = seen_by.kernel.counters().stdio.filtered
    assert filtered == 8
    # The pipes are not looked at any more.
    assert said(seen_by, echo, PING) == PONG
    assert not seen_by.drain().runs(written=True)
    assert seen_by.kernel.counters().stdio.filtered == filtered


def test_a_banner_does_not_hide_what_comes_behind_it(echoing) -> None:
    seen_by, echo = echoing()
    assert said(seen_by, echo, "server 1.0 is ready") == "server 1.0 is ready"
    assert said(seen_by, echo, PING) == PONG
    seen = seen_by.until(lambda seen: joined(seen, written=True))
    assert joined(seen, written=False).decode() == f"{PING}\n"


def test_a_muted_stream_gives_nothing_more(echoing) -> None:
    seen_by, echo = echoing()
    assert said(seen_by, echo, PING) == PONG
    seen = seen_by.until(lambda seen: joined(seen, written=True))
    seen_by.kernel.mute(seen.runs(written=True)[0].connection)
    before = seen_by.drain().records
    assert said(seen_by, echo, PING) == PONG
    assert seen_by.drain().records == before


def test_without_a_verdict_only_the_beginning_is_taken(echoing) -> None:
    seen_by, echo = echoing()
    for _ in range(15):
        said(seen_by, echo, '{"jsonrpc":"2.0","method":"long"}')
    seen = seen_by.drain()
    assert 900_000 < len(joined(seen, written=True)) <= 1 << 20
    assert seen_by.kernel.counters().stdio.filtered_bytes > 0


def test_what_is_wanted_has_no_end(echoing) -> None:
    seen_by, echo = echoing()
    assert said(seen_by, echo, PING) == PONG
    seen = seen_by.until(lambda seen: joined(seen, written=True))
    seen_by.kernel.want(seen.runs(written=True)[0].connection)
    for _ in range(15):
        said(seen_by, echo, '{"jsonrpc":"2.0","method":"long"}')
    seen_by.until(lambda seen: len(joined(seen, written=True)) > 15 * 100_000)


def test_output_of_tools_is_taken_up_to_its_bound_if_that_is_asked_for(echoing) -> None:
    seen_by, echo = echoing(output_bytes=100)
    for _ in range(20):
        assert said(seen_by, echo, "words") == "words"
    seen = seen_by.drain()
    taken = joined(seen, written=True)
    assert taken
    assert set(taken.split(b"\n")) == {b"words", b""}
    assert len(taken) + len(joined(seen, written=False)) <= 100
    # With the last line that is copied to it, standard error has a bound of its own.
    assert len(joined(seen, written=True, source=PayloadSource.STDERR)) <= 100


def test_processes_in_no_session_give_nothing(echoing) -> None:
    seen_by, echo = echoing(tracked=False)
    assert said(seen_by, echo, PING) == PONG
    assert not seen_by.drain().records


def test_files_and_devices_are_no_pipes(watch, tmp_path) -> None:
    seen_by = watch()
    seen_by.kernel.watch_stdio(True)
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_text(f"{PING}\n")
    with source.open() as stdin, target.open("w") as stdout:
        child = subprocess.Popen(
            ["sh", "-c", "read -r go < /dev/null; sleep 0.2; exec cat"], stdin=stdin, stdout=stdout
        )
        seen_by.track(child.pid)
        assert child.wait() == 0
    assert target.read_text() == f"{PING}\n"
    seen = seen_by.until_exit(child.pid)
    assert not seen.runs(written=True)
    assert not seen.runs(written=False)

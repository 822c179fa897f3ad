"""Plain HTTP on TCP sockets: of tracked processes, and of others to the ports of local models."""

import socketserver
import sys
import threading
from pathlib import Path

import pytest
from agentsight_agent.bpf.records import ConnectionClosed, ConnectionOpened, PayloadSource

pytestmark = pytest.mark.kernel

TESTERS = Path(__file__).parent / "testers"
REQUEST = b"POST /api/chat HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nend"


class Server(socketserver.ThreadingTCPServer):
    """Answers whatever ends with `hello` or `end`."""

    daemon_threads = True
    allow_reuse_address = True

    class RequestHandlerClass(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            seen = b""
            while data := self.request.recv(65536):
                seen += data
                if seen.endswith((b"hello", b"end")):
                    self.request.sendall(ANSWER)
                    seen = b""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)
        self.port = self.server_address[1]


@pytest.fixture
def server():
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def talking(watch, tester):
    """Start the talker with sockets watched; return what is seen, and it."""

    def run(*, tracked: bool = True, ports: tuple[int, ...] = (), **settings: object):
        seen_by = watch(**settings)
        seen_by.kernel.watch_sockets(True)
        seen_by.kernel.set_local_model_ports(ports)
        talker = tester(sys.executable, TESTERS / "http_talker.py")
        if tracked:
            seen_by.track(talker.pid)
        return seen_by, talker

    return run


def say(talker, command: str, port: int) -> None:
    talker.say(f"{command} {port}")
    assert talker.line() == "done"


def bodies(seen, *, written: bool) -> bytes:
    runs = [run for run in seen.runs(written=written) if run.source == PayloadSource.SOCKET]
    return b"".join(run.data for run in runs)


@pytest.mark.parametrize("command", ["plain", "vectors", "peek"])
def test_both_directions_are_taken_once_under_one_connection(talking, server, command) -> None:
    seen_by, talker = talking()
    say(talker, command, server.port)
    seen = seen_by.until(lambda seen: seen.of(ConnectionClosed))
    assert bodies(seen, written=True) == REQUEST
    assert bodies(seen, written=False) == ANSWER
    (opened,) = seen.of(ConnectionOpened)
    assert (opened.peer_address, opened.peer_port) == ("127.0.0.1", server.port)
    (closed,) = seen.of(ConnectionClosed)
    assert {run.connection for run in seen.runs(written=True)} == {opened.connection}
    assert closed.connection == opened.connection
    assert not closed.lost_written_bytes


def test_what_the_kernel_sends_from_a_file_is_counted_as_lost(talking, server) -> None:
    seen_by, talker = talking()
    say(talker, "file", server.port)
    seen = seen_by.until(lambda seen: seen.of(ConnectionClosed))
    assert bodies(seen, written=True) == REQUEST.removesuffix(b"hello")
    assert seen.of(ConnectionClosed)[0].lost_written_bytes == 5
    assert seen_by.kernel.counters().tls.truncated_bytes == 5


def test_what_begins_as_no_http_is_not_taken(talking, server) -> None:
    seen_by, talker = talking()
    say(talker, "ciphertext", server.port)
    assert not seen_by.drain().runs(written=True)
    assert not seen_by.drain().runs(written=False)


@pytest.mark.every_loader
def test_a_connection_that_lives_on_is_one(talking, server) -> None:
    seen_by, talker = talking()
    for _ in range(3):
        say(talker, "keep", server.port)
    seen = seen_by.until(lambda seen: bodies(seen, written=False) == 3 * ANSWER)
    assert len({run.connection for run in seen.runs(written=True)}) == 1
    seen_by.kernel.mute(seen.runs(written=True)[0].connection)
    say(talker, "keep", server.port)
    assert bodies(seen_by.drain(), written=True) == 3 * REQUEST


def test_strangers_are_seen_only_where_local_models_listen(talking, server) -> None:
    with Server() as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        seen_by, talker = talking(tracked=False, ports=(server.port,), discover=True)
        say(talker, "plain", other.port)
        assert not seen_by.drain().runs(written=True)
        say(talker, "plain", server.port)
        seen = seen_by.until(lambda seen: seen.of(ConnectionClosed))
        assert bodies(seen, written=True) == REQUEST
        assert {run.session for run in seen.runs(written=True)} == {0}
        seen_by.kernel.set_local_model_ports(())
        say(talker, "plain", server.port)
        assert bodies(seen_by.drain(), written=True) == REQUEST
        other.shutdown()


def test_strangers_are_not_seen_without_discovery(talking, server) -> None:
    seen_by, talker = talking(tracked=False, ports=(server.port,))
    say(talker, "plain", server.port)
    assert not seen_by.drain().runs(written=True)

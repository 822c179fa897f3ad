"""UDP sockets of real programs, and what name servers answer them."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from agentsight_core.parsers.dns import DnsAnswer, parse_dns_answer
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.dns_messages import dns_answer

pytestmark = pytest.mark.kernel

# A loopback address of its own: port 53 of 127.0.0.1 may be in use.
NAME_SERVER = "127.83.7.53"
QUIC_INITIAL = b"\xc3\x00\x00\x00\x01" + bytes(1195)


@pytest.fixture
def echo() -> Iterator[int]:
    """A UDP port that answers twice the bytes it gets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                data, peer = server.recvfrom(4096)
                if data == b"stop":
                    return
                server.sendto(data + data, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        yield port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"stop", ("127.0.0.1", port))
        thread.join()


@pytest.fixture
def flows_of(watch, tester) -> Callable[..., list[pb.Event]]:
    """Run a program that ends; return its UDP events."""

    def run(code: str) -> list[pb.Event]:
        seen_by = watch()
        seen_by.kernel.watch_datagrams(on=True)
        head = "import os, socket\nprint('ready', flush=True)\ninput()\n"
        program = tester(sys.executable, "-c", head + code)
        seen_by.track(program.pid)
        program.say("go")
        assert program.finish() == 0
        seen = seen_by.until_exit(program.pid)
        kinds = {"net_connected", "net_closed", "dns_answered"}
        return [event for event in seen.events() if event.WhichOneof("body") in kinds]

    return run


CLIENTS = {
    "connected, send and recv": """
sock.connect(("127.0.0.1", PORT))
for _ in range(3):
    sock.send(DATA)
    sock.recv(4096)
""",
    "connected, write and read": """
sock.connect(("127.0.0.1", PORT))
for _ in range(3):
    os.write(sock.fileno(), DATA)
    os.read(sock.fileno(), 4096)
""",
    "sendto and recvfrom": """
for _ in range(3):
    sock.sendto(DATA, ("127.0.0.1", PORT))
    sock.recvfrom(4096)
""",
    "sendmsg and recvmsg": """
for _ in range(3):
    sock.sendmsg([DATA], [], 0, ("127.0.0.1", PORT))
    sock.recvmsg(4096)
""",
}


@pytest.mark.parametrize("client", CLIENTS)
def test_peer_bytes_and_datagrams_of_a_flow(flows_of, echo, client: str) -> None:
    # Half of them leave the socket to the end of the process.
    end = "sock.close()" if client.startswith("connected") else "os._exit(0)"
    code = CLIENTS[client].replace("PORT", str(echo)).replace("DATA", "b'x' * 100")
    made, done = flows_of(
        "sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n" + code + end + "\n"
    )
    assert made.net_connected.transport == done.net_closed.transport == pb.TRANSPORT_UDP
    assert made.net_connected.socket == done.net_closed.socket
    assert (made.net_connected.peer_address, made.net_connected.peer_port) == ("127.0.0.1", echo)
    assert not made.net_connected.quic_version
    closed = done.net_closed
    assert (closed.sent_datagrams, closed.received_datagrams) == (3, 3)
    assert (closed.sent_bytes, closed.received_bytes) == (300, 600)
    assert not closed.several_peers


@pytest.mark.every_loader
def test_the_version_of_quic_is_that_of_the_first_datagram(flows_of, echo) -> None:
    made, _ = flows_of(
        "sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
        f"sock.connect(('::ffff:127.0.0.1', {echo}))\n"
        f"sock.send({QUIC_INITIAL!r})\n"
    )
    assert made.net_connected.quic_version == 1
    assert made.net_connected.peer_address == "127.0.0.1"


def test_a_second_peer_and_another_socket_of_the_same_number_are_told(flows_of, echo) -> None:
    events = flows_of(
        "sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"sock.sendto(b'1', ('127.0.0.1', {echo}))\n"
        "sock.sendto(b'22', ('127.0.0.1', 9))\n"
        "other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "os.dup2(other.fileno(), sock.fileno())\n"
        f"sock.sendto(b'333', ('127.0.0.1', {echo}))\n"
    )
    closed = [event.net_closed for event in events if event.HasField("net_closed")]
    assert [(end.sent_bytes, end.several_peers) for end in closed] == [(3, True), (3, False)]


RESOLVERS = {
    "connected, recv": "sock.connect(SERVER); sock.send(b'?'); sock.recv(4096)",
    "connected, read": "sock.connect(SERVER); sock.send(b'?'); os.read(sock.fileno(), 4096)",
    "recvfrom": "sock.sendto(b'?', SERVER); sock.recvfrom(4096)",
    "recvmsg": "sock.sendto(b'?', SERVER); sock.recvmsg(4096)",
}


def test_what_a_name_server_answers_is_told_as_it_came(flows_of) -> None:
    answer = dns_answer("api.example.test", [f"192.0.2.{i}" for i in range(1, 41)])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((NAME_SERVER, 53))

        def serve() -> None:
            for _ in RESOLVERS:
                server.sendto(answer, server.recvfrom(512)[1])

        thread = threading.Thread(target=serve)
        thread.start()
        begin = "sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        lines = [begin + call + "; sock.close()" for call in RESOLVERS.values()]
        events = flows_of("\n".join([f"SERVER = ({NAME_SERVER!r}, 53)", *lines, ""]))
        thread.join()
    told = [event.dns_answered.message for event in events if event.HasField("dns_answered")]
    assert told == [answer] * len(RESOLVERS)
    assert len(answer) > 512
    parsed = parse_dns_answer(told[0])
    assert parsed == DnsAnswer("api.example.test", tuple(f"192.0.2.{i}" for i in range(1, 41)))

"""Loss and delay that are set, and what the real kernel side says of the connections there."""

import errno
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentsight_aggregator.analyzers.network_totals import (
    NetworkTotals,
    round_trip_us,
    take_progress,
)

pytestmark = pytest.mark.kernel

TESTERS = Path(__file__).parent / "testers"
PORT = 7000
DELAY_MS = 20
# Of the segments with data every so many-th is dropped.
EVERY = 25
SEGMENTS = 3000
RULES = f"""
table ip loss {{
    chain input {{
        type filter hook input priority 0;
        tcp dport {PORT} meta length > 100 jump lossy
    }}
    chain lossy {{
        counter name seen
        numgen inc mod {EVERY} 0 counter name dropped drop
    }}
    counter seen {{ }}
    counter dropped {{ }}
}}
"""
TALKER = f"""
import socket, time
server = socket.create_server(("10.77.0.1", {PORT}))
client = socket.socket()
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print("ready", flush=True)
input()
client.connect(("10.77.0.2", {PORT}))
peer, _ = server.accept()
import threading
def take():
    while peer.recv(65536):
        pass
taker = threading.Thread(target=take)
taker.start()
for i in range({SEGMENTS}):
    client.sendall(b"x" * 1000)
    if not i % 10:
        time.sleep(0.01)
client.shutdown(socket.SHUT_WR)
taker.join()
peer.close()
client.close()
"""


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"agentsight-net-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "delete", name], check=True)


def dropped_by_rules(namespace: str) -> dict[str, int]:
    shown = subprocess.run(
        ["ip", "netns", "exec", namespace, "nft", "-j", "list", "counters"],
        check=True,
        capture_output=True,
    ).stdout
    rows = [row["counter"] for row in json.loads(shown)["nftables"] if "counter" in row]
    return {row["name"]: row["packets"] for row in rows}


def test_measured_loss_and_round_trip_are_those_that_were_set(watch, tester, namespace) -> None:
    inside = ("ip", "netns", "exec", namespace)
    tester(*inside, sys.executable, TESTERS / "slow_path.py", DELAY_MS)
    subprocess.run([*inside, "nft", "-f", "-"], input=RULES.encode(), check=True)
    seen_by = watch()
    talker = tester(*inside, sys.executable, "-c", TALKER)
    seen_by.track(talker.pid)
    talker.say("go")
    assert talker.finish() == 0
    seen = seen_by.until(
        lambda seen: sum(event.HasField("net_closed") for event in seen.events()) == 1
    )

    (closed,) = [event.net_closed for event in seen.events() if event.HasField("net_closed")]
    set_by = dropped_by_rules(namespace)
    assert closed.peer_address == "10.77.0.2"
    assert closed.sent_bytes == SEGMENTS * 1000
    assert closed.error == 0
    assert set_by["dropped"] == pytest.approx(set_by["seen"] / EVERY, abs=1)
    rate = closed.retransmitted_segments / closed.sent_segments
    assert rate == pytest.approx(1 / EVERY, rel=0.1)
    assert closed.retransmitted_segments == pytest.approx(set_by["dropped"], rel=0.1)
    assert closed.least_round_trip_us == pytest.approx(2 * DELAY_MS * 1000, rel=0.1)
    assert closed.congestion_window > 0
    # The session has the same, over all its connections.
    session = NetworkTotals()
    take_progress(session, closed, closed=True)
    assert session.sums.retransmitted_segments == pytest.approx(set_by["dropped"], rel=0.1)
    assert session.least_round_trip_us == pytest.approx(2 * DELAY_MS * 1000, rel=0.1)
    assert round_trip_us(session) == closed.round_trip_us


LISTENER = """
import socket, sys
print("ready", flush=True)
input()
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
peer, _ = server.accept()
peer.recv(5, socket.MSG_WAITALL)
peer.sendall(b"abc")
input()
try:
    peer.recv(1)
except ConnectionResetError:
    pass
"""


def test_accepted_connections_are_told_and_so_is_what_ended_them(watch, tester) -> None:
    seen_by = watch()
    listener = tester(sys.executable, "-c", LISTENER)
    seen_by.track(listener.pid)
    listener.say("go")
    with socket.create_connection(("127.0.0.1", int(listener.line()))) as client:
        client.sendall(b"12345")
        assert client.recv(3, socket.MSG_WAITALL) == b"abc"
        own_port = client.getsockname()[1]
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    listener.say("go")
    assert listener.finish() == 0
    seen = seen_by.until(lambda seen: any(event.HasField("net_closed") for event in seen.events()))
    events = [event for event in seen.events() if event.pid == listener.pid]
    (made,) = [event.net_connected for event in events if event.HasField("net_connected")]
    (closed,) = [event.net_closed for event in events if event.HasField("net_closed")]
    assert (made.accepted, made.peer_port, made.error) == (True, own_port, 0)
    assert closed.socket == made.socket
    assert (closed.received_bytes, closed.sent_bytes) == (5, 3)
    assert closed.error == errno.ECONNRESET


SILENT = """
table ip silent {
    chain input {
        type filter hook input priority 0;
        tcp dport 9 drop
    }
}
"""
# One repetition of the SYN, then the kernel gives up.
CALLER = """
import socket
print("ready", flush=True)
input()
with socket.socket() as client:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
    print(client.connect_ex(("127.0.0.1", 9)), flush=True)
"""


def test_a_connect_that_nobody_answers_is_told_as_timed_out(watch, tester, namespace) -> None:
    inside = ("ip", "netns", "exec", namespace)
    subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
    subprocess.run([*inside, "nft", "-f", "-"], input=SILENT.encode(), check=True)
    seen_by = watch()
    caller = tester(*inside, sys.executable, "-c", CALLER)
    seen_by.track(caller.pid)
    assert caller.ask("go") == errno.ETIMEDOUT
    seen = seen_by.until(lambda seen: any(e.HasField("net_connected") for e in seen.events()))
    (made,) = [e.net_connected for e in seen.events() if e.HasField("net_connected")]
    assert (made.peer_port, made.error) == (9, errno.ETIMEDOUT)
    assert made.duration_ns > 1_000_000_000

"""Peers that a filter does not want, by address, where it works: in the real kernel."""

import socket
import sys
from ipaddress import ip_network

import pytest

pytestmark = pytest.mark.kernel

# 127.0.0.0/8 is all this machine.
CALLER = """
import json, socket, sys
print("ready", flush=True)
for line in sys.stdin:
    family, host, port = json.loads(line)
    with socket.socket(family) as tcp:
        tcp.connect((host, port))
        tcp.sendall(b"x")
        tcp.recv(1)
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"x", (host, port))
    print("{}", flush=True)
"""


def call(caller, family: int, host: str) -> None:
    """Let the tester talk to `host` over TCP and UDP."""
    with socket.create_server((host, 0), family=family) as server:
        caller.say(f'[{int(family)}, "{host}", {server.getsockname()[1]}]')
        with server.accept()[0] as peer:
            peer.sendall(peer.recv(1))
        assert caller.line() == "{}"


def peers(seen) -> list[tuple[str, str]]:
    """Return kind and peer of all events of the network, sorted."""
    kinds = ("net_connected", "net_closed")
    return sorted(
        (kind, getattr(event, kind).peer_address)
        for event in seen.events()
        for kind in kinds
        if event.HasField(kind)
    )


def test_connections_and_datagrams_to_unwanted_addresses_are_not_told(watch, tester) -> None:
    seen_by = watch()
    caller = tester(sys.executable, "-c", CALLER)
    seen_by.track(caller.pid)
    seen_by.kernel.watch_files(True)
    seen_by.kernel.watch_datagrams(True)
    networks = {ip_network("127.1.0.0/16"), ip_network("127.2.2.2"), ip_network("::1")}
    seen_by.kernel.exclude_peers(frozenset(networks))
    for family, host in (
        (socket.AF_INET, "127.1.2.3"),
        (socket.AF_INET, "127.2.2.2"),
        (socket.AF_INET6, "::1"),
        (socket.AF_INET, "127.2.2.3"),
    ):
        call(caller, family, host)
    wanted = [(kind, "127.2.2.3") for kind in ("net_closed", "net_connected") for _ in "tu"]
    seen = seen_by.until(lambda seen: len(peers(seen)) >= len(wanted))
    assert peers(seen) == wanted
    assert seen_by.kernel.counters().net.filtered == 6
    seen_by.kernel.exclude_peers(frozenset())
    call(caller, socket.AF_INET, "127.1.2.3")
    seen_by.until(lambda seen: ("net_closed", "127.1.2.3") in peers(seen))


SERVER = """
import socket
print("ready", flush=True)
input()
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    for _ in range(2):
        server.accept()[0].close()
"""


def test_connections_from_unwanted_addresses_are_not_told(watch, tester) -> None:
    seen_by = watch()
    server = tester(sys.executable, "-c", SERVER)
    seen_by.track(server.pid)
    seen_by.kernel.exclude_peers(frozenset({ip_network("127.9.0.0/24")}))
    server.say("go")
    port = int(server.line())
    for own in ("127.9.0.1", "127.9.1.1"):
        with socket.create_connection(("127.0.0.1", port), source_address=(own, 0)) as client:
            client.recv(1)
    assert server.finish() == 0
    seen = seen_by.until(lambda seen: ("net_closed", "127.9.1.1") in peers(seen))
    assert {peer for _, peer in peers(seen)} == {"127.9.1.1"}


def test_plaintext_to_unwanted_addresses_is_not_taken_once_the_peer_is_known(
    watch, tls_tester, libssl
) -> None:
    seen_by = watch()
    seen_by.kernel.attach_tls(*libssl)
    talker = tls_tester()
    seen_by.track(talker.pid)
    before = len(seen_by.drain().items)
    seen_by.kernel.exclude_peers(frozenset({ip_network("127.0.0.1")}))
    talker.ask("tcp 3")
    excluded = seen_by.drain().items[before:]
    seen_by.kernel.exclude_peers(frozenset())
    talker.ask("tcp 3")
    wanted = seen_by.drain().items[before + len(excluded) :]
    taken = [
        sum(len(run.data) for run in items if hasattr(run, "data")) for items in (excluded, wanted)
    ]
    assert taken[1] > 0
    assert taken[0] < taken[1] / 2

"""Sampling and highest rates, applied by the real kernel: what is recorded and what is counted."""

import socket
import sys
from collections import Counter

import pytest
from agentsight_agent.bpf.limits import ClassLimit, Rate

pytestmark = pytest.mark.kernel

OPENER = """
import os, sys
print("ready", flush=True)
for line in sys.stdin:
    for number in range(int(line)):
        file = os.open(f"{sys.argv[1]}/{number % 50}", os.O_CREAT | os.O_WRONLY)
        os.write(file, b"x")
        os.close(file)
    print("{}", flush=True)
"""


def told(seen) -> Counter[str]:
    return Counter(event.WhichOneof("body") for event in seen.events())


@pytest.fixture
def opener(tester, tmp_path):
    return tester(sys.executable, "-c", OPENER, tmp_path)


def test_no_more_than_the_rate_is_recorded_and_the_rest_is_counted(watch, opener) -> None:
    seen_by = watch()
    seen_by.track(opener.pid)
    seen_by.kernel.set_limits({"file": ClassLimit(per_second=100)})
    seen_by.kernel.watch_files(True)
    opener.ask("3000")
    rate = seen_by.kernel.rate(seen_by.session, "file")
    assert rate.taken + rate.over_rate == 3000
    assert rate.not_sampled == 0
    seconds = (rate.last_boot_ns - rate.since_boot_ns) // 10**9 + 2
    assert 100 <= rate.taken <= 100 * seconds
    # What was written to the others is not told either: neither opened nor closed.
    bodies = told(seen_by.drain())
    assert bodies["file_opened"] == bodies["file_closed"] == rate.taken


def test_one_in_so_many_is_recorded_with_all_that_belongs_to_it(watch, opener) -> None:
    seen_by = watch()
    seen_by.track(opener.pid)
    seen_by.kernel.set_limits({"file": ClassLimit(one_in=10)})
    seen_by.kernel.watch_files(True)
    opener.ask("5000")
    rate = seen_by.kernel.rate(seen_by.session, "file")
    assert rate.taken + rate.not_sampled == 5000
    # Seven standard deviations.
    assert 350 < rate.taken < 650
    bodies = told(seen_by.drain())
    assert bodies["file_opened"] == bodies["file_closed"] == rate.taken


def test_limits_are_changed_and_lifted_while_it_runs_and_end_with_the_session(
    watch, opener
) -> None:
    seen_by = watch()
    seen_by.track(opener.pid)
    seen_by.kernel.watch_files(True)
    opener.ask("20")
    assert seen_by.kernel.rate(seen_by.session, "file") == Rate()
    seen_by.kernel.set_limits({"file": ClassLimit(one_in=1_000_000_000)})
    opener.ask("20")
    assert seen_by.kernel.rate(seen_by.session, "file").not_sampled == 20
    seen_by.kernel.set_limits({})
    opener.ask("20")
    assert told(seen_by.drain())["file_opened"] == 40
    seen_by.kernel.forget_rates(seen_by.session)
    assert seen_by.kernel.rate(seen_by.session, "file") == Rate()


def test_one_session_that_is_limited_takes_nothing_from_another(watch, tester, tmp_path) -> None:
    seen_by = watch()
    loud, calm = (tester(sys.executable, "-c", OPENER, tmp_path) for _ in range(2))
    seen_by.track(loud.pid)
    seen_by.kernel.track(calm.pid, seen_by.session + 1)
    seen_by.kernel.set_limits({"file": ClassLimit(per_second=50)})
    seen_by.kernel.watch_files(True)
    loud.ask("2000")
    calm.ask("50")
    opened = Counter(
        event.session for event in seen_by.drain().events() if event.HasField("file_opened")
    )
    assert opened[seen_by.session + 1] == 50
    assert seen_by.kernel.rate(seen_by.session + 1, "file").left_out == 0


CALLER = """
import socket, sys
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(40):
        with socket.create_connection(("127.0.0.1", int(line))) as tcp:
            tcp.sendall(b"x")
            tcp.recv(1)
    for _ in range(40):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect(("127.0.0.1", int(line)))
            udp.send(b"x")
    print("{}", flush=True)
"""


def test_connections_that_are_left_out_are_told_neither_at_their_end(watch, tester) -> None:
    seen_by = watch()
    caller = tester(sys.executable, "-c", CALLER)
    seen_by.track(caller.pid)
    seen_by.kernel.watch_datagrams(True)
    seen_by.kernel.set_limits({"net": ClassLimit(one_in=4)})
    with socket.create_server(("127.0.0.1", 0)) as server:
        caller.say(str(server.getsockname()[1]))
        for _ in range(40):
            with server.accept()[0] as peer:
                peer.sendall(peer.recv(1))
        assert caller.line() == "{}"
    rate = seen_by.kernel.rate(seen_by.session, "net")
    assert rate.taken + rate.not_sampled == 80
    assert 0 < rate.taken < 80
    seen = seen_by.until(lambda seen: told(seen)["net_closed"] == rate.taken)
    assert told(seen)["net_connected"] == rate.taken


def test_content_of_connections_that_are_left_out_is_not_taken(watch, tls_tester, libssl) -> None:
    path, hooks = libssl
    seen_by = watch()
    seen_by.kernel.attach_tls(path, hooks)
    talker = tls_tester()
    seen_by.track(talker.pid)
    seen_by.kernel.set_limits({"tls": ClassLimit(one_in=1_000_000_000)})
    talker.ask("open 1")
    talker.ask("write 0 1 64")
    assert seen_by.kernel.rate(seen_by.session, "tls").not_sampled > 0
    assert not seen_by.drain().runs(written=True, pid=talker.pid)
    seen_by.kernel.set_limits({})
    talker.ask("open 1")
    talker.ask("write 1 1 64")
    assert seen_by.drain().runs(written=True, pid=talker.pid)

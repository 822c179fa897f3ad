"""Plaintext of a real libssl, captured by real uprobes."""

import os
import re
from collections import defaultdict

import pytest
from agentsight_agent.bpf.hooks import HookKind, TlsHook
from agentsight_agent.bpf.objects import ProbeError
from agentsight_agent.bpf.records import (
    ConnectionClosed,
    ConnectionOpened,
    ProcessRecord,
    TlsDuplex,
    TlsRun,
)
from agentsight_agent.duplex import Turns
from agentsight_agent.tls.discovery import TlsFile, inspect

pytestmark = pytest.mark.kernel


@pytest.fixture
def talking(watch, tls_tester, libssl):
    """A kernel hooked to libssl and a tracked tester."""

    def start(tracked: bool = True, **settings):
        seen_by = watch(**settings)
        seen_by.kernel.attach_tls(*libssl)
        talker = tls_tester()
        if tracked:
            seen_by.track(talker.pid)
        return seen_by, talker

    return start


def by_connection(runs) -> dict[int, bytes]:
    data: dict[int, bytes] = defaultdict(bytes)
    for run in runs:
        data[run.connection] += run.data
    return data


def numbered(times: int, size: int) -> bytes:
    return b"".join(b"%0*d" % (size, number) for number in range(times))


def test_a_burst_of_100_000_writes_arrives_whole(talking) -> None:
    seen_by, talker = talking(ring_bytes=64 << 20)
    talker.ask("open 1")
    assert talker.ask("write 0 100000 64") == 6_400_000
    seen = seen_by.drain()

    runs = seen.runs(written=True)
    assert b"".join(run.data for run in runs) == numbered(100_000, 64)
    assert sum(len(run.offsets) for run in runs) == 100_000
    assert len(runs) <= 8
    for run in runs:
        assert run.offsets.tolist() == list(range(0, len(run.data), 64))
        times = run.times_ns.tolist()
        assert times == sorted(times)
        assert len(times) == len(run.offsets)
    counters = seen_by.kernel.counters()
    assert counters.tls.submitted == 100_000 == seen.records
    assert counters.tls.submitted_bytes == 6_400_000
    assert (counters.lost_records, seen.lost_records, counters.missed_runs) == (0, 0, 0)


def test_a_burst_into_a_full_ring_closes_to_the_byte(talking) -> None:
    seen_by, talker = talking(ring_bytes=1 << 20)
    # Numbers are per CPU, and a gap shows when the next record of the same CPU arrives.
    os.sched_setaffinity(talker.pid, {min(os.sched_getaffinity(0))})
    talker.ask("open 1")
    talker.ask("write 0 100000 64")
    first = len(seen_by.drain().runs(written=True))
    assert first == 1
    # The ring was full at the end: the next record tells how much is missing before it.
    talker.ask("write 0 1 64")
    talker.ask("write 0 2 64")
    talker.ask("close 0")
    seen = seen_by.until(lambda seen: seen.of(ConnectionClosed))

    counters = seen_by.kernel.counters().tls
    taken = counters.submitted - len(seen.of(ConnectionClosed))
    assert counters.ring_full > 0
    assert taken + counters.ring_full == 100_003
    assert seen.records == counters.submitted
    assert seen.lost_records == counters.ring_full
    runs = seen.runs(written=True)
    assert sum(len(run.data) for run in runs) == taken * 64 == counters.submitted_bytes
    assert [run.lost_bytes for run in runs] == [0, counters.ring_full * 64]
    assert counters.ring_full_bytes == counters.ring_full * 64
    assert runs[1].data == numbered(1, 64) + numbered(2, 64)


def test_records_that_go_around_the_end_of_the_ring_come_whole(talking) -> None:
    seen_by, talker = talking(ring_bytes=256 << 10)
    talker.ask("open 1")
    # Together eight times the ring; no record ends where the ring does.
    for _ in range(20):
        assert talker.ask("write 0 20 5000") == 100_000
        seen = seen_by.drain()

    written = b"".join(run.data for run in seen.runs(written=True))
    assert written == 20 * numbered(20, 5000)
    assert (seen.records, seen.lost_records) == (400, 0)


def test_a_loss_without_a_following_record_is_counted(talking) -> None:
    seen_by, talker = talking(ring_bytes=256 << 10)
    talker.ask("open 1")
    talker.ask("write 0 10000 64")
    before = seen_by.kernel.counters().tls
    assert before.submitted + before.ring_full == 10_000
    assert before.ring_full > 0
    seen_by.drain()
    talker.ask("close 0")
    (closed,) = seen_by.until(lambda seen: seen.of(ConnectionClosed)).of(ConnectionClosed)
    assert closed.lost_written_bytes == before.ring_full * 64
    assert closed.lost_read_bytes == 0


@pytest.mark.parametrize("size", [1, 64, 65, 1024, 4097, 16384, 16385, 100_000, 3_000_000])
def test_payloads_of_any_size_come_whole_in_both_directions(talking, size) -> None:
    seen_by, talker = talking(ring_bytes=32 << 20)
    talker.ask("open 1")
    text = "".join(chr(97 + number % 26) for number in range(size))
    assert talker.ask(f"say 0 {text}") == size
    seen = seen_by.drain()
    for written in (True, False):
        runs = seen.runs(written=written)
        assert b"".join(run.data for run in runs) == text.encode()
        assert not any(run.lost_bytes for run in runs)


def test_a_payload_over_the_maximum_is_cut_and_the_cut_is_counted(talking) -> None:
    seen_by, talker = talking(max_payload_bytes=20_000)
    talker.ask("open 1")
    talker.ask("say 0 " + "a" * 50_000)
    talker.ask("say 0 next")
    runs = seen_by.drain().runs(written=True)
    assert [(len(run.data), run.lost_bytes) for run in runs] == [(20_000, 0), (4, 30_000)]
    counters = seen_by.kernel.counters().tls
    # Reads are of one TLS record (16 KiB) at most, so only the write is cut.
    assert (counters.truncated, counters.truncated_bytes) == (1, 30_000)


@pytest.mark.every_loader
def test_connections_of_one_thread_are_told_apart(talking) -> None:
    seen_by, talker = talking()
    talker.ask("open 50")
    for turn in range(3):
        for number in range(50):
            talker.ask(f"say {number} <{number}.{turn}>")
    seen = seen_by.drain()
    expected = {f"<{number}.0><{number}.1><{number}.2>".encode() for number in range(50)}
    written = by_connection(seen.runs(written=True))
    read = by_connection(seen.runs(written=False))
    assert len(written) == len(read) == 50
    assert set(written.values()) == set(read.values()) == expected
    # Both ends live in one process: they are 100 connections.
    assert not set(written) & set(read)
    assert len({run.tid for run in seen.of(TlsRun)}) == 1


def test_runs_of_a_connection_are_joined_and_its_end_comes_last(talking) -> None:
    seen_by, talker = talking()
    talker.ask("open 2")
    for number in (0, 1, 0, 1):
        talker.ask(f"write {number} 1 64")
    talker.ask("close 0")
    talker.ask("write 1 1 64")
    items = seen_by.until(lambda seen: seen.of(ConnectionClosed)).items
    shape = [(type(item).__name__, len(getattr(item, "data", b""))) for item in items]
    assert shape == [("TlsRun", 128), ("TlsRun", 192), ("ConnectionClosed", 0)]
    assert items[2].connection == items[0].connection


def test_both_directions_in_turns_come_as_one_item(talking) -> None:
    seen_by, talker = talking()
    talker.ask("open 1")
    assert talker.ask("echo 0 100 1000") == 100_000
    client, server = seen_by.drain().of(TlsDuplex)

    assert seen_by.seen.of(TlsRun) == []
    for duplex, client_side in ((client, True), (server, False)):
        assert duplex.first.written is client_side
        assert duplex.second.written is not client_side
        assert duplex.first.connection == duplex.second.connection
        assert duplex.first.data == duplex.second.data == numbered(100, 1000)
        turns = list(Turns(duplex))
        assert [run.written for run in turns] == 100 * [client_side, not client_side]
        assert [int(run.data) for run in turns[::2]] == list(range(100))


def test_what_is_missing_begins_both_directions_anew(talking) -> None:
    seen_by, talker = talking(max_payload_bytes=1500)
    talker.ask("open 1")
    talker.ask("echo 0 2 1000")
    talker.ask("echo 0 2 2000")
    client = next(item for item in seen_by.drain().of(TlsDuplex) if item.first.written).first
    runs = [
        run
        for item in seen_by.seen.items
        for run in (Turns(item) if isinstance(item, TlsDuplex) else (item,))
        if run.connection == client.connection
    ]
    assert [(run.written, len(run.data), run.lost_bytes) for run in runs] == [
        (True, 1000, 0),
        (False, 1000, 0),
        (True, 1000, 0),
        (False, 1000, 0),
        (True, 1500, 0),
        (False, 1500, 0),
        (True, 1500, 500),
        (False, 1500, 500),
    ]


def test_a_freed_connection_is_another_one_when_its_memory_is_reused(talking) -> None:
    seen_by, talker = talking()
    for _ in range(5):
        count = talker.ask("open 1")
        talker.ask(f"write {count - 1} 1 64")
        talker.ask(f"close {count - 1}")
    seen = seen_by.until(lambda seen: len(seen.of(ConnectionClosed)) == 5)
    connections = [run.connection for run in seen.runs(written=True)]
    assert len(set(connections)) == 5
    assert [closed.connection for closed in seen.of(ConnectionClosed)] == connections


@pytest.mark.every_loader
def test_the_peer_of_each_connection_of_an_event_loop_is_found(talking) -> None:
    seen_by, talker = talking()
    answer = talker.ask("tcp 40")
    seen = seen_by.until(lambda seen: len(seen.of(ConnectionClosed)) == 80)
    opened = {item.connection: item for item in seen.of(ConnectionOpened)}
    assert len(seen.of(ConnectionOpened)) == len(opened)
    # What the server's ends read tells which client it was.
    texts = {text: port for port, text in answer["asked"]}
    right = wrong = 0
    for connection, data in by_connection(seen.runs(written=False)).items():
        text = data.decode().strip()
        if connection in opened and text in texts:
            assert opened[connection].peer_address == "127.0.0.1"
            right += opened[connection].peer_port == texts[text]
            wrong += opened[connection].peer_port != texts[text]
        elif connection in opened:
            assert re.fullmatch(r"CONNECTION \d+", text)
            right += opened[connection].peer_port == answer["port"]
            wrong += opened[connection].peer_port != answer["port"]
    assert (right, wrong) == (80, 0)


def test_a_process_in_no_session_is_captured_only_while_discovering(talking) -> None:
    seen_by, talker = talking(tracked=False)
    talker.ask("open 1")
    talker.ask("say 0 hidden")
    assert not seen_by.drain().of(TlsRun)
    seen_by.kernel.set_discover(True)
    talker.ask("say 0 found")
    seen_by.kernel.set_discover(False)
    talker.ask("say 0 hidden")
    runs = [run for run in seen_by.drain().of(TlsRun) if run.pid == talker.pid]
    assert [(run.data, run.session) for run in runs] == [(b"found", 0), (b"found", 0)]


def test_records_after_a_promotion_carry_the_session(talking) -> None:
    seen_by, talker = talking(tracked=False, discover=True)
    talker.ask("open 1")
    talker.ask("say 0 before")
    seen_by.track(talker.pid)
    talker.ask("say 0 after")
    runs = seen_by.drain().runs(written=True, pid=talker.pid)
    assert [(run.data, run.session) for run in runs] == [
        (b"before", 0),
        (b"after", seen_by.session),
    ]
    assert runs[0].connection == runs[1].connection


def test_a_call_in_the_moment_of_a_promotion_is_captured(talking, monkeypatch) -> None:
    seen_by, talker = talking(tracked=False, discover=True)
    # What a processor remembers of the process is what this is about.
    os.sched_setaffinity(talker.pid, {min(os.sched_getaffinity(0))})
    talker.ask("open 1")
    talker.ask("say 0 before")
    count_change = seen_by.kernel._memberships_changed

    def speak_first() -> None:
        talker.ask("say 0 meanwhile")
        count_change()

    monkeypatch.setattr(seen_by.kernel, "_memberships_changed", speak_first)
    seen_by.track(talker.pid)
    for written in (True, False):
        runs = seen_by.drain().runs(written=written, pid=talker.pid)
        assert b"".join(run.data for run in runs) == b"beforemeanwhile"


def test_a_muted_connection_gives_nothing_more(talking) -> None:
    seen_by, talker = talking(tracked=False, discover=True)
    talker.ask("open 2")
    talker.ask("say 0 first")
    (run,) = seen_by.drain().runs(written=True, pid=talker.pid)
    seen_by.kernel.mute(run.connection)
    talker.ask("write 0 1000 64")
    talker.ask("say 1 other")
    runs = seen_by.drain().runs(written=True, pid=talker.pid)
    assert [run.data for run in runs] == [b"first", b"other"]


def test_a_muted_process_gives_nothing_until_it_is_tracked(talking) -> None:
    seen_by, talker = talking(tracked=False, discover=True)
    seen_by.kernel.mute_process(talker.pid)
    talker.ask("open 1")
    talker.ask("say 0 hidden")
    assert not [run for run in seen_by.drain().of(TlsRun) if run.pid == talker.pid]
    seen_by.track(talker.pid)
    talker.ask("say 0 heard")
    runs = seen_by.drain().runs(written=True, pid=talker.pid)
    assert [run.data for run in runs] == [b"heard"]


def test_the_end_of_a_discovered_talker_is_told(talking) -> None:
    seen_by, talker = talking(tracked=False, discover=True)
    talker.ask("open 1")
    talker.ask("say 0 text")
    talker.finish()
    seen = seen_by.until_exit(talker.pid)
    ends = [item for item in seen.of(ProcessRecord) if item.kind == "exited"]
    (record,) = [item for item in ends if item.pid == talker.pid]
    assert record.session == 0


def test_a_connection_that_lived_through_the_kill_switch_is_a_new_one(talking) -> None:
    seen_by, talker = talking()
    talker.ask("open 1")
    talker.ask("write 0 1 64")
    seen_by.kernel.set_enabled(False)
    talker.ask("write 0 1 64")
    assert seen_by.drain().records == 1
    seen_by.kernel.set_enabled(True)
    talker.ask("write 0 1 64")
    seen = seen_by.drain()
    first, second = seen.runs(written=True)
    assert first.connection != second.connection
    assert [closed.connection for closed in seen.of(ConnectionClosed)] == [first.connection]


def test_hooking_the_same_call_twice_gives_one_record(talking, libssl) -> None:
    seen_by, talker = talking()
    seen_by.kernel.attach_tls(*libssl)
    talker.ask("open 1")
    talker.ask("say 0 once")
    assert [run.data for run in seen_by.drain().of(TlsRun)] == [b"once", b"once"]
    assert seen_by.seen.records == 2


def test_hooks_on_layers_of_one_call_give_one_record(talking, libssl) -> None:
    path, entries = libssl
    found = inspect(path)
    assert isinstance(found, TlsFile)
    inner = [hook for hook in found.hooks if hook.kind in {HookKind.READ_EX, HookKind.WRITE_EX}]
    assert not {hook.offset for hook in inner} & {hook.offset for hook in entries}
    seen_by, talker = talking()
    seen_by.kernel.attach_tls(path, inner)
    talker.ask("open 1")
    talker.ask("say 0 once")
    assert [run.data for run in seen_by.drain().of(TlsRun)] == [b"once", b"once"]
    assert seen_by.seen.records == 2


def test_perf_events_serve_kernels_without_uprobe_multi(talking, monkeypatch) -> None:
    monkeypatch.setattr("agentsight_agent.bpf.objects.BpfObject.has_uprobe_multi", lambda _: False)
    seen_by, talker = talking()
    talker.ask("open 1")
    talker.ask("say 0 " + "text" * 10_000)
    talker.ask("close 0")
    seen = seen_by.until(lambda seen: len(seen.of(ConnectionClosed)) == 2)
    for written in (True, False):
        assert b"".join(run.data for run in seen.runs(written=written)) == b"text" * 10_000


def test_kernels_without_socket_tracepoints_tell_no_peers(watch, tls_tester, libssl, monkeypatch):
    monkeypatch.setattr(
        "agentsight_agent.bpf.objects.BpfObject.missing_tracepoints", lambda _, names: set(names)
    )
    seen_by = watch()
    assert not seen_by.kernel.sees_peers
    seen_by.kernel.attach_tls(*libssl)
    talker = tls_tester()
    seen_by.track(talker.pid)
    talker.ask("tcp 2")
    seen = seen_by.until(lambda seen: len(seen.of(ConnectionClosed)) == 4)
    assert not seen.of(ConnectionOpened)
    assert len(by_connection(seen.runs(written=True))) == 4


def test_closing_the_link_detaches(watch, tls_tester, libssl) -> None:
    seen_by = watch()
    link = seen_by.kernel.attach_tls(*libssl)
    talker = tls_tester()
    seen_by.track(talker.pid)
    talker.ask("open 1")
    talker.ask("say 0 seen")
    link.close()
    link.close()
    talker.ask("say 0 unseen")
    assert [run.data for run in seen_by.drain().of(TlsRun)] == [b"seen", b"seen"]


def test_a_wrong_hook_is_refused_with_its_path(watch, tmp_path) -> None:
    path = tmp_path / "nothing"
    path.write_bytes(b"")
    kernel = watch().kernel
    with pytest.raises(ProbeError, match=str(path)):
        kernel.attach_tls(str(path), [TlsHook(HookKind.READ, 1 << 30)])
    with pytest.raises(ProbeError, match="missing"):
        kernel.attach_tls(str(tmp_path / "missing"), [TlsHook(HookKind.READ, 0)])

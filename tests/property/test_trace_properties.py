"""Traces of other systems: any chunking gives the same items, garbage never raises, gaps show."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from agentsight_agent.backends.traces.formats import FORMATS
from agentsight_agent.backends.traces.reader import TraceAccount
from agentsight_agent.bpf.records import ConnectionClosed, Item, ProcessEffect, TlsRun
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.dtrace_output import CALL_BYTES, DtraceOutput
from agentsight_core.testing.etw_output import CLASSIC_PROCESS, KERNEL_FILE, document, event
from hypothesis import given, settings
from hypothesis import strategies as st

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "traces"
TRACES = {
    "dtrace": (FOLDER / "session.dtrace").read_bytes(),
    "etw": (FOLDER / "session.etw.xml").read_bytes(),
}
SECOND = 1_000_000_000
PID, SSL = 4101, 77
TIME = "2026-01-01T10:00:00.0000001Z"

formats = st.sampled_from(sorted(TRACES))


def read(name: str, chunks: list[bytes]) -> tuple[list[Item], TraceAccount]:
    reader = FORMATS[name].reader(None)
    items = [item for chunk in chunks for item in reader.feed(chunk)]
    return items + reader.close(), reader.account


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


@settings(deadline=None)
@given(formats, st.lists(st.integers(0, 1 << 20), max_size=30))
def test_any_chunking_gives_the_same(name: str, places: list[int]) -> None:
    data = TRACES[name]
    assert read(name, cut(data, places)) == read(name, [data])


@pytest.mark.parametrize("name", sorted(TRACES))
def test_byte_by_byte(name: str) -> None:
    data = TRACES[name]
    assert read(name, [data[at : at + 1] for at in range(len(data))]) == read(name, [data])


@settings(max_examples=200, deadline=None)
@given(formats, st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=5))
def test_garbage_never_raises(name: str, data: bytes, places: list[int]) -> None:
    assert read(name, cut(data, places)) == read(name, [data])


@settings(max_examples=200, deadline=None)
@given(formats, st.integers(0, 1 << 40), st.integers(1, 40))
def test_damage_never_raises_and_costs_what_is_damaged(name: str, seed: int, count: int) -> None:
    whole, _ = read(name, [TRACES[name]])
    data = bytearray(TRACES[name])
    dice = random.Random(seed)
    for _ in range(count):
        data[dice.randrange(len(data))] = dice.choice(b'\0\xff<>"\\@ 09a-')
    items, account = read(name, [bytes(data)])
    # Each byte may break a record or two, and make of one field another.
    assert len(items) >= len(whole) - 3 * count or account.lost or account.unused


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_paths_and_arguments_of_any_bytes_come_through_dtrace(name: bytes) -> None:
    name = name.replace(b"\0", b"")
    out = DtraceOutput(PID, 10**18)
    out.execute(2 * SECOND, PID, 1, [b"a", name, name], running=True)
    out.record("open", 3 * SECOND, PID, PID, -2, 0, 3, 0, name)
    items, account = read("dtrace", [out.text.encode()])
    assert not account.lost
    executed, opened = (pb.Event.FromString(item.event) for item in items)  # type: ignore[union-attr]
    shown = name.decode("utf-8", "replace")
    assert list(executed.process_executed.argv) == ["a", shown, shown]
    assert opened.file_opened.path == shown


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=100))
def test_names_of_any_characters_come_through_etw(name: str) -> None:
    fields = {"Irp": "0x1", "FileObject": "0x2", "CreateOptions": "0x1000000", "FileName": name}
    text = document(
        [
            event(KERNEL_FILE, 12, TIME, PID, **fields),
            event(KERNEL_FILE, 24, TIME, PID, Irp="0x1", Status="0x0"),
        ]
    )
    for encoding in ("utf-8", "utf-16"):
        items, account = read("etw", [text.encode(encoding)])
        [item] = items
        assert isinstance(item, ProcessEffect)
        assert pb.Event.FromString(item.event).file_opened.path == name
        assert not account.lost


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 40_000)), min_size=1, max_size=12),
    st.data(),
)
def test_plaintext_that_is_missing_is_told_where_it_is_missing(
    calls: list[tuple[bool, int]], data: st.DataObject
) -> None:
    """Pieces are dropped at random: what came and what is told missing are what was moved."""
    out = DtraceOutput(PID, 10**18)
    for at, (written, size) in enumerate(calls):
        out.call((2 + at) * SECOND, PID, SSL, bytes(size), written=written)
    out.record("tlsfree", 60 * SECOND, PID, PID, SSL)
    first, *records = out.text.replace("\n@", "\n\0@").split("\0")
    kept = [record for record in records[:-1] if data.draw(st.booleans())]
    items, account = read("dtrace", [(first + "".join([*kept, records[-1]])).encode()])
    runs = [item for item in items if isinstance(item, TlsRun)]
    closed = [item for item in items if isinstance(item, ConnectionClosed)]
    told = sum(run.lost_bytes for run in runs)
    told += sum(one.lost_read_bytes + one.lost_written_bytes for one in closed)
    assert account.lost_bytes == told
    # A call of which no piece came is not known of.
    known = {run.times_ns[0] // SECOND - 2 for run in runs}
    assert told + sum(len(run.data) for run in runs) == sum(calls[at][1] for at in known)
    if len(kept) == len(records) - 1:
        assert told == sum(max(0, size - CALL_BYTES) for _, size in calls)


@settings(deadline=None)
@given(st.integers(0, 5000), st.integers(0, 1 << 30))
def test_what_the_tracer_dropped_is_declared(lines: int, drops: int) -> None:
    text = f"@begin 1 1 1 1 {10**18} {PID}\ndtrace: {drops} drops on CPU 3\n" + "x\n" * lines
    _, account = read("dtrace", [text.encode()])
    assert account.lost == {"drops": drops}
    header = event("{68fdd900-4a3e-11d1-84f4-0000f80464e3}", 0, TIME, 1, EventsLost=drops)
    _, account = read("etw", [document([header]).encode()])
    assert sum(account.lost.values()) == drops


def test_nothing_grows_without_bound() -> None:
    """Lines and elements without an end are not kept."""
    for name, begin in (("dtrace", b"@open "), ("etw", b"<Event ")):
        reader = FORMATS[name].reader(None)
        reader.feed(begin)
        for _ in range(200):
            assert reader.feed(b"a" * 65_536) == []
        held = [value for value in vars(reader).values() if hasattr(value, "__dict__")]
        sizes = [len(v) for one in held for v in vars(one).values() if isinstance(v, str | bytes)]
        assert max(sizes) <= (1 << 20) + 65_536
        reader.close()
        assert reader.account.lost == {"malformed": 1}


def test_processes_of_a_trace_that_never_ends_are_not_kept_for_ever() -> None:
    reader = FORMATS["etw"].reader(None)
    one = event(CLASSIC_PROCESS, 1, TIME, 1, ProcessId="0x11", ImageFileName="a.exe").encode()
    for _ in range(3):
        reader.feed(one)
    assert reader.account.unused == {"process that is known": 2}

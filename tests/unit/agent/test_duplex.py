"""Both directions of a connection at once: taken apart as they came, or fed one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from agentsight_agent.bpf.records import TlsDuplex, TlsRun
from agentsight_agent.duplex import in_turns
from hypothesis import given
from hypothesis import strategies as st

# What was said, one after the other: by whom, and what.
TURNS = st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=5)), max_size=20)


def run_of(written: bool, pieces: Sequence[tuple[int, bytes]], lost: int = 0) -> TlsRun:
    """Return a run of (time, bytes)."""
    offsets, data = [], b""
    for _, piece in pieces:
        offsets.append(len(data))
        data += piece
    return TlsRun(1, 2, 3, 4, 5, written, data, offsets, [time for time, _ in pieces], lost)


@given(TURNS)
def test_turns_come_in_the_order_of_their_times(turns: list[tuple[bool, bytes]]) -> None:
    turns = [(True, b"first"), (False, b"second"), *turns]
    timed = [(at, written, piece) for at, (written, piece) in enumerate(turns)]
    sides = [
        run_of(side, [(at, piece) for at, written, piece in timed if written is side])
        for side in (True, False)
    ]
    said = []
    for run in in_turns(TlsDuplex(*sides)):
        stops = [*run.offsets[1:], len(run.data)]
        for time, start, stop in zip(run.times_ns, run.offsets, stops, strict=True):
            said.append((time, run.written, run.data[start:stop]))
    assert said == timed


def test_a_turn_ends_where_the_other_side_speaks() -> None:
    asked = run_of(True, [(1, b"a"), (2, b"b"), (5, b"c")], lost=7)
    answered = run_of(False, [(3, b"x"), (4, b"y"), (6, b"z")])
    turns = list(in_turns(TlsDuplex(asked, answered)))
    assert [run.data for run in turns] == [b"ab", b"xy", b"c", b"z"]
    assert [run.lost_bytes for run in turns] == [7, 0, 0, 0]
    assert [list(run.offsets) for run in turns] == [[0, 1], [0, 1], [0], [0]]


def test_what_comes_at_the_same_time_is_the_first_ones_turn() -> None:
    asked, answered = run_of(True, [(1, b"a"), (1, b"b")]), run_of(False, [(1, b"x")])
    assert [run.data for run in in_turns(TlsDuplex(asked, answered))] == [b"ab", b"x"]

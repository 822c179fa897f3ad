"""Both directions of a connection at once: taken apart as they came, or fed one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from agentsight_agent.bpf.records import TlsDuplex, TlsRun
from agentsight_agent.duplex import Turns
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


Timed = list[tuple[int, bool, bytes]]


def timed(turns: list[tuple[bool, bytes]]) -> Timed:
    """Give each a time; both directions say something."""
    turns = [(True, b"first"), (False, b"second"), *turns]
    return [(at, written, piece) for at, (written, piece) in enumerate(turns)]


def duplex_of(said: Timed) -> TlsDuplex:
    first, second = (
        run_of(side, [(at, piece) for at, written, piece in said if written is side])
        for side in (True, False)
    )
    return TlsDuplex(first, second)


def pieces_of(run: TlsRun) -> Timed:
    stops = [*run.offsets[1:], len(run.data)]
    pieces = zip(run.times_ns, run.offsets, stops, strict=True)
    return [(time, run.written, run.data[start:stop]) for time, start, stop in pieces]


@given(TURNS)
def test_turns_come_in_the_order_of_their_times(turns: list[tuple[bool, bytes]]) -> None:
    said = timed(turns)
    assert [piece for run in Turns(duplex_of(said)) for piece in pieces_of(run)] == said


@given(TURNS, st.integers(0, 20))
def test_the_rest_is_what_no_turn_has_given(turns: list[tuple[bool, bytes]], taken: int) -> None:
    said = timed(turns)
    left = Turns(duplex_of(said))
    given_out = [piece for run in islice(left, taken) for piece in pieces_of(run)]
    for written in (True, False):
        rest = [piece for _, side, piece in said[len(given_out) :] if side is written]
        assert left.rest_bytes(written) == sum(map(len, rest))
    rests = list(left.take_rest())
    assert len({run.written for run in rests}) == len(rests)
    assert sorted(given_out + [piece for run in rests for piece in pieces_of(run)]) == said
    assert list(left) == []
    assert list(left.take_rest()) == []


def test_a_turn_ends_where_the_other_side_speaks() -> None:
    asked = run_of(True, [(1, b"a"), (2, b"b"), (5, b"c")], lost=7)
    answered = run_of(False, [(3, b"x"), (4, b"y"), (6, b"z")])
    turns = list(Turns(TlsDuplex(asked, answered)))
    assert [run.data for run in turns] == [b"ab", b"xy", b"c", b"z"]
    assert [run.lost_bytes for run in turns] == [7, 0, 0, 0]
    assert [list(run.offsets) for run in turns] == [[0, 1], [0, 1], [0], [0]]


def test_what_comes_at_the_same_time_is_the_first_ones_turn() -> None:
    asked, answered = run_of(True, [(1, b"a"), (1, b"b")]), run_of(False, [(1, b"x")])
    assert [run.data for run in Turns(TlsDuplex(asked, answered))] == [b"ab", b"x"]

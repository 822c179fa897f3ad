"""Merging in event time: nothing is lost, order is kept as far as promised, the rest is counted."""

from __future__ import annotations

from agentsight_core.merging import Merge, MergeSettings
from hypothesis import given
from hypothesis import strategies as st

SOURCES = ("a", "b", "c")
# (source, time): any order of arrival.
arrivals = st.lists(st.tuples(st.sampled_from(SOURCES), st.integers(0, 50)), max_size=60)
# The caller takes after an arrival, shows its clock, or does neither.
steps = st.lists(st.sampled_from(("nothing", "take", "clock")), max_size=60)

Numbered = tuple[int, int]  # (time, number of arrival)


def play(
    merge: Merge[Numbered], items: list[tuple[str, int]], what: list[str], size: int = 0
) -> list[Numbered]:
    out: list[Numbered] = []
    newest_ns = 0
    for number, (source, time_ns) in enumerate(items):
        merge.add(source, time_ns, (time_ns, number), size)
        step = what[number] if number < len(what) else "take"
        newest_ns = max(newest_ns, time_ns)
        if step == "clock":
            merge.advance(newest_ns)
        if step != "nothing":
            out += merge.take()
        account = merge.account
        assert account.received == account.released + merge.held
        assert account.released == len(out)
    return out + merge.drain()


@given(arrivals, steps, st.integers(0, 60), st.integers(1, 20), st.booleans())
def test_everything_comes_out_once_and_disorder_is_counted(
    items: list[tuple[str, int]],
    what: list[str],
    lateness_ns: int,
    max_items: int,
    with_sources: bool,
) -> None:
    merge = Merge[Numbered](MergeSettings(lateness_ns, max_items), SOURCES if with_sources else ())
    out = play(merge, items, what)
    assert sorted(out) == sorted((time_ns, number) for number, (_, time_ns) in enumerate(items))
    newest, late, max_late = -1, 0, 0
    for time_ns, _ in out:
        late += time_ns < newest
        max_late = max(max_late, newest - time_ns)
        newest = max(newest, time_ns)
    assert merge.account.late == late
    assert merge.account.max_late_ns == max_late
    assert merge.held == 0


@given(arrivals, steps, st.integers(0, 60))
def test_what_is_not_late_comes_in_the_order_of_time(
    items: list[tuple[str, int]], what: list[str], lateness_ns: int
) -> None:
    newest, kept = 0, []
    for source, time_ns in items:
        if time_ns >= newest - lateness_ns:
            kept.append((source, time_ns))
            newest = max(newest, time_ns)
    merge = Merge[Numbered](MergeSettings(lateness_ns, max_items=1000))
    out = play(merge, kept, what)
    assert out == sorted(out), "ties keep the order of arrival"
    assert (merge.account.late, merge.account.early) == (0, 0)


@given(arrivals, steps)
def test_sources_that_are_in_order_need_no_lateness(
    items: list[tuple[str, int]], what: list[str]
) -> None:
    last = dict.fromkeys(SOURCES, 0)
    ordered = []
    for source, step_ns in items:
        last[source] += step_ns
        ordered.append((source, last[source]))
    merge = Merge[Numbered](MergeSettings(lateness_ns=10**9, max_items=1000), SOURCES)
    out = play(merge, ordered, ["take" if step == "clock" else step for step in what])
    assert out == sorted(out)
    assert merge.account.late == 0


@given(arrivals, st.integers(1, 8), st.integers(1, 40))
def test_memory_is_bounded(items: list[tuple[str, int]], max_items: int, max_bytes: int) -> None:
    merge = Merge[int](MergeSettings(10**9, max_items, max_bytes), SOURCES)
    for source, time_ns in items:
        merge.add(source, time_ns, time_ns, size_bytes=7)
        merge.take()
        assert merge.held <= max_items
        assert merge.held * 7 <= max_bytes or merge.held == 1


def test_a_silent_source_holds_nobody_up_for_longer_than_the_lateness() -> None:
    merge = Merge[str](MergeSettings(lateness_ns=10), ("talks", "silent"))
    merge.add("talks", 100, "first")
    assert merge.take() == []
    merge.advance(109)
    assert merge.take() == []
    merge.advance(110)
    assert merge.take() == ["first"]


def test_each_source_heard_is_as_good_as_waiting() -> None:
    merge = Merge[str](MergeSettings(lateness_ns=10**9), ("a", "b"))
    merge.add("a", 100, "a100")
    merge.add("b", 90, "b90")
    merge.add("b", 120, "b120")
    assert merge.take() == ["b90", "a100"]
    merge.end("a")
    assert merge.take() == ["b120"]


def test_the_bound_gives_on_the_oldest_and_says_so() -> None:
    merge = Merge[int](MergeSettings(lateness_ns=10**9, max_items=2))
    for time_ns in (30, 10, 20, 5):
        merge.add("a", time_ns, time_ns)
    assert merge.take() == [10, 5]
    account = merge.account
    assert (account.early, account.late, account.max_late_ns) == (1, 1, 5)
    assert merge.drain() == [20, 30]


def test_what_was_due_anyway_is_not_early() -> None:
    merge = Merge[int](MergeSettings(lateness_ns=0, max_items=1))
    for time_ns in (10, 20, 20):
        merge.add("a", time_ns, time_ns)
    assert merge.take() == [10, 20, 20]
    assert merge.account.early == 0


def test_an_item_from_a_clock_that_is_ahead_does_not_wait_for_its_time() -> None:
    merge = Merge[str](MergeSettings(lateness_ns=10))
    merge.add("ahead", 1_000_000, "from the future")
    merge.advance(100)
    assert merge.take() == []
    merge.advance(109)
    assert merge.take() == []
    merge.advance(110)
    assert merge.take() == ["from the future"]

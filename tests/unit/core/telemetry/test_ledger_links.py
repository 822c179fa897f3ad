import pytest
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.telemetry.links import Link, Loss, close_ledger


def ledger(*rows: tuple[str, str, int, int]) -> Ledger:
    result = Ledger()
    for name, unit, received, emitted in rows:
        stage = result.stage(name, unit)
        stage.received, stage.emitted = received, emitted
    return result


AGENT_TO_WORKER = Link(sources=("publish",), targets=("worker",))


def test_stages_of_several_processes_are_added_before_a_link_is_checked() -> None:
    agents = [ledger(("publish", "frames", 3, 3)), ledger(("publish", "frames", 4, 4))]
    worker = ledger(("worker", "frames", 7, 7))

    verdict = close_ledger([part.as_dict() for part in (*agents, worker)], [AGENT_TO_WORKER])

    assert verdict.clean
    assert verdict.lost_count == 0
    assert verdict.explain() == []


def test_items_that_vanish_between_two_stages_are_a_mismatch_and_lost() -> None:
    parts = [ledger(("publish", "frames", 7, 7)), ledger(("worker", "frames", 5, 5))]

    verdict = close_ledger([part.as_dict() for part in parts], [AGENT_TO_WORKER])

    assert not verdict.closed
    assert verdict.lost_count == 2
    assert verdict.explain() == ["publish → worker: 7 frames emitted, 5 received"]


def test_drops_of_one_reason_are_added_and_leave_the_ledger_closed() -> None:
    parts = [ledger(("publish", "frames", 7, 5)), ledger(("publish", "frames", 3, 2))]
    parts[0].stage("publish", "frames").drop("spool_full", 2)
    parts[1].stage("publish", "frames").drop("spool_full", 1)

    verdict = close_ledger([part.as_dict() for part in parts], [])

    assert verdict.lost == (Loss("publish", "spool_full", "frames", 3),)
    assert verdict.closed
    assert not verdict.clean
    assert verdict.lost_count == 3
    assert verdict.explain() == ["publish dropped 3 frames: spool_full"]


def test_what_is_held_or_filtered_is_neither_lost_nor_unexplained() -> None:
    part = ledger(("spool", "frames", 10, 6))
    part.stage("spool", "frames").held = 3
    part.stage("spool", "frames").filter("mode_none", 1)

    assert close_ledger([part.as_dict()], []).clean


def test_an_unexplained_item_is_reported_whatever_its_sign() -> None:
    parts = [ledger(("a", "events", 5, 4)), ledger(("a", "events", 4, 5))]

    verdict = close_ledger([part.as_dict() for part in parts], [])

    assert [item.count for item in verdict.unexplained] == [1, -1]
    assert not verdict.closed
    assert verdict.lost_count == 2


def test_merges_and_splits_are_summed_over_both_ends() -> None:
    part = ledger(
        ("tls", "events", 5, 5),
        ("process", "events", 2, 2),
        ("spool", "events", 4, 4),
        ("recording", "events", 3, 3),
    )
    link = Link(sources=("tls", "process"), targets=("spool", "recording"))

    assert close_ledger([part.as_dict()], [link]).clean


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([("publish", "frames", 0, 0)], "no process has the stage worker"),
        ([("publish", "frames", 1, 1), ("worker", "events", 1, 1)], "counts events and frames"),
    ],
)
def test_a_link_that_cannot_be_checked_never_passes(
    rows: list[tuple[str, str, int, int]], problem: str
) -> None:
    verdict = close_ledger([ledger(*rows).as_dict()], [AGENT_TO_WORKER])

    assert not verdict.closed
    assert problem in verdict.explain()[0]

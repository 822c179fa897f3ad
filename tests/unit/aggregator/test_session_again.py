"""A session whose watcher was stopped and has started anew is the same session, and goes on."""

from agentsight_aggregator.fold import build_fold
from agentsight_core.pb import events_pb2 as pb

SECOND_NS = 1_000_000_000


def event(second: int) -> pb.Event:
    return pb.Event(boot_ns=second * SECOND_NS, wall_ns=second * SECOND_NS, session=7, pid=3)


def test_what_comes_after_a_new_start_is_not_ignored() -> None:
    fold = build_fold()

    def observe(second: int, kind: str) -> None:
        one = event(second)
        getattr(one, kind).SetInParent()
        fold.observe(one)

    def ignored() -> int:
        return sum(s.value for s in fold.samples() if s.name == "agentsight.ignored")

    observe(1, "session_started")
    observe(2, "session_ended")
    fold.advance(10_000 * SECOND_NS)
    observe(10_001, "file_opened")
    assert ignored() == 1
    again = build_fold()
    again.restore(fold.snapshot())
    fold = again
    before = ignored()
    observe(10_002, "session_started")
    observe(10_003, "file_opened")
    assert ignored() == before

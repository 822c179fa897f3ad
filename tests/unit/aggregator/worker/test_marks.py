from agentsight_aggregator.worker.marks import RETENTION_NS, Arrival, Marks

FINE = Arrival(is_duplicate=False, missing=0)
SEEN = Arrival(is_duplicate=True, missing=0)


def test_each_run_and_session_of_an_agent_is_numbered_apart() -> None:
    marks = Marks([])
    for agent in ("a", "b"):
        for epoch in (1, 2):
            for session in (1, 2):
                assert marks.arrive(agent, epoch, session, 1) == FINE
    assert marks.arrive("a", 1, 1, 1) == SEEN
    assert marks.arrive("a", 1, 1, 2) == FINE


def test_gap_is_counted_once() -> None:
    marks = Marks([])
    assert marks.arrive("a", 1, 1, 3) == Arrival(is_duplicate=False, missing=2)
    assert marks.arrive("a", 1, 1, 7) == Arrival(is_duplicate=False, missing=3)
    assert marks.arrive("a", 1, 1, 8) == FINE
    assert marks.arrive("a", 1, 1, 5) == SEEN


def test_old_marks_are_forgotten_by_the_time_of_the_log() -> None:
    marks = Marks([])
    marks.advance(1_000)
    marks.arrive("a", 1, 1, 1)
    marks.advance(RETENTION_NS // 2)
    marks.arrive("a", 1, 2, 1)
    marks.advance(RETENTION_NS + 2_000)
    assert [mark.session for mark in marks.as_list()] == [2]
    # Time does not go back.
    marks.advance(5)
    assert marks.now_ns == RETENTION_NS + 2_000


def test_saved_marks_go_on_where_they_were() -> None:
    marks = Marks([])
    marks.advance(1_000)
    marks.arrive("a", 1, 1, 4)
    copy = Marks(marks.as_list(), marks.now_ns, marks.pruned_ns)
    assert copy.arrive("a", 1, 1, 4) == SEEN
    assert copy.arrive("a", 1, 1, 5) == FINE

"""When a process is looked at."""

from agentsight_agent.looks import NEVER_NS, Looks


def test_looks_are_due_after_the_begin_of_the_program() -> None:
    looks = Looks((20, 100))
    looks.begin(7, 1000)
    assert looks.take(1019) is None
    assert looks.next_ns == 1020
    assert looks.take(1020) == (7, 0)
    looks.go_on(7, 1, 1020)
    assert looks.next_ns == 1100
    assert looks.take(1100) == (7, 1)
    looks.go_on(7, 2, 1100)
    assert looks.next_ns == NEVER_NS


def test_a_process_that_nobody_goes_on_with_is_looked_at_no_more() -> None:
    looks = Looks((20, 100))
    looks.begin(7, 0)
    looks.once(8, 5)
    assert [looks.take(200), looks.take(200), looks.take(200)] == [(8, 2), (7, 0), None]
    looks.go_on(8, 3, 200)
    assert looks.next_ns == NEVER_NS


def test_looks_that_are_near_to_each_other_are_taken_together() -> None:
    looks = Looks((20,), together_ns=50)
    looks.begin(7, 81)
    looks.begin(8, 129)
    looks.begin(9, 131)
    assert looks.next_ns == 150
    assert [looks.take(150), looks.take(150), looks.take(150)] == [(7, 0), (8, 0), None]
    assert looks.next_ns == 200

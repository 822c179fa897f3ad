"""Identifiers: the same for the same thing, on whatever way it became known."""

from agentsight_core.ids import session_id

TICK_NS = 10_000_000


def test_a_session_has_one_id_whether_the_kernel_or_proc_tells_its_start() -> None:
    exact = 1234 * TICK_NS + 9_999_999
    in_proc = exact // TICK_NS * TICK_NS
    assert session_id("c", "boot", 7, exact) == session_id("c", "boot", 7, in_proc)


def test_another_start_or_process_is_another_session() -> None:
    first = session_id("c", "boot", 7, TICK_NS)
    assert first != session_id("c", "boot", 7, 2 * TICK_NS)
    assert first != session_id("c", "boot", 8, TICK_NS)

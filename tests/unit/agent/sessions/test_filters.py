"""Filters: whose sessions begin, what of a session is not recorded, and how it is counted."""

import pytest
from agentsight_agent.bpf.exclusions import ExcludedProgram
from agentsight_agent.enrich.container_state import Container, Containers, Pod
from agentsight_agent.enrich.procfs import Process
from agentsight_agent.sessions import SessionRule
from agentsight_agent.sessions.filters import Candidate, Filters, ProcessFilter
from agentsight_core.errors import ConfigError
from agentsight_core.telemetry.ledger import Stage

MS = 1_000_000
ONE, OTHER = "3f1d" * 16, "a0b1" * 16
SHOP = Pod("11111111-2222-3333-4444-555555555555", "shop-1", "shop", (("team", "search"),))

SEEN = Candidate(
    Process(7, 0, exe="/opt/bin/codex", uid=1000),
    Container(ONE, "docker", "web", "ghcr.io/acme/web:3", "", "shop-1", "shop", (("team", "a"),)),
    agent_name="codex",
    session=0xABCD,
)


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (ProcessFilter(executable="codex"), True),
        (ProcessFilter(executable="/opt/*"), True),
        (ProcessFilter(executable="opt"), False),
        (ProcessFilter(user="1000"), True),
        (ProcessFilter(user="root"), False),
        (ProcessFilter(container=ONE[:12]), True),
        (ProcessFilter(container=OTHER[:12]), False),
        (ProcessFilter(image="ghcr.io/acme/*"), True),
        (ProcessFilter(image="acme"), False),
        (ProcessFilter(namespace="sho?"), True),
        (ProcessFilter(namespace="other"), False),
        (ProcessFilter(labels=(("team", "a"),)), True),
        (ProcessFilter(labels=(("team", "b"),)), False),
        (ProcessFilter(labels=(("stage", "*"),)), False),
        (ProcessFilter(session="cod*"), True),
        (ProcessFilter(session="000000000000abcd"), True),
        (ProcessFilter(session="claude"), False),
        (ProcessFilter(executable="codex", user="1000", namespace="shop"), True),
        (ProcessFilter(executable="codex", user="1001", namespace="shop"), False),
    ],
)
def test_each_pattern_of_a_filter_has_to_match(wanted: ProcessFilter, matches: bool) -> None:
    assert Filters(exclude=(wanted,)).excludes(SEEN) == matches
    assert bool(Filters(include=(wanted,)).refuses(SEEN)) != matches


def test_a_user_that_the_node_has_not_is_told() -> None:
    with pytest.raises(ConfigError, match="no user 'nobody-here'"):
        Filters(exclude=(ProcessFilter(user="nobody-here"),))


def test_an_excluded_process_begins_no_session_and_is_switched_off(world) -> None:
    judged = Stage("filters", "processes")
    filters = Filters(exclude=(ProcessFilter(user="1001"),))
    tracker = world.tracker(SessionRule("bots", argv="bot"), filters=filters, judged=judged)
    world.proc.add(100, "/usr/bin/bot", uid=1001)
    world.proc.add(200, "/usr/bin/bot", uid=1002)

    events = tracker.begin_running(MS)
    assert {event.pid for event in events} == {200}
    assert tracker.promote(100, MS) == []
    assert set(world.kernel.tracked) == {200}
    assert world.kernel.muted == {100}
    assert (judged.received, judged.emitted) == (3, 1)
    assert judged.filtered == {"excluded by a filter": 2}
    assert judged.unexplained == 0


def test_only_included_pods_begin_sessions_whatever_starts_in_them_belongs(world, kinds) -> None:
    pods = {ONE: SHOP}
    containers = Containers(
        lambda uid, container: pods.get(container), docker_folders=(), proc=str(world.proc.root)
    )
    filters = Filters(include=(ProcessFilter(namespace="shop", labels=(("team", "sea*"),)),))
    tracker = world.tracker(filters=filters, containers=containers)
    world.proc.add(100, "/usr/bin/bot", cgroup=f"0::/docker/{ONE}\n")
    world.proc.add(101, "/bin/sh", parent=100)
    world.proc.add(200, "/usr/bin/bot", cgroup=f"0::/docker/{OTHER}\n")
    world.proc.add(300, "/usr/bin/bot")

    events = tracker.promote(100, MS)
    assert kinds(events) == ["session_started", "process_executed", "process_executed"]
    container = events[0].session_started.container
    assert (container.pod, container.namespace, container.pod_uid) == ("shop-1", "shop", SHOP.uid)
    assert [(label.key, label.value) for label in container.labels] == [("team", "search")]
    assert tracker.promote(200, MS) == tracker.promote(300, MS) == []


def test_of_an_excluded_child_and_what_it_starts_only_the_life_is_told(world, kinds) -> None:
    judged = Stage("filters", "processes")
    filters = Filters(exclude=(ProcessFilter(executable="git"),))
    tracker = world.tracker(filters=filters, judged=judged)
    world.proc.add(100, "/usr/bin/bot")
    session = tracker.promote(100, MS)[0].session

    told = tracker.on_process(world.forked(101, 100, session, 2 * MS))
    told += tracker.on_process(world.executed(101, ["/bin/git"], session, 3 * MS, start_ns=2 * MS))
    told += tracker.on_process(world.forked(102, 101, session, 4 * MS))
    told += tracker.on_process(world.executed(102, ["/bin/ssh"], session, 5 * MS, start_ns=4 * MS))
    assert kinds(told) == ["process_forked", "process_executed"] * 2
    assert world.kernel.quiet == {101}  # the kernel lets 102 inherit it
    assert [tracker.session_of(pid) for pid in (100, 101, 102)] == [session, 0, 0]
    assert tracker.promote(102, 6 * MS) == []
    for pid in (102, 101, 100):
        told = tracker.on_process(world.exited(pid, session, 9 * MS))
    assert kinds(told) == ["process_exited", "session_ended"]
    assert judged.filtered == {"excluded by a filter": 1}


def test_filters_may_change_while_sessions_run(world, kinds) -> None:
    tracker = world.tracker()
    world.proc.add(100, "/usr/bin/codex")
    world.proc.add(200, "/usr/bin/bot")
    world.proc.add(201, "/bin/git", parent=200)
    codex = tracker.promote(100, MS)[0].session
    bot = tracker.promote(200, MS)[0].session

    events = tracker.set_filters(
        Filters(exclude=(ProcessFilter(session="codex"), ProcessFilter(executable="git"))), 2 * MS
    )
    assert kinds(events) == ["session_ended"]
    assert (events[0].session, events[0].session_ended.watcher_stopped) == (codex, True)
    assert world.kernel.tracked == {200: bot, 201: bot}
    assert world.kernel.quiet == {201}
    assert [session.id for session in tracker.sessions] == [bot]


def test_one_tenants_processes_do_not_reach_anothers_rules(world) -> None:
    """Two rules, each of one user and one container; who fits half of each is nobody's."""
    tracker = world.tracker(
        SessionRule("one", argv="bot", user="1001", container=f"{ONE[:8]}*", agent_name="one"),
        SessionRule("two", argv="bot", user="1002", container=f"{OTHER[:8]}*", agent_name="two"),
    )
    for pid, uid, container in [(1, 1001, ONE), (2, 1002, OTHER), (3, 1001, OTHER), (4, 1002, ONE)]:
        world.proc.add(
            100 * pid, "/usr/bin/bot", parent=9, uid=uid, cgroup=f"0::/docker/{container}\n"
        )
    started = [e for e in tracker.begin_running(MS) if e.HasField("session_started")]
    assert [(e.pid, e.session_started.rule) for e in started] == [(100, "one"), (200, "two")]
    assert tracker.session_of(300) == tracker.session_of(400) == 0


def test_the_kernel_is_told_of_filters_that_are_a_file_name_and_a_user_only() -> None:
    filters = Filters(
        exclude=(
            ProcessFilter(executable="git"),
            ProcessFilter(user="61001"),
            ProcessFilter(executable="cat", user="61001"),
            ProcessFilter(executable="*/bin/git"),
            ProcessFilter(executable="git*"),
            ProcessFilter(executable="git", namespace="shop"),
            ProcessFilter(executable="x" * 64),
        )
    )
    assert filters.programs == {
        ExcludedProgram("git"),
        ExcludedProgram(uid=61001),
        ExcludedProgram("cat", 61001),
    }

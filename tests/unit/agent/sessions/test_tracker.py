"""Sessions begin, take their whole tree along, and end with their last process."""

from agentsight_agent.sessions import SessionRule
from agentsight_core.ids import session_id
from agentsight_core.pb import events_pb2 as pb

MS = 1_000_000
CONTAINER = "3f1d" * 16


def test_promotion_tells_who_the_root_is(world, kinds) -> None:
    world.proc.add(
        100,
        "/usr/bin/python3",
        "bot.py",
        start_ns=500 * MS,
        uid=1000,
        cgroup=f"0::/docker/{CONTAINER}\n",
    )
    tracker = world.tracker()
    events = tracker.promote(100, 900 * MS)

    assert kinds(events) == ["session_started", "process_executed"]
    session = session_id("test", "boot", 100, 500 * MS)
    started = events[0].session_started
    assert started == pb.SessionStarted(
        root_pid=100,
        root_start_boot_ns=500 * MS,
        origin=pb.SESSION_ORIGIN_PROMOTION,
        agent_name="bot",
        argv=["/usr/bin/python3", "bot.py"],
        cwd="/srv/project",
        exe="/usr/bin/python3",
        uid=1000,
        container_id=CONTAINER,
        node="node-1",
        cluster="test",
        container=pb.Container(id=CONTAINER, runtime="docker"),
    )
    assert all(e.session == session and e.boot_ns == 900 * MS for e in events)
    assert all(e.wall_ns == world.offset_ns + 900 * MS for e in events)
    assert events[1].process_executed.already_running
    assert world.kernel.tracked == {100: session}
    assert tracker.session_of(100) == session


def test_promotion_of_a_member_is_nothing(world) -> None:
    world.proc.add(100, "/bin/agent")
    tracker = world.tracker()
    tracker.promote(100, 1)
    assert tracker.promote(100, 2) == []


def test_running_descendants_come_along_parents_first(world) -> None:
    world.proc.add(100, "/bin/agent", start_ns=10 * MS)
    world.proc.add(101, "/bin/sh", parent=100, start_ns=20 * MS)
    world.proc.add(102, "/bin/sleep", parent=101, start_ns=30 * MS)
    world.proc.add(200, "/bin/stranger")
    tracker = world.tracker()
    events = tracker.promote(100, 900 * MS)
    assert [e.pid for e in events] == [100, 100, 101, 102]
    assert events[3].process_executed.parent_pid == 101
    assert set(world.kernel.tracked) == {100, 101, 102}
    assert len(set(world.kernel.tracked.values())) == 1


def test_children_forked_during_the_scan_are_found(world) -> None:
    world.proc.add(100, "/bin/agent")
    world.proc.add(101, "/bin/sh", parent=100)

    class Forking(type(world.kernel)):
        """Each process that is tracked has just forked, before it was tracked."""

        def track(self, pid: int, session: int) -> None:
            super().track(pid, session)
            if pid < 105:
                world.proc.add(pid + 1, "/bin/sh", parent=pid)

    world.kernel = Forking()
    world.tracker().promote(100, 1)
    assert set(world.kernel.tracked) == {100, 101, 102, 103, 104, 105}


def test_fork_record_of_a_process_found_in_proc_is_not_published_again(world, kinds) -> None:
    world.proc.add(100, "/bin/agent")
    world.proc.add(101, "/bin/sh", parent=100, start_ns=20 * MS)
    tracker = world.tracker()
    tracker.promote(100, 900 * MS)
    session = tracker.session_of(100)
    assert tracker.on_process(world.forked(101, 100, session, 20 * MS + 3)) == []
    # The same pid later is another process.
    later = tracker.on_process(world.forked(101, 100, session, 5_000 * MS))
    assert kinds(later) == ["process_forked"]


def test_exec_gets_what_the_kernel_could_not_say(world) -> None:
    world.proc.add(100, "/bin/agent", cgroup=f"0::/docker/{CONTAINER}\n")
    tracker = world.tracker()
    tracker.promote(100, 1)
    session = tracker.session_of(100)
    tracker.on_process(world.forked(101, 100, session, 50 * MS))
    world.proc.add(101, "/bin/ls", parent=100, cgroup=f"0::/docker/{CONTAINER}\n")
    record = world.executed(101, ["/bin/ls", "-l"], session, 51 * MS, start_ns=50 * MS)
    [event] = tracker.on_process(record)
    assert event.process_executed.cwd == "/srv/project"
    assert event.process_executed.container_id == CONTAINER
    assert tracker.process(101).argv == ("/bin/ls", "-l")


def test_it_is_told_once_where_the_files_of_each_container_are(world, kinds) -> None:
    def add(pid: int, cgroup: str, parent: int) -> None:
        world.proc.add(pid, "/bin/agent", cgroup=cgroup, parent=parent)
        (world.proc.root / str(pid) / "mountinfo").write_text("1 0 0:5 / / rw - overlay x rw\n")

    add(1, "0::/\n", 0)
    add(100, f"0::/docker/{CONTAINER}\n", 1)
    add(101, f"0::/docker/{CONTAINER}\n", 100)
    events = world.tracker().promote(100, 1)
    assert kinds(events) == [
        "session_started",
        "container_mounts",
        "process_executed",
        "process_executed",
    ]
    assert events[1].container_mounts == pb.ContainerMounts(
        container_id=CONTAINER, places=[pb.MountPlace(path="/", host_path="/")]
    )


def test_exec_of_a_vanished_process_keeps_its_container(world) -> None:
    world.proc.add(100, "/bin/agent", cgroup=f"0::/docker/{CONTAINER}\n")
    tracker = world.tracker()
    tracker.promote(100, 1)
    session = tracker.session_of(100)
    tracker.on_process(world.forked(101, 100, session, 50 * MS))
    record = world.executed(101, ["/bin/ls"], session, 51 * MS, start_ns=50 * MS)
    [event] = tracker.on_process(record)
    assert event.process_executed.container_id == CONTAINER
    assert event.process_executed.cwd == ""


def test_the_session_ends_with_its_last_process_and_the_status_of_its_root(world, kinds) -> None:
    world.proc.add(100, "/bin/agent")
    tracker = world.tracker()
    tracker.promote(100, 1)
    session = tracker.session_of(100)
    tracker.on_process(world.forked(101, 100, session, 50 * MS))
    first = tracker.on_process(world.exited(100, session, 60 * MS, code=3))
    assert kinds(first) == ["process_exited"]
    last = tracker.on_process(world.exited(101, session, 70 * MS, signal=9))
    assert kinds(last) == ["process_exited", "session_ended"]
    assert last[1].session_ended == pb.SessionEnded(exit_code=3)
    assert (last[1].pid, last[1].boot_ns) == (100, 70 * MS)
    assert tracker.sessions == ()
    assert tracker.session_of(101) == 0


def test_a_process_that_is_gone_before_its_promotion_is_still_named(world, kinds) -> None:
    tracker = world.tracker()
    argv = ["/usr/bin/curl", "https://api.example"]
    assert tracker.on_process(world.executed(7, argv, 0, 40 * MS, start_ns=39 * MS)) == []
    events = tracker.promote(7, 45 * MS)
    assert events[0].session_started.agent_name == "curl"
    assert list(events[0].session_started.argv) == argv
    # Its pid may be anybody's soon.
    assert world.kernel.tracked == {}
    # The exit record was written when the kernel knew of no session.
    end = tracker.on_process(world.exited(7, 0, 50 * MS))
    assert kinds(end) == ["process_exited", "session_ended"]
    assert end[0].session == events[0].session


def test_records_of_strangers_are_not_published(world) -> None:
    tracker = world.tracker()
    assert tracker.on_process(world.executed(7, ["/bin/ls"], 0, 1, start_ns=1)) == []
    assert tracker.on_process(world.exited(7, 0, 2)) == []


def test_a_rule_begins_a_session_at_exec(world, kinds) -> None:
    rule = SessionRule("coding", executable="claude", agent_name="reviewer")
    tracker = world.tracker(rule)
    argv = ["/opt/claude", "-p", "hello", "x" * 2000]
    world.proc.add(100, *argv, start_ns=40 * MS)
    short = ["/opt/claude", "-p"]
    record = world.executed(100, short, 0, 41 * MS, start_ns=40 * MS, truncated=True)
    events = tracker.on_process(record)
    assert kinds(events) == ["session_started", "process_executed"]
    started = events[0].session_started
    assert (started.rule, started.origin) == ("coding", pb.SESSION_ORIGIN_RULE)
    assert started.agent_name == "reviewer"
    # It is the exec itself, with all arguments, not a process found running.
    assert not events[1].process_executed.already_running
    assert not events[1].process_executed.argv_truncated
    assert list(events[1].process_executed.argv) == argv
    assert events[1].session == events[0].session == world.kernel.tracked[100]


def test_rules_find_running_processes(world) -> None:
    world.proc.add(100, "/opt/claude")
    world.proc.add(101, "/opt/claude", parent=100)
    world.proc.add(102, "/bin/bash")
    tracker = world.tracker(SessionRule("coding", executable="/opt/*"))
    events = tracker.begin_running(1)
    roots = [e.pid for e in events if e.HasField("session_started")]
    assert roots == [100]
    assert set(world.kernel.tracked) == {100, 101}


def test_a_recycled_pid_is_a_stranger(world) -> None:
    world.proc.add(100, "/bin/agent")
    world.proc.add(101, "/bin/sh", parent=100, start_ns=20 * MS)
    tracker = world.tracker()
    tracker.promote(100, 1)
    record = world.executed(101, ["/bin/other"], 0, 9_000 * MS, start_ns=8_999 * MS)
    assert tracker.on_process(record) == []


def test_a_lost_exit_record_does_not_keep_a_session_for_ever(world, kinds) -> None:
    world.proc.add(100, "/bin/agent", start_ns=10 * MS)
    tracker = world.tracker()
    tracker.promote(100, 1)
    assert tracker.sweep(2) == []
    world.proc.remove(100)
    assert tracker.sweep(3) == []
    assert kinds(tracker.sweep(4)) == ["session_ended"]
    assert world.kernel.tracked == {}


def test_another_process_with_the_pid_does_not_keep_it_either(world, kinds) -> None:
    world.proc.add(100, "/bin/agent", start_ns=10 * MS)
    tracker = world.tracker()
    tracker.promote(100, 1)
    world.proc.add(100, "/bin/other", start_ns=90_000 * MS)
    tracker.sweep(2)
    assert kinds(tracker.sweep(3)) == ["session_ended"]


def test_stopping_says_that_the_watcher_stopped(world) -> None:
    world.proc.add(100, "/bin/agent")
    tracker = world.tracker()
    tracker.promote(100, 1)
    [event] = tracker.stop(99)
    assert event.session_ended.watcher_stopped
    assert world.kernel.tracked == {}
    assert tracker.sessions == ()

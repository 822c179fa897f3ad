import pytest
from agentsight_aggregator.analyzers.settings import FoldSettings
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.agent_log import (
    AGENT_PID,
    AgentLog,
    assistant,
    results,
    text,
    tool_result,
    tool_use,
    user,
    wall_ns,
)

TURN = "invoke_agent demo-agent"
BASH = "execute_tool bash"


def tool_log(*asked, result_at: float = 10) -> AgentLog:
    """The model asks for `asked` at 2 s; the results come at `result_at`."""
    log = AgentLog()
    log.start(0)
    log.call(1, 2, [user("Do it please")], asked)
    back = results(*(tool_result(block["id"], "ok") for block in asked))
    log.call(
        result_at, result_at + 1, [user("Do it please"), assistant(*asked), back], [text("Done")]
    )
    log.end(result_at + 9)
    return log


def test_a_command_and_its_children_hang_under_their_tool_call(run):
    log = tool_log(tool_use("t1", "bash", command="cat x | wc -l"))
    log.run(3, 6, 201, ["sh", "-c", "cat x | wc -l"])
    log.run(3.5, 4, 202, ["cat", "x"], parent=201)
    log.run(3.5, 4, 203, ["wc", "-l"], parent=201)
    found = run(log)
    shell = f"{TURN} > {BASH} > sh"
    assert {f"{shell} > cat", f"{shell} > wc", shell} <= set(found.paths())
    assert (BASH, "sh", "lineage+time+argument", 0.99) in found.edges
    assert ("sh", "cat", "lineage", 1.0) in found.edges
    (tool,) = found.named(BASH)
    assert tool.attributes["agentsight.tool.processes"] == 1


def test_tool_calls_at_the_same_time_are_kept_apart_by_arguments(run):
    log = tool_log(
        tool_use("t1", "bash", command="pytest -q tests/a"),
        tool_use("t2", "bash", command="pytest -q tests/b"),
        tool_use("t3", "bash", command="ls"),
    )
    # in the reverse order, and at the same moment
    log.run(3, 5, 203, ["bash", "-c", "ls"])
    log.run(3, 5, 202, ["bash", "-c", "source env && eval 'pytest -q tests/b' < /dev/null"])
    log.run(3, 5, 201, ["pytest", "-q", "tests/a"])
    found = run(log)
    by_argument = {
        process.attributes["process.command_args"][-1]: process.parent.attributes[
            "gen_ai.tool.call.id"
        ]
        for name in ("bash", "pytest")
        for process in found.named(name)
    }
    assert by_argument == {
        "ls": "t3",
        "source env && eval 'pytest -q tests/b' < /dev/null": "t2",
        "tests/a": "t1",
    }


def test_the_same_command_twice_at_the_same_time_is_one_process_each(run):
    log = tool_log(tool_use("t1", "bash", command="date"), tool_use("t2", "bash", command="date"))
    log.run(3, 5, 201, ["bash", "-c", "date"])
    log.run(3, 5, 202, ["bash", "-c", "shopt -u x && eval 'date' < /dev/null"])
    tools = run(log).named(BASH)
    assert [tool.attributes["agentsight.tool.processes"] for tool in tools] == [1, 1]


def test_without_matching_arguments_lineage_and_time_decide_with_less_confidence(run):
    log = tool_log(tool_use("t1", "deploy", target="staging"))
    log.run(3, 4, 201, ["kubectl", "get", "pods"])
    found = run(log)
    assert ("execute_tool deploy", "kubectl", "lineage+time", 0.8) in found.edges


def test_a_process_outside_of_tool_calls_hangs_under_the_turn_or_the_session(run):
    log = tool_log(tool_use("t1", "bash", command="ls"))
    log.run(10.2, 10.4, 201, ["git", "status"])
    log.run(15, 16, 202, ["git", "gc"])
    paths = run(log).paths()
    assert f"{TURN} > git" in paths
    assert "session demo-agent > python3 > git" in paths


def test_a_shell_that_becomes_its_command_is_one_process(run):
    log = tool_log(tool_use("t1", "bash", command="make -j2 all"))
    log.run(3, 6, 201, ["sh", "-c", "make -j2 all"])
    log.execute(3.1, 201, ["make", "-j2", "all"])
    found = run(log)
    (process,) = found.named("make")
    assert process.path() == f"{TURN} > {BASH} > make"
    assert [name for name, _ in process.events] == ["exec"]
    assert found.summaries[-1].processes == 2


def test_a_tool_that_is_run_while_the_answer_still_streams_is_found_by_its_end(run):
    log = tool_log(tool_use("t1", "bash", command="sleep 1"))
    log.run(10.5, 12, 201, ["sh", "-c", "sleep 1"])
    # it began after the result was sent, so it is not that tool's
    assert f"{TURN} > sh" in run(log).paths()


def test_a_process_waits_for_the_answer_that_asks_for_it(run):
    log = AgentLog()
    log.start(0)
    asked = [tool_use("t1", "bash", command="sleep 5")]
    log.call(1, 2, [user("Sleep now, please")], asked)
    log.run(2.0, 40, 201, ["sh", "-c", "sleep 5"])
    for at in range(3, 40):
        log.tick(at)
    log.call(41, 42, [user("Sleep now, please"), assistant(*asked), results(tool_result("t1", ""))])
    log.end(50)
    assert f"{TURN} > {BASH} > sh" in run(log).paths()


def _is_http(event: pb.Event) -> bool:
    return str(event.WhichOneof("body")).startswith("http")


def test_class_order_within_a_drain_changes_nothing(run):
    log = tool_log(tool_use("t1", "bash", command="ls -la"), result_at=2.05)
    log.run(2.01, 2.03, 201, ["sh", "-c", "ls -la"])
    log.file(2.02, 2.025, 201, "/srv")
    events = log.events
    http_first = sorted(events, key=lambda item: (item.wall_ns // 10**9, not _is_http(item)))
    others_first = sorted(events, key=lambda item: (item.wall_ns // 10**9, _is_http(item)))
    assert [event.wall_ns for event in http_first] != [event.wall_ns for event in others_first]
    expected = run(events)
    for order in (http_first, others_first):
        found = run(order)
        assert found.paths() == expected.paths()
        assert f"{TURN} > {BASH} > sh" in found.paths()
        assert found.named("sh")[0].events == expected.named("sh")[0].events


def test_a_nested_agent_hangs_under_the_process_that_it_is(run):
    log = tool_log(tool_use("t1", "bash", command="claude -p 'fix it'"), result_at=30)
    log.run(3, 29, 201, ["claude", "-p", "fix it"])
    inner = [tool_use("i1", "bash", command="cat bug.py")]
    log.call(4, 5, [user("fix it")], inner, pid=201)
    log.run(6, 7, 202, ["sh", "-c", "cat bug.py"], parent=201)
    done = [user("fix it"), assistant(*inner), results(tool_result("i1", "x"))]
    log.call(8, 9, done, [text("ok")], pid=201)
    paths = run(log).paths()
    nested = f"{TURN} > {BASH} > claude > {TURN}"
    assert f"{nested} > chat claude-opus-4-1" in paths
    assert f"{nested} > {BASH} > sh" in paths


def test_what_an_interpreter_reads_gives_way_to_what_tells_more(run):
    log = tool_log(tool_use("t1", "bash", command="snake -c ..."))
    log.run(3, 9, 201, ["snake", "-c", "..."])
    for number in range(200):
        at = 3.1 + number / 100
        log.file(at, at + 0.001, 201, f"/usr/lib/python3/{number}.py")
    log.file(5.5, 5.6, 201, "/etc/shadow")
    log.file(5.7, 5.8, 201, "/usr/local/bin/tool", written=10)
    log.connection(6, 7, 201, 443)
    log.file(7.5, 7.6, 201, "/usr/lib/python3/late.py")
    (process,) = run(log).named("snake")
    assert len(process.events) == 128
    about = [attributes.get("file.path", name) for name, attributes in process.events]
    assert about[-3:] == ["/etc/shadow", "/usr/local/bin/tool", "connection"]
    assert about[0] == "/usr/lib/python3/3.py"
    assert process.attributes["agentsight.files.omitted"] == 76
    assert process.attributes["agentsight.files"] == 203


def test_effects_are_events_of_the_process_and_bounded_ones_are_counted(run):
    log = tool_log(tool_use("t1", "bash", command="cp -r a b"))
    log.run(3, 9, 201, ["cp", "-r", "a", "b"])
    for number in range(200):
        at = 3.1 + number / 100
        log.file(at, at + 0.001, 201, f"b/{number}", written=10)
    log.connection(6, 7, 201, 443)
    (process,) = run(log).named("cp")
    assert len(process.events) == 128
    assert process.attributes["agentsight.files.omitted"] == 72
    assert process.attributes["agentsight.connections.omitted"] == 1
    assert process.attributes["agentsight.files"] == 200
    assert process.attributes["agentsight.file.written_bytes"] == 2000
    name, attributes = process.events[0]
    assert name == "file"
    assert attributes["file.path"] == "b/0"
    assert attributes["agentsight.file.written_bytes"] == 10


def test_a_file_that_a_tool_inside_the_agent_edits_is_an_event_of_the_tool(run):
    log = tool_log(
        tool_use("t1", "edit", path="src/a.py", new="1"),
        tool_use("t2", "edit", path="src/b.py", new="2"),
    )
    log.file(3, 3.1, AGENT_PID, "/srv/agent/src/b.py", written=7)
    log.file(4, 4.1, AGENT_PID, "/etc/hosts")
    found = run(log)
    tools = {
        tool.attributes["gen_ai.tool.call.id"]: tool for tool in found.named("execute_tool edit")
    }
    assert tools["t1"].events == []
    ((_, edited),) = tools["t2"].events
    assert edited["file.path"] == "/srv/agent/src/b.py"
    (agent,) = found.named("python3")
    assert [attributes["file.path"] for _, attributes in agent.events] == ["/etc/hosts"]


def test_process_spans_say_what_ran_and_how_it_ended(run):
    log = tool_log(tool_use("t1", "bash", command="false"))
    log.run(3, 4, 201, ["false"], exit_code=1)
    log.execute(5, 202, ["sleep", "99"])
    found = run(log)
    (process,) = found.named("false")
    expected = {
        "process.pid": 201,
        "process.parent_pid": AGENT_PID,
        "process.executable.name": "false",
        "process.executable.path": "/usr/bin/false",
        "process.command_args": ["false"],
        "process.working_directory": "/srv/agent",
        "process.exit.code": 1,
        "error.type": "exit 1",
    }
    assert expected.items() <= process.attributes.items()
    (running,) = found.named("sleep")
    assert running.attributes["agentsight.process.running"] is True
    assert running.raw.end_ns == wall_ns(19)


def test_a_reused_pid_is_a_new_process(run):
    log = tool_log(tool_use("t1", "bash", command="x"))
    log.run(3, 4, 201, ["one"])
    log.run(5, 6, 201, ["two"])
    found = run(log)
    assert len(found.named("one")) == len(found.named("two")) == 1


@pytest.mark.parametrize("body", ["process_exited", "file_opened"])
def test_events_of_processes_whose_beginning_was_missed_are_not_lost(run, body: str):
    log = AgentLog()
    log.start(0)
    if body == "process_exited":
        log.add(1, 999, process_exited=pb.ProcessExited())
    else:
        log.file(1, 2, 999, "/x")
    log.end(3)
    found = run(log)
    if body == "process_exited":
        assert found.total("agentsight.ignored", reason="exit_of_unknown_process") == 1
    else:
        (process,) = found.named("process")
        assert process.attributes["agentsight.files"] == 1


def test_what_a_process_wrote_to_pipes_is_on_its_span(run):
    log = tool_log(tool_use("t1", "bash", command="make all"))
    log.run(3, 6, 201, ["make", "all"])
    log.add(4, 201, process_output=pb.ProcessOutput(fd=1, data=b"compiling\n"))
    log.add(5, 201, process_output=pb.ProcessOutput(fd=1, data=b"done\n"))
    log.add(5, 201, process_output=pb.ProcessOutput(fd=2, data=b"x" * 9000))
    (make,) = run(log).named("make")
    assert make.attributes["agentsight.process.stdout"] == "compiling\ndone\n"
    assert make.attributes["agentsight.process.stdout.bytes"] == 15
    assert len(make.attributes["agentsight.process.stderr"]) == 8192
    assert make.attributes["agentsight.process.stderr.bytes"] == 9000
    log.add(5.5, 201, shell_input=pb.ShellInput(line="go on"))
    (make,) = run(log).named("make")
    assert ("shell.input", {"agentsight.shell.line": "go on"}) in make.events
    (make,) = run(log, FoldSettings(content_on_spans=False)).named("make")
    assert "agentsight.process.stdout" not in make.attributes
    assert not make.events

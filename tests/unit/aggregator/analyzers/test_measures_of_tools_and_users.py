"""What tool calls did, whom a call is charged to, and the trace behind a measurement."""

from agentsight_aggregator.exporters.prometheus import PartitionCollector
from agentsight_aggregator.fold import PartitionFold, build_fold, findings_of
from agentsight_core.testing.agent_log import (
    AGENT_PID,
    AgentLog,
    assistant,
    results,
    text,
    tool_result,
    tool_use,
    user,
)
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest


def session_log(namespace: str = "") -> AgentLog:
    log = AgentLog()
    log.start(0)
    if namespace:
        log.events[0].session_started.container.namespace = namespace
    task = user("Fetch and write.")
    fetch = [tool_use("t1", "bash", command="curl -s example")]
    log.call(1, 2, [task], fetch)
    log.run(2.1, 4, 201, ["curl", "-s", "example"])
    log.connection(2.2, 3, 201, 443)
    log.file(3, 3.1, 201, "/tmp/answer", written=7)
    history = [task, assistant(*fetch), results(tool_result("t1", "ok"))]
    edit = [tool_use("t2", "edit", path="/srv/agent/note.txt")]
    log.call(5, 6, history, edit)
    log.file(6.1, 6.2, AGENT_PID, "/srv/agent/note.txt", written=12)
    log.call(7, 8, [*history, assistant(*edit), results(tool_result("t2", "ok"))], [text("Done.")])
    # Of no tool call.
    log.run(30, 31, 202, ["sleep", "1"])
    log.end(40)
    return log


def folded(namespace: str = "") -> tuple[PartitionFold, dict[str, str]]:
    fold = build_fold()
    found = findings_of(fold, session_log(namespace).events)
    traces = {item.span.name: item.span.trace_id.hex() for item in found}
    return fold, traces


def page(fold: PartitionFold) -> list[str]:
    registry = CollectorRegistry()
    registry.register(PartitionCollector(lambda: [(0, sample) for sample in fold.samples()]))
    return generate_latest(registry).decode().splitlines()


def test_effects_are_counted_under_the_tool_that_had_them() -> None:
    fold, _ = folded()
    found = {
        (labels["gen_ai.tool.name"], labels["agentsight.kind"]): sample.value
        for sample in fold.samples()
        if sample.name in {"agentsight.tool.effects", "agentsight.tool.io"}
        for labels in [dict(sample.labels)]
    }
    effects = {
        key: value
        for key, value in found.items()
        if key[1] in {"process", "file", "file_change", "connection"}
    }
    assert effects == {
        ("bash", "process"): 1,
        ("bash", "connection"): 1,
        ("bash", "file"): 1,
        ("edit", "file"): 1,
    }
    assert found["bash", "file_written"] == 7
    assert found["edit", "file_written"] == 12


def test_calls_are_summed_up_by_user_and_namespace() -> None:
    fold, _ = folded("team-a")
    rows = [sample for sample in fold.samples() if sample.name == "agentsight.user.calls"]
    assert [row.value for row in rows] == [3]
    labels = dict(rows[0].labels)
    assert labels["user.id"].isdigit()
    assert labels["k8s.namespace.name"] == "team-a"


def test_a_bucket_names_the_trace_of_its_newest_measurement() -> None:
    fold, traces = folded()
    lines = page(fold)
    marked = [line for line in lines if line.startswith("gen_ai_execute_tool") and " # " in line]
    named = {tool: [line for line in marked if f'"{tool}"' in line] for tool in ("bash", "edit")}
    for tool, found in named.items():
        assert len(found) == 1
        assert f'trace_id="{traces[f"execute_tool {tool}"]}"' in found[0]


def test_exemplars_survive_a_checkpoint() -> None:
    fold, _ = folded()
    heir = build_fold()
    heir.restore(fold.snapshot())
    # Byte for byte: whoever takes over saves the same state.
    assert heir.snapshot() == fold.snapshot()
    assert page(heir) == page(fold)

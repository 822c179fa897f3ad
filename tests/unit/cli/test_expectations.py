"""The demo notices whatever is missing, wrong or too much."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from agentsight_aggregator.analyzers.findings import event, to_attributes
from agentsight_aggregator.call import AttributeValue
from agentsight_cli.expectations import Expected, compare, expect
from agentsight_cli.spans import SessionSpans, by_session
from agentsight_core.pb import findings_pb2 as pb

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
PORT = 8443
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.response.model": "m-1",
    "gen_ai.request.stream": True,
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 4,
    "agentsight.response.tool_names": ("run_command", "write_file"),
    "agentsight.retries": 1,
}
TOOLS = {
    "t1": {"gen_ai.tool.name": "run_command", "gen_ai.tool.call.id": "t1"},
    "t2": {"gen_ai.tool.name": "write_file", "gen_ai.tool.call.id": "t2"},
}
PROCESS = {"process.pid": 77, "process.exit.code": 2}
FILE = {"file.path": "/w/notes/a.txt", "agentsight.file.written_bytes": 5}


@pytest.fixture
def expected(tmp_path: Path) -> Expected:
    scenario = {
        "api": "anthropic.messages",
        "model": "m",
        "response_model": "m-1",
        "stream": True,
        "steps": [
            {
                "text": "",
                "usage": {"input": 10, "output": 4},
                "failures": [{"status": 429}],
                "tool_calls": [
                    {"id": "t1", "name": "run_command", "arguments": {}},
                    {"id": "t2", "name": "write_file", "arguments": {}},
                ],
            }
        ],
    }
    runs = [
        {"tool": "run_command", "id": "t1", "arguments": {}, "failed": False, "pid": 77},
        {"tool": "write_file", "id": "t2", "arguments": {"path": "notes/a.txt"}, "pid": None},
    ]
    file, log = tmp_path / "scenario.json", tmp_path / "log.jsonl"
    file.write_text(json.dumps(scenario), encoding="utf-8")
    lines = (json.dumps({"failed": False, "exit_code": 2, **run}) for run in runs)
    log.write_text("\n".join(lines), encoding="utf-8")
    return expect([file], log, PORT)


def captured(**changes: dict[str, AttributeValue] | None) -> SessionSpans:
    """Return what a complete capture holds, with attributes changed, or spans left out (None)."""
    spans: dict[str, dict[str, AttributeValue]] = {
        "call": dict(CALL),
        "t1": {"gen_ai.operation.name": "execute_tool", **TOOLS["t1"]},
        "t2": {"gen_ai.operation.name": "execute_tool", **TOOLS["t2"]},
        "process": dict(PROCESS),
        "file": dict(FILE),
        "connection": {"network.peer.port": PORT},
    }
    for name, change in changes.items():
        if change is None:
            del spans[name]
        else:
            spans[name].update(change)
    events = [event(1, name, spans.pop(name)) for name in ("file", "connection") if name in spans]
    findings = []
    for name, attributes in spans.items():
        parent = str(attributes.pop("parent", "t1" if name == "process" else ""))
        span = pb.Span(
            span_id=name.encode(),
            parent_span_id=parent.encode(),
            attributes=to_attributes(attributes),
            events=events if name == "t2" else [],
        )
        findings.append(pb.Finding(session=1, span=span))
    return by_session(findings)[0]


def test_a_complete_capture_has_no_problems(expected: Expected) -> None:
    assert compare(expected, captured()) == []
    assert expected.counts() == {
        "llm_calls": 1,
        "tool_calls": 2,
        "commands": 1,
        "written_files": 1,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"call": None}, ["missing: call model m,"]),
        ({"call": {"gen_ai.usage.input_tokens": 11}}, ["missing: call", "not expected: call"]),
        ({"call": {"gen_ai.request.stream": False}}, ["missing: call", "not expected: call"]),
        ({"call": {"agentsight.retries": 0}}, ["missing: call", "not expected: call"]),
        ({"call": {"error.type": "aborted"}}, ["missing: call", "error aborted"]),
        (
            {"call": {"agentsight.response.tool_names": ("write_file", "run_command")}},
            ["missing: call", "not expected: call"],
        ),
        ({"t2": {"gen_ai.tool.call.id": "t9"}}, ["missing: tool call id t2", "id t9"]),
        ({"process": None}, ["missing: process 77, which ran for tool call t1"]),
        ({"process": {"process.exit.code": 0}}, ["process 77 ended with 2, captured as 0"]),
        ({"process": {"parent": "t2"}}, ["process 77 was caused by tool call t1", "by t2"]),
        ({"process": {"parent": "gone"}}, ["captured as caused by nothing"]),
        ({"file": None}, ["missing: writing of the file notes/a.txt"]),
        ({"file": {"agentsight.file.written_bytes": 0}}, ["missing: writing of the file"]),
        (
            {"connection": {"network.peer.port": 1}},
            [f"missing: a connection to the server's port {PORT}"],
        ),
    ],
)
def test_every_difference_is_a_problem(
    expected: Expected, changes: dict[str, dict[str, AttributeValue] | None], words: list[str]
) -> None:
    problems = "\n".join(compare(expected, captured(**changes)))
    assert problems
    for word in words:
        assert word in problems


def test_an_empty_capture_misses_everything(expected: Expected) -> None:
    assert len(compare(expected, SessionSpans(0))) == 1 + 2 + 1 + 1 + 1


def test_the_real_scenarios_have_what_the_demo_is_about(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.touch()
    found = expect(sorted((EXAMPLES / "scenarios").glob("*.json")), log, PORT)
    assert any(call.retries for call in found.calls)
    assert any(not call.stream for call in found.calls)
    assert any(len(call.tools) > 1 for call in found.calls)
    assert len(found.tools) == found.tools.total() >= 8, "ids of tool calls are unique"

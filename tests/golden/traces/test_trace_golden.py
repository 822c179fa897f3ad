"""Traces of other systems against their findings. `make golden` rewrites them; read the diff."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path

import pytest
from agentsight_aggregator.fold import build_fold
from agentsight_cli.replay import Replay
from agentsight_core.pb import findings_pb2 as pb
from google.protobuf.json_format import MessageToDict

HERE = Path(__file__).parent
TRACES = ("session.dtrace", "session.etw.xml")


def findings(name: str) -> list[pb.Finding]:
    replay = Replay(build_fold())
    found = list(replay.findings([str(HERE / name)]))
    assert not replay.errors
    return found


@pytest.mark.parametrize("name", TRACES)
def test_the_findings_of_a_trace_are_as_recorded(name: str) -> None:
    lines = [
        json.dumps(MessageToDict(one), ensure_ascii=False, sort_keys=True) for one in findings(name)
    ]
    expected = HERE / f"{name}.findings.jsonl"
    if os.environ.get("GOLDEN_REWRITE"):
        expected.write_text("\n".join(lines) + "\n")
    assert lines == expected.read_text().splitlines()


@pytest.mark.parametrize(
    ("name", "maker"),
    [("session.dtrace", "dtrace_session"), ("session.etw.xml", "etw_session")],
)
def test_the_traces_are_those_that_the_script_writes(name: str, maker: str) -> None:
    made = runpy.run_path(str(HERE / "make_sessions.py"))[maker]()
    assert (HERE / name).read_text() == made


def test_a_call_on_macos_leads_to_a_tool_its_process_and_its_file() -> None:
    spans = {one.span.name: one.span for one in findings("session.dtrace") if one.HasField("span")}
    tool = spans["execute_tool bash"]
    [shell] = [span for name, span in spans.items() if span.parent_span_id == tool.span_id]
    assert [event.name for event in shell.events] == ["file"]
    assert not any("sk-ant-invented" in str(span) for span in spans.values())

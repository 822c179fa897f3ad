"""Figures of a run, and the loss ledger as a table."""

from __future__ import annotations

import pytest
from agentsight_cli.summary import ledger_text, summarize
from agentsight_core.pb import findings_pb2 as pb
from agentsight_core.telemetry.ledger import Ledger


def ledger() -> Ledger:
    made = Ledger()
    stage = made.stage("drain", "records")
    stage.received, stage.emitted = 10, 6
    stage.drop("ring full", 3)
    stage.filter("not watched", 1)
    return made


def test_figures(findings: list[pb.Finding]) -> None:
    found = summarize(findings, events_captured=40)
    expected = {
        "turns": 1,
        "llm_calls": 3,
        "failed_llm_calls": 0,
        "tool_calls": 3,
        "processes": 4,
        "events_captured": 40,
        "findings": len(findings),
        "sessions": ["00000000000000a1"],
    }
    assert {key: found[key] for key in expected} == expected
    edges = sum(item.WhichOneof("body") == "edge" for item in findings)
    assert found["edges"] == edges > 0
    calls = [item.span for item in findings if item.span.name.startswith("chat ")]
    for key in ("input_tokens", "output_tokens"):
        values = [
            attribute.int_value
            for span in calls
            for attribute in span.attributes
            if attribute.key == f"gen_ai.usage.{key}"
        ]
        assert found[key] == sum(values) > 0
    assert isinstance(found["duration_s"], float)
    assert found["duration_s"] >= 8


def test_a_replay_adds_what_the_recording_lost_to_what_it_lost_itself(
    findings: list[pb.Finding],
) -> None:
    found = summarize(findings, events_captured=1, stages=ledger().as_dict())
    assert found["events_lost"] == 2 + 3


def test_a_live_run_counts_each_loss_once(findings: list[pb.Finding]) -> None:
    found = summarize(findings, events_captured=1, stages=ledger().as_dict(), events_lost=3)
    assert found["events_lost"] == 3


def test_nothing_gives_zeros() -> None:
    found = summarize([], events_captured=0)
    assert (found["llm_calls"], found["duration_s"], found["events_lost"]) == (0, 0.0, 0)


def test_the_ledger_shows_reasons() -> None:
    rows = ledger_text(ledger().as_dict()).splitlines()
    assert rows[1].split() == [
        *("stage", "unit", "received", "emitted", "held"),
        *("filtered", "dropped", "unexplained"),
    ]
    assert "not watched 1" in rows[2]
    assert "ring full 3" in rows[2]
    assert ledger_text([]) == ""


@pytest.mark.parametrize("emitted", [5, 7])
def test_what_cannot_be_explained_is_a_loss(emitted: int) -> None:
    made = ledger()
    made.stage("drain", "records").emitted = emitted
    assert summarize([], events_captured=0, stages=made.as_dict())["events_lost"] == 4

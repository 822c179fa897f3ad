import json
import os
from pathlib import Path

import pytest
from agentsight_aggregator.exporters.jsonl import JsonLinesExporter, finding_to_json, span_to_json
from agentsight_aggregator.exporters.rotating_file import RotatingFile, RotationSettings
from agentsight_core.errors import Retryable
from agentsight_core.pb import findings_pb2 as pb


def full_span() -> pb.Span:
    return pb.Span(
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        name="chat small",
        kind=pb.SPAN_KIND_CLIENT,
        start_ns=1_760_000_000_000_000_001,
        end_ns=1_760_000_000_000_000_002,
        status=pb.SPAN_STATUS_ERROR,
        status_message="overloaded",
        attributes=[
            pb.Attribute(key="bool", bool_value=False),
            pb.Attribute(key="double", double_value=0.5),
            pb.Attribute(key="int", int_value=-3),
            pb.Attribute(key="list", strings_value=pb.StringList(values=["a", "b"])),
            pb.Attribute(key="none"),
            pb.Attribute(key="text", string_value="line\u2028separator"),
        ],
        events=[
            pb.SpanEvent(time_ns=5, name="retry", attributes=[pb.Attribute(key="n", int_value=1)])
        ],
        links=[pb.SpanLink(trace_id=b"\n", span_id=b"\v")],
        resource=[pb.Attribute(key="service.name", string_value="demo")],
    )


def test_a_span_becomes_flat_native_values_with_exact_times() -> None:
    assert span_to_json(full_span()) == {
        "trace_id": "000102030405060708090a0b0c0d0e0f",
        "span_id": "0001020304050607",
        "parent_span_id": "",
        "name": "chat small",
        "kind": "client",
        "start_ns": 1_760_000_000_000_000_001,
        "end_ns": 1_760_000_000_000_000_002,
        "status": "error",
        "status_message": "overloaded",
        "attributes": {
            "bool": False,
            "double": 0.5,
            "int": -3,
            "list": ["a", "b"],
            "none": None,
            "text": "line\u2028separator",
        },
        "events": [{"time_ns": 5, "name": "retry", "attributes": {"n": 1}}],
        "links": [{"trace_id": "0a", "span_id": "0b", "attributes": {}}],
        "resource": {"service.name": "demo"},
    }


def test_every_kind_of_finding_has_a_body_with_all_its_fields() -> None:
    findings = [
        pb.Finding(edge=pb.Edge(cause_span_id=b"\1" * 8, method="lineage", confidence=0.9)),
        pb.Finding(message=pb.ConversationMessage(hash=b"\2" * 16, role="user", parts_json="[]")),
        pb.Finding(session_summary=pb.SessionSummary(argv=["a", "b"], models=["m"], ended=True)),
        pb.Finding(loss=pb.LossRecord(stage="kernel", reason="ring_full", count=2, unit="records")),
        pb.Finding(span=full_span()),
    ]

    lines = [finding_to_json(finding) for finding in findings]

    assert [line["kind"] for line in lines] == [
        "edge",
        "message",
        "session_summary",
        "loss",
        "span",
    ]
    assert lines[0]["edge"] == {
        "cause_span_id": "0101010101010101",
        "effect_span_id": "",
        "trace_id": "",
        "method": "lineage",
        "confidence": 0.9,
    }
    summary = lines[2]["session_summary"]
    assert isinstance(summary, dict)
    assert summary["argv"] == ["a", "b"]
    assert set(summary) == {field.name for field in pb.SessionSummary.DESCRIPTOR.fields}


async def test_exported_findings_are_complete_lines_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "new" / "findings.jsonl"
    finding = pb.Finding(id=b"\1" * 16, session=7, time_ns=9, span=full_span())
    with RotatingFile(path) as file:
        await JsonLinesExporter(file).export([finding, finding])

        # Read while open: nothing waits in a buffer.
        lines = path.read_bytes().split(b"\n")

    assert lines[2:] == [b""]
    assert lines[0] == lines[1]
    assert json.loads(lines[0]) == finding_to_json(finding)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("tail_bytes", [1, 200_000])
def test_a_torn_last_line_is_cut_at_open(tmp_path: Path, tail_bytes: int) -> None:
    path = tmp_path / "findings.jsonl"
    path.write_bytes(b"whole\n" + b"x" * tail_bytes)

    with RotatingFile(path) as file:
        assert file.repaired_bytes == tail_bytes
        file.append([b"next"])

    assert path.read_bytes() == b"whole\nnext\n"


def test_files_rotate_by_size_and_the_oldest_is_deleted_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "findings.jsonl"
    with RotatingFile(path, RotationSettings(max_file_bytes=10, keep=2)) as file:
        for number in range(5):
            file.append([b"line %d" % number])

        assert file.deleted_bytes == 2 * len(b"line 0\n")

    contents = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    assert contents == {
        "findings.jsonl": b"line 4\n",
        "findings.jsonl.1": b"line 3\n",
        "findings.jsonl.2": b"line 2\n",
    }


def test_a_write_that_fails_half_way_leaves_no_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "findings.jsonl"
    real_write = os.write

    def write_three_bytes_then_fail(descriptor: int, data: memoryview) -> int:
        if len(data) < 5:
            raise OSError(28, "No space left on device")
        return real_write(descriptor, data[:3])

    with RotatingFile(path) as file:
        file.append([b"first"])
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write_three_bytes_then_fail)
            with pytest.raises(Retryable, match="No space left"):
                file.append([b"second"])
        file.append([b"second"])

    assert path.read_bytes() == b"first\nsecond\n"


async def test_findings_at_the_end_of_the_own_file_are_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "findings.jsonl"
    batch = [pb.Finding(id=bytes([n]) * 16, edge=pb.Edge(method="lineage")) for n in range(1, 5)]
    # The last two went into a new file, and the process died before the position was recorded.
    with RotatingFile(path, RotationSettings(max_file_bytes=1)) as file:
        await JsonLinesExporter(file).export(batch[:2])
        await JsonLinesExporter(file).export(batch[2:3])
    with path.open("ab") as torn:
        torn.write(b'{"id":"0404')
    with RotatingFile(path) as file:
        await JsonLinesExporter(file).export(batch[1:])
    lines = (tmp_path / "findings.jsonl.1").read_bytes() + path.read_bytes()
    assert [json.loads(line)["id"][:2] for line in lines.splitlines()] == ["01", "02", "03", "04"]


async def test_lines_of_others_in_the_file_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "findings.jsonl"
    path.write_bytes(b'no json\n{"id":5}\n{"id":"xyz"}\n{}\n[]\n\xff\n')
    with RotatingFile(path) as file:
        await JsonLinesExporter(file).export([pb.Finding(id=b"\1" * 16)])
    assert json.loads(path.read_bytes().splitlines()[-1])["id"] == "01" * 16

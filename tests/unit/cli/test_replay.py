"""Replay: what files are, several of them, stdin, gzip, and what is wrong with one."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from agentsight_cli import recordings, replay
from agentsight_core import wire
from agentsight_core.errors import ConfigError
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.recordings.records import FILE_MAGIC, Damage, Record, encode_record
from agentsight_core.testing.agent_log import AgentLog

HAR_FILES = Path(__file__).resolve().parents[2] / "golden" / "providers"
REQUEST = '{"model":"gpt-x","messages":[],"stream":0}\n'
ANSWER = '{"model":"gpt-x-1","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}'


def ssl_line(at_ns: int, function: str, start: str, body: str) -> str:
    text = f"{start}\r\nhost: api.openai.com\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    line = {"function": function, "timestamp_ns": at_ns, "pid": 5, "tid": 5, "data": text}
    return json.dumps(line) + "\n"


SSL_LINES = ssl_line(1, "WRITE/SEND", "POST /v1/chat/completions HTTP/1.1", REQUEST) + ssl_line(
    2_000_000_000, "READ/RECV", "HTTP/1.1 200 OK", ANSWER
)


def recording(log: AgentLog) -> bytes:
    events = log.events
    header = pb.FrameHeader(agent_id="a", epoch_ns=1, session=0xA1, seq=1, event_count=len(events))
    frame = wire.encode_frame(header, wire.encode_events(events))
    return FILE_MAGIC + encode_record(Record(frame, 1, 0, 0, 0))


def write(tmp_path: Path, name: str, data: bytes) -> str:
    path = tmp_path / name
    path.write_bytes(data)
    return str(path)


def run(names: list[str], form: str = "spans") -> tuple[int, list[dict[str, object]]]:
    out = io.StringIO()
    status = replay.run(names, form, out)
    return status, [json.loads(line) for line in out.getvalue().splitlines()]


def names_of(spans: list[dict[str, object]]) -> list[str]:
    return sorted({str(span["name"]) for span in spans})


def test_our_recording_plain_zipped_and_cut(tmp_path: Path, agent_log: AgentLog) -> None:
    data = recording(agent_log)
    status, spans = run([write(tmp_path, "a.rec", data)])
    assert status == 0
    assert "invoke_agent demo-agent" in names_of(spans)
    assert set(spans[0]) >= {
        *("trace_id", "span_id", "parent_span_id", "name", "kind", "start_ns", "end_ns"),
        *("status", "attributes", "events"),
    }
    zipped = gzip.compress(data)
    assert run([write(tmp_path, "a.rec.gz", zipped)]) == (0, spans)
    assert run([write(tmp_path, "cut.rec.gz", zipped[:-4])]) == (0, spans)


def test_a_torn_recording_says_so_and_counts_it(
    tmp_path: Path, agent_log: AgentLog, capsys: pytest.CaptureFixture[str]
) -> None:
    data = recording(agent_log)
    path = write(tmp_path, "torn.rec", data + data[len(FILE_MAGIC) : -10])
    status, found = run([path], "summary")
    assert status == 0
    assert "skipped 1 damaged stretches" in capsys.readouterr().err
    assert found[0]["events_captured"] == len(agent_log.events)
    # Two records that the recording itself says were lost, one damaged stretch.
    assert found[0]["events_lost"] == 3


def test_har_and_upstream_lines(tmp_path: Path) -> None:
    status, spans = run([str(HAR_FILES / "anthropic.har")])
    assert status == 0
    assert any(name.startswith("chat claude") for name in names_of(spans))
    status, spans = run([write(tmp_path, "ssl.log", SSL_LINES.encode())])
    assert status == 0
    calls = [span for span in spans if span["name"] == "chat gpt-x"]
    assert len(calls) == 1
    attributes = calls[0]["attributes"]
    assert isinstance(attributes, dict)
    assert attributes["gen_ai.usage.output_tokens"] == 7
    assert attributes["gen_ai.response.model"] == "gpt-x-1"


def test_several_files_are_one_run(tmp_path: Path, agent_log: AgentLog) -> None:
    names = [
        write(tmp_path, "a.rec", recording(agent_log)),
        write(tmp_path, "b.log.gz", gzip.compress(SSL_LINES.encode())),
        str(HAR_FILES / "anthropic.har"),
    ]
    _, spans = run(names)
    for name in names:
        _, alone = run([name])
        assert all(span in spans for span in alone)
    _, found = run(names, "summary")
    assert isinstance(found[0]["sessions"], list)
    assert len(found[0]["sessions"]) == 3


def test_stdin(monkeypatch: pytest.MonkeyPatch, agent_log: AgentLog, tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        """Not seekable, gives little at a time."""

        def __init__(self, data: bytes) -> None:
            self.data = data

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:
            size = min(len(buffer), 1000)
            part, self.data = self.data[:size], self.data[size:]
            buffer[: len(part)] = part
            return len(part)

    data = recording(agent_log)
    expected = run([write(tmp_path, "a.rec", data)])
    for content in (data, gzip.compress(data)):
        stdin = io.TextIOWrapper(io.BufferedReader(Pipe(content)))
        monkeypatch.setattr("sys.stdin", stdin)
        assert run(["-"]) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello", "begins with b'hello'"),
        (b'{"log": 3}', "log"),
        (b'{"log": {"entries": [', "bad"),
        (b'{"function":"READ/RECV","pid":1}\n', "line 1: timestamp or timestamp_ns"),
        (gzip.compress(b'{"log": {}}')[:-6], "gzip"),
        (b"\x1f\x8bno gzip", "gzip"),
        (FILE_MAGIC[:-1] + b"\x63", "format 63"),
    ],
)
def test_a_bad_file_is_named_and_the_others_are_done(
    tmp_path: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = write(tmp_path, "bad.file", content)
    good = write(tmp_path, "good.log", SSL_LINES.encode())
    status, spans = run([bad, good])
    assert status == 2
    assert "chat gpt-x" in names_of(spans)
    error = capsys.readouterr().err
    assert error.startswith(bad)
    assert error.count(bad) == 1
    assert message in error


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["/nowhere/x.rec"]) == (2, [])
    assert capsys.readouterr().err == "/nowhere/x.rec: cannot be read: No such file or directory\n"


def test_a_byte_order_mark_does_not_hide_a_har() -> None:
    data = b"\xef\xbb\xbf" + (HAR_FILES / "anthropic.har").read_bytes()
    stream = io.BufferedReader(io.BytesIO(data))
    events = list(recordings._events(stream, "x", Damage()))
    assert len(events) > 10


def test_reading_stops_at_what_is_no_recording() -> None:
    with pytest.raises(ConfigError, match="allowed: a recording"):
        list(recordings.read_events("/dev/null", Damage()))


def test_a_malformed_entry_of_a_har_is_named_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "one.har"
    file.write_text('{"log": {"entries": [{"request": {}}]}}')
    assert replay.run([str(file)], "spans", io.StringIO()) == 0
    assert (
        "one.har: log.entries[0]: 1 records lost at har: malformed entry" in capsys.readouterr().err
    )


TRACES = HAR_FILES.parent / "traces"


@pytest.mark.parametrize(
    ("name", "kind", "spans"),
    [
        ("session.dtrace", "dtrace", {"chat claude-example", "execute_tool bash", "sh"}),
        ("session.etw.xml", "etw", {"session codex", "cmd.exe"}),
    ],
)
def test_traces_of_other_systems(tmp_path: Path, name: str, kind: str, spans: set[str]) -> None:
    file = str(TRACES / name)
    status, found = run([file])
    assert status == 0
    assert spans < set(names_of(found))
    zipped = write(tmp_path, "trace.gz", gzip.compress((TRACES / name).read_bytes()))
    assert run([zipped]) == (0, found)
    out = io.StringIO()
    told = recordings.ReadAs(trace_format=kind)
    assert replay.run([file], "spans", out, told) == 0
    assert [json.loads(line) for line in out.getvalue().splitlines()] == found


def test_a_trace_without_a_known_agent_asks_for_its_root(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = str(TRACES / "session.etw.xml")
    assert replay.run([file], "tree", io.StringIO(), recordings.ReadAs(root_pid=7)) == 2
    assert "no program executed by 7 in this trace: `--root PID`" in capsys.readouterr().err
    out = io.StringIO()
    assert replay.run([file], "summary", out, recordings.ReadAs(root_pid=4102)) == 0
    assert json.loads(out.getvalue())["processes"] == 1


def test_what_a_tracer_lost_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    run([str(TRACES / "session.dtrace")])
    assert "3 records lost at trace: drops" in capsys.readouterr().err


def test_utf_16_of_powershell(tmp_path: Path) -> None:
    text = (TRACES / "session.etw.xml").read_text()
    _, found = run([str(TRACES / "session.etw.xml")])
    _, again = run([write(tmp_path, "trace.xml", text.encode("utf-16"))])
    assert names_of(again) == names_of(found) != []

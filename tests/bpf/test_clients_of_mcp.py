"""The official MCP SDK under `agentsight record`: each transport, with a model in Ollama's format.

The client speaks plain HTTP to the model; a server on a pipe is its child, the others are in no
session.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from agentsight_aggregator.fold import build_fold, findings_of
from agentsight_core.testing.recorded_run import record

pytestmark = pytest.mark.kernel

TESTERS = Path(__file__).parent / "testers"
TOOL = {"function": {"name": "desk_forecast", "arguments": {"city": "Oslo"}}}


class Ollama(ThreadingHTTPServer):
    """Asks for the tool, then says what it gave; in lines, as https://docs.ollama.com/api says."""

    daemon_threads = True

    class RequestHandlerClass(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            last = request["messages"][-1]
            message = {"role": "assistant", "content": "", "tool_calls": [TOOL]}
            if last["role"] == "tool":
                message = {"role": "assistant", "content": f"It will be {last['content']}."}
            made = {"model": "tiny", "created_at": "2026-01-01T00:00:00Z"}
            lines = [
                {**made, "message": message, "done": False},
                {
                    **made,
                    "message": {"role": "assistant", "content": ""},
                    "done": True,
                    "done_reason": "stop",
                    "prompt_eval_count": 11,
                    "eval_count": 7,
                },
            ]
            self.send_response(200)
            self.send_header("content-type", "application/x-ndjson")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for line in lines:
                data = json.dumps(line).encode() + b"\n"
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)


@pytest.fixture
def ollama():
    with Ollama() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_address[1]
        running.shutdown()


def listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def desk():
    """Start the server on a port of its own, in no session; return its URL."""
    with ExitStack() as stack:

        def start(transport: str) -> str:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            command = [sys.executable, TESTERS / "mcp_desk.py", transport, str(port)]
            server = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            stack.callback(server.kill)
            deadline = time.monotonic() + 60
            while not listens(port):
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            path = "sse" if transport == "sse" else "mcp"
            return f"http://127.0.0.1:{port}/{path}"

        yield start


@pytest.mark.parametrize("transport", ["stdio", "sse", "streamable-http"])
def test_a_tool_call_over_mcp_is_one_span_with_what_was_said(
    ollama, desk, tmp_path, transport
) -> None:
    stdio = [sys.executable, str(TESTERS / "mcp_desk.py"), "stdio"]
    server = stdio if transport == "stdio" else [desk(transport)]
    agent = [sys.executable, str(TESTERS / "mcp_agent.py"), str(ollama), transport, *server]
    run = record(agent, tmp_path)
    assert run.exit_status == 0, run.stderr
    assert "It will be sunny in Oslo." in run.stdout
    assert not run.losses()
    spans, edges = {}, []
    for finding in findings_of(build_fold(), run.events):
        if finding.HasField("span"):
            spans[finding.span.span_id] = finding.span
        elif finding.HasField("edge"):
            edges.append(finding.edge)
    found = {span.name: values(span) for span in spans.values()}
    tool = found["execute_tool desk_forecast"]
    assert tool["mcp.method.name"] == "tools/call"
    assert tool["agentsight.mcp.tool.name"] == "forecast"
    assert tool["agentsight.cause.method"] == "mcp+name+arguments"
    assert tool["mcp.protocol.version"]
    assert tool["network.transport"] == ("pipe" if transport == "stdio" else "tcp")
    broken = found["tools/call broken"]
    assert broken["error.type"] == "tool_error"
    assert "tools/list" in found
    assert found["chat tiny"]["gen_ai.provider.name"] == "ollama"
    assert tool["agentsight.mcp.server.name"] == "weather-desk"
    if transport == "stdio":
        names = [(spans[e.cause_span_id].name, spans[e.effect_span_id].name) for e in edges]
        assert ("execute_tool desk_forecast", "true") in names


REVISIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"]


def test_every_revision_is_read_as_the_official_server_speaks_it(tmp_path) -> None:
    server = f"{sys.executable} {TESTERS / 'mcp_desk.py'} stdio"
    client = f"{sys.executable} {TESTERS / 'mcp_of_revision.py'}"
    script = "\n".join(f"{client} {revision} {server}" for revision in REVISIONS)
    run = record(["/bin/sh", "-e", "-c", script], tmp_path)
    assert run.exit_status == 0, run.stderr
    assert run.stdout.split() == REVISIONS
    assert not run.losses()
    spans = [f.span for f in findings_of(build_fold(), run.events) if f.HasField("span")]
    calls = [values(span) for span in spans if span.name == "tools/call forecast"]
    assert [call["mcp.protocol.version"] for call in calls] == REVISIONS
    assert {call["agentsight.mcp.server.name"] for call in calls} == {"weather-desk"}


def values(span) -> dict[str, object]:
    return {item.key: getattr(item, item.WhichOneof("value")) for item in span.attributes}

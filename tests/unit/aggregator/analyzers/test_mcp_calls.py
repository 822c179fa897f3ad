"""MCP calls: joined to the tool calls that led to them, or spans of their own."""

import json

import pytest
from agentsight_aggregator.fold import build_fold
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb import findings_pb2
from agentsight_core.ports import END_OF_TIME_NS
from agentsight_core.testing.agent_log import (
    AgentLog,
    assistant,
    results,
    text,
    tool_result,
    tool_use,
    user,
)

SERVER = 300
TURN = "invoke_agent demo-agent"


class McpLog(AgentLog):
    """A log with an MCP server on a pipe, started and greeted before the model is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.start(0)
        self.run(0.1, 30, SERVER, ["desk", "--stdio"])
        self.ask(0.5, 1, "initialize", protocolVersion="2025-06-18")
        info = {"protocolVersion": "2025-06-18", "serverInfo": {"name": "desk", "version": "1.2"}}
        self.answer(0.6, 1, info)

    def say(self, at_s: float, *, to_server: bool, **message: object) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        said = pb.JsonRpcMessage(connection=9, to_server=to_server, data=data, bytes=len(data))
        self.add(at_s, SERVER, json_rpc_message=said)

    def ask(self, at_s: float, ident: object, method: str, **params: object) -> None:
        self.say(at_s, to_server=True, id=ident, method=method, params=params)

    def answer(self, at_s: float, ident: object, result: object) -> None:
        self.say(at_s, to_server=False, id=ident, result=result)

    def tools(self, *asked, result_at: float = 10) -> None:
        """The model asks for tools at 3 s and gets their results."""
        self.call(2, 3, [user("Do it please")], asked)
        back = results(*(tool_result(block["id"], "ok") for block in asked))
        history = [user("Do it please"), assistant(*asked), back]
        self.call(result_at, result_at + 1, history, [text("Done")])
        self.end(result_at + 25)


def forecast_log() -> McpLog:
    log = McpLog()
    log.tools(tool_use("t1", "mcp__desk__forecast", city="Oslo"))
    log.ask(4, 2, "tools/call", name="forecast", arguments={"city": "Oslo"})
    log.run(4.5, 4.9, 400, ["curl", "weather"], parent=SERVER)
    log.file(4.6, 4.7, SERVER, "/srv/cache", written=5)
    log.answer(5, 2, {"content": [{"type": "text", "text": "sunny"}], "isError": False})
    return log


def test_the_tool_call_of_the_model_is_one_span_with_its_mcp_call(run):
    found = run(forecast_log())
    (tool,) = found.named("execute_tool mcp__desk__forecast")
    assert tool.path() == f"{TURN} > execute_tool mcp__desk__forecast"
    expected = {
        "mcp.method.name": "tools/call",
        "mcp.protocol.version": "2025-06-18",
        "jsonrpc.request.id": "2",
        "network.transport": "pipe",
        "agentsight.mcp.server.name": "desk",
        "agentsight.mcp.server.version": "1.2",
        "agentsight.mcp.server.pid": SERVER,
        "agentsight.mcp.tool.name": "forecast",
        "agentsight.mcp.duration_ms": 1000.0,
        "agentsight.cause.method": "mcp+name+arguments",
        "agentsight.cause.confidence": 0.99,
    }
    assert expected.items() <= tool.attributes.items()
    assert not found.named("tools/call forecast")


def test_what_the_server_does_for_a_call_is_the_call_s(run):
    found = run(forecast_log())
    tool = "execute_tool mcp__desk__forecast"
    assert (tool, "desk", "mcp+name+arguments", 0.99) in found.edges
    assert (tool, "curl", "lineage+time+mcp", 0.95) in found.edges
    (span,) = found.named(tool)
    assert [attributes["file.path"] for name, attributes in span.events if name == "file"] == [
        "/srv/cache"
    ]
    (server,) = found.named("desk")
    assert server.events == []


def test_calls_at_the_same_time_are_kept_apart_by_arguments(run):
    log = McpLog()
    log.tools(
        tool_use("t1", "desk_forecast", city="Oslo"), tool_use("t2", "desk_forecast", city="Rome")
    )
    log.ask(4, 2, "tools/call", name="forecast", arguments={"city": "Rome"})
    log.ask(4, 3, "tools/call", name="forecast", arguments={"city": "Oslo"})
    log.answer(5, 3, {"content": []})
    log.answer(6, 2, {"content": [], "isError": True})
    tools = run(log).named("execute_tool desk_forecast")
    found = {
        tool.attributes["gen_ai.tool.call.id"]: (
            tool.attributes["jsonrpc.request.id"],
            tool.attributes.get("error.type"),
        )
        for tool in tools
    }
    assert found == {"t1": ("3", None), "t2": ("2", "tool_error")}


def test_what_no_model_asked_for_has_spans_of_its_own(run):
    log = McpLog()
    log.ask(1, 2, "tools/list")
    log.say(1.1, to_server=False, method="notifications/message", params={"level": "info"})
    log.answer(1.2, 2, {"tools": []})
    log.ask(1.3, "r", "resources/read", uri="file:///a")
    log.say(1.4, to_server=False, id="r", error={"code": -32602, "message": "unknown"})
    log.call(2, 3, [user("Hello there")], [text("Hi")])
    # Within a turn, but nobody asked for it.
    log.ask(2.5, 5, "prompts/get", name="greeting")
    log.answer(2.6, 5, {"messages": []})
    # The server asks, too; and both count on their own.
    log.say(2.7, to_server=False, id=1, method="sampling/createMessage", params={})
    log.say(2.8, to_server=True, id=1, result={"content": {}})
    log.ask(2.85, 6, "tools/call", name="slow", arguments={})
    log.say(2.9, to_server=True, method="notifications/cancelled", params={"requestId": 6})
    log.ask(2.95, 7, "ping")
    log.end(30)
    found = run(log)
    assert {"session demo-agent > initialize", f"{TURN} > prompts/get greeting"} <= set(
        found.paths()
    )
    (read,) = found.named("resources/read")
    assert read.attributes["error.type"] == read.attributes["rpc.response.status_code"] == "-32602"
    assert read.attributes["mcp.resource.uri"] == "file:///a"
    (sampling,) = found.named("sampling/createMessage")
    assert sampling.raw.kind == findings_pb2.SPAN_KIND_SERVER
    assert found.named("tools/call slow")[0].attributes["error.type"] == "cancelled"
    assert found.named("ping")[0].attributes["error.type"] == "unanswered"
    assert found.total("agentsight.mcp.notifications") == 2
    durations = [item for item in found.samples if item.name == "mcp.client.operation.duration"]
    assert sum(sum(item.counts) for item in durations) == 7


def test_the_latest_revision_has_no_handshake(run):
    log = AgentLog()
    log.start(0)
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "progressToken": "p",
    }
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    answer = {"jsonrpc": "2.0", "id": 1, "result": {"tools": [], "resultType": "complete"}}
    log.exchange(1, 2, request, (200, answer), target="/mcp", authority="127.0.0.1:8000")
    log.end(5)
    (span,) = run(log).named("tools/list")
    assert span.attributes["mcp.protocol.version"] == "2026-07-28"
    assert span.attributes["network.transport"] == "tcp"
    assert span.attributes["server.address"] == "127.0.0.1"


def test_a_batch_is_several_messages(run):
    log = McpLog()
    batch = [
        {"jsonrpc": "2.0", "id": 5, "method": "ping"},
        {"jsonrpc": "2.0", "id": 6, "method": "tools/list"},
    ]
    said = pb.JsonRpcMessage(connection=9, to_server=True, data=json.dumps(batch).encode())
    log.add(1, SERVER, json_rpc_message=said)
    log.answer(2, 6, {})
    log.answer(3, 5, {})
    log.end(9)
    found = run(log)
    assert [len(found.named(name)) for name in ("ping", "tools/list")] == [1, 1]


@pytest.mark.parametrize("data", [b"", b"[", b"null", b"[1]", b'{"jsonrpc":"2.0"}', b"\xff"])
def test_what_cannot_be_read_does_no_harm(run, data):
    log = McpLog()
    log.add(1, SERVER, json_rpc_message=pb.JsonRpcMessage(connection=9, to_server=True, data=data))
    log.end(5)
    assert run(log).named("initialize")


@pytest.mark.parametrize("cut_at", range(0, 30, 3))
def test_a_checkpoint_anywhere_changes_nothing(cut_at):
    events = forecast_log().events
    whole = build_fold()
    expected = [item for event in events for item in whole.observe(event)]
    expected += whole.advance(END_OF_TIME_NS)
    first, second = build_fold(), build_fold()
    found = [item for event in events[:cut_at] for item in first.observe(event)]
    second.restore(first.snapshot())
    found += [item for event in events[cut_at:] for item in second.observe(event)]
    found += second.advance(END_OF_TIME_NS)
    assert [item.SerializeToString() for item in found] == [
        item.SerializeToString() for item in expected
    ]

"""MCP in the tree: whose call it was, and over what."""

from agentsight_cli import labels
from agentsight_cli.spans import Kind, SpanNode, kind_of
from agentsight_core.pb import findings_pb2 as pb

MCP = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "forecast",
    "mcp.method.name": "tools/call",
    "network.transport": "pipe",
    "agentsight.mcp.server.name": "desk",
}


def label(name: str, attributes: dict) -> str:
    span = pb.Span(name=name, start_ns=1, end_ns=2)
    return labels.span(SpanNode(span, kind_of(attributes), attributes))


def test_a_tool_call_of_a_model_names_its_server() -> None:
    asked = {**MCP, "agentsight.tool.outcome": "result"}
    assert kind_of(asked) is Kind.TOOL
    assert "MCP desk (pipe)" in label("execute_tool forecast", asked)


def test_a_call_that_no_model_asked_for_is_not_counted_as_a_tool() -> None:
    assert kind_of(MCP) is Kind.OTHER
    assert label("tools/call forecast", MCP).startswith("tools/call forecast · MCP desk (pipe)")


def test_a_typed_line_is_shown() -> None:
    assert labels.effect("shell.input", {"agentsight.shell.line": "ls -l"}) == "typed ls -l"

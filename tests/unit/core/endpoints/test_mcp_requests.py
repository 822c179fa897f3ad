"""Which requests may be MCP's, told by their heads."""

import pytest
from agentsight_core.endpoints.mcp import may_be_mcp

JSON = {"content-type": "application/json"}
BOTH = {**JSON, "accept": "application/json, text/event-stream"}
EVENTS = {"accept": "text/event-stream"}


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("POST", "/mcp", BOTH),
        ("POST", "/mcp", {**JSON, "mcp-method": "tools/list"}),
        ("DELETE", "/mcp", {"mcp-session-id": "a"}),
        ("GET", "/sse", EVENTS),
        ("POST", "/messages/?session_id=a", JSON),
        ("POST", "/messages?sessionId=a", JSON),
    ],
)
def test_requests_of_mcp(method, target, headers) -> None:
    assert may_be_mcp(method, target, headers)


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("POST", "/v1/things", {**JSON, "accept": "application/json"}),
        ("GET", "/", {"accept": "*/*"}),
        ("POST", "/upload?session_id=a", {"content-type": "text/plain"}),
        ("POST", "/messages?session_id", JSON),
        ("PUT", "/mcp", BOTH),
    ],
)
def test_other_requests(method, target, headers) -> None:
    assert not may_be_mcp(method, target, headers)

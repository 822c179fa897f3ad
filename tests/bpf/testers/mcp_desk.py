"""An MCP server of the official SDK; the transport is its argument: stdio, sse, streamable-http."""

import subprocess
import sys

from mcp.server.mcpserver import MCPServer

desk = MCPServer("weather-desk", version="1.5")


@desk.tool()
def forecast(city: str) -> str:
    """Say what the weather will be."""
    subprocess.run(["true", city], check=True)
    return f"sunny in {city}"


@desk.tool()
def broken() -> str:
    """Fail."""
    raise ValueError("no such thing")


if sys.argv[1] == "stdio":
    desk.run("stdio")
else:
    desk.run(sys.argv[1], host="127.0.0.1", port=int(sys.argv[2]))

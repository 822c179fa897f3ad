"""An agent: asks an Ollama for a tool, calls it over MCP, brings the result.

Arguments: port of the Ollama, transport (stdio, sse, streamable-http), command or URL of the
server.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from http.client import HTTPConnection

from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

port, transport, *server = sys.argv[1:]


def ask(messages: list) -> dict:
    """Post to the Ollama; put its lines together."""
    connection = HTTPConnection("127.0.0.1", int(port))
    body = json.dumps({"model": "tiny", "messages": messages})
    connection.request("POST", "/api/chat", body, {"content-type": "application/json"})
    lines = [json.loads(line) for line in connection.getresponse()]
    connection.close()
    return lines[0]["message"]


async def main() -> None:
    async with AsyncExitStack() as stack:
        if transport == "stdio":
            streams = stdio_client(StdioServerParameters(command=server[0], args=server[1:]))
        else:
            client = sse_client if transport == "sse" else streamable_http_client
            streams = client(server[0])
        read, write, *_ = await stack.enter_async_context(streams)
        session = await stack.enter_async_context(ClientSession(read, write))
        await session.initialize()
        await session.list_tools()
        messages = [{"role": "user", "content": "What will the weather be?"}]
        answer = await asyncio.to_thread(ask, messages)
        wanted = answer["tool_calls"][0]["function"]
        name = wanted["name"].removeprefix("desk_")
        result = await session.call_tool(name, wanted["arguments"])
        messages += [answer, {"role": "tool", "content": result.content[0].text}]
        await session.call_tool("broken", {})
        print((await asyncio.to_thread(ask, messages))["content"])


asyncio.run(main())

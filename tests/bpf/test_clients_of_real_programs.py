"""Real TLS clients under `agentsight record`: what is captured equals what the server saw."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentsight_core.testing.llm_tls_server import LlmTlsServer, llm_tls_server
from agentsight_core.testing.recorded_run import record

pytestmark = pytest.mark.kernel

ASK = '{"model": "claude-test", "max_tokens": 300, "messages": [{"role": "user", "content": "Hi"}]}'
ASK_STREAM = ASK.replace("{", '{"stream": true, ', 1)

PYTHON_SYNC = f"""
import http.client, os, ssl
context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
connection = http.client.HTTPSConnection("localhost", int(os.environ["PORT"]), context=context)
for body in ({ASK!r}, {ASK_STREAM!r}):
    connection.request("POST", "/v1/messages", body)
    connection.getresponse().read()
connection.close()
"""

PYTHON_ASYNC = f"""
import asyncio, os, ssl
async def main():
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    port = int(os.environ["PORT"])
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    for body in ({ASK!r}, {ASK_STREAM!r}):
        head = "POST /v1/messages HTTP/1.1\\r\\nhost: localhost\\r\\ncontent-length: %d\\r\\n\\r\\n"
        writer.write((head % len(body) + body).encode())
        await writer.drain()
        await reader.readuntil(b"\\r\\n\\r\\n")
        if "stream" in body:
            await reader.readuntil(b"\\r\\n0\\r\\n\\r\\n")
        else:
            await reader.readuntil(b"}}}}")
    writer.close()
    await writer.wait_closed()
asyncio.run(main())
"""

ANTHROPIC = """
import anthropic
client = anthropic.Anthropic(max_retries=0)
ask = dict(model="claude-test", max_tokens=300, messages=[{"role": "user", "content": "Hi"}])
assert client.messages.create(**ask).content[0].text
with client.messages.stream(**ask) as stream:
    assert stream.get_final_message().content[0].text
"""

ANTHROPIC_ASYNC = """
import anthropic, asyncio
async def main():
    client = anthropic.AsyncAnthropic(max_retries=0)
    ask = dict(model="claude-test", max_tokens=300, messages=[{"role": "user", "content": "Hi"}])
    assert (await client.messages.create(**ask)).content[0].text
    async with client.messages.stream(**ask) as stream:
        assert (await stream.get_final_message()).content[0].text
asyncio.run(main())
"""

OPENAI = """
import openai
client = openai.OpenAI(max_retries=0)
ask = dict(model="gpt-test", max_tokens=300, messages=[{"role": "user", "content": "Hi"}])
assert client.chat.completions.create(**ask).choices[0].message.content
assert [part for part in client.chat.completions.create(stream=True, **ask)]
"""

OPENAI_ASYNC = """
import asyncio, openai
async def main():
    client = openai.AsyncOpenAI(max_retries=0)
    ask = dict(model="gpt-test", max_tokens=300, messages=[{"role": "user", "content": "Hi"}])
    assert (await client.chat.completions.create(**ask)).choices[0].message.content
    assert [part async for part in await client.chat.completions.create(stream=True, **ask)]
asyncio.run(main())
"""

NODE_HTTPS = f"""
const https = require("https");
const agent = new https.Agent({{ keepAlive: true, maxSockets: 1 }});
const ask = (body) => new Promise((done) => {{
  const options = {{ method: "POST", agent, headers: {{ "content-length": body.length }} }};
  const request = https.request(process.env.URL + "/v1/messages", options, (answer) => {{
    answer.resume();
    answer.on("end", done);
  }});
  request.end(body);
}});
ask({ASK!r}).then(() => ask({ASK_STREAM!r})).then(() => agent.destroy());
"""

NODE_FETCH = f"""
const ask = async (body) => {{
  const answer = await fetch(process.env.URL + "/v1/messages", {{ method: "POST", body }});
  await answer.text();
}};
ask({ASK!r}).then(() => ask({ASK_STREAM!r}));
"""

CURL = ["curl", "--silent", "--fail", "--http1.1", "--compressed", "--no-buffer"]
CURL += ["--cacert", "{ca}", "{url}/v1/messages", "--data", ASK, "--next"]
CURL += ["--silent", "--http1.1", "--cacert", "{ca}", "{url}/v1/messages", "--data", ASK_STREAM]


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


CLIENTS = {
    "python-ssl": python(PYTHON_SYNC),
    "python-asyncio": python(PYTHON_ASYNC),
    "anthropic": python(ANTHROPIC),
    "anthropic-async": python(ANTHROPIC_ASYNC),
    "openai": python(OPENAI),
    "openai-async": python(OPENAI_ASYNC),
    "curl": CURL,
    "node-https": ["node", "-e", NODE_HTTPS],
    "node-fetch": ["node", "-e", NODE_FETCH],
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LlmTlsServer]:
    with llm_tls_server(tmp_path) as server:
        yield server


@pytest.mark.parametrize("client", CLIENTS)
def test_bodies_are_complete_and_the_calls_are_found(
    client: str, server: LlmTlsServer, tmp_path: Path
) -> None:
    command = [
        word.replace("{ca}", str(server.ca)).replace("{url}", server.url)
        for word in CLIENTS[client]
    ]
    run = record(command, tmp_path, server.environment)

    assert run.exit_status == 0, run.stderr
    assert len(server.pairs) == 2
    assert [exchange.pair for exchange in run.exchanges()] == server.pairs
    assert run.losses() == {}
    assert run.summary["llm_calls"] == 2
    assert run.summary["failed_llm_calls"] == 0
    assert run.summary["models"] == [json.loads(server.pairs[0].request)["model"]]
    # The socket of the first request may become known only after the request.
    assert run.exchanges()[-1].request.peer_port == server.server_port

"""Real HTTP/2 clients under `agentsight record`: what is captured equals what the server saw."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentsight_core.testing.llm_h2_server import LlmH2Server, llm_h2_server
from agentsight_core.testing.recorded_run import record

pytestmark = pytest.mark.kernel

ASK = '{"model": "gpt-test", "max_tokens": 40000, "messages": [{"role": "user", "content": "Hi"}]}'
STREAM = ASK.replace("{", '{"stream": true, ', 1)

HTTPX = f"""
import asyncio, os, ssl
import httpx2
async def main():
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    url = os.environ["URL"] + "/v1/chat/completions"
    async with httpx2.AsyncClient(http2=True, http1=False, verify=context) as client:
        bodies = [{ASK!r}, {STREAM!r}] * 10
        answers = await asyncio.gather(*[client.post(url, content=body) for body in bodies])
        assert {{answer.http_version for answer in answers}} == {{"HTTP/2"}}
asyncio.run(main())
"""

OPENAI = """
import httpx2, openai
client = openai.OpenAI(max_retries=0, http_client=httpx2.Client(http2=True, http1=False))
ask = dict(model="gpt-test", max_tokens=300, messages=[{"role": "user", "content": "Hi"}])
assert client.chat.completions.create(**ask).choices[0].message.content
assert [part for part in client.chat.completions.create(stream=True, **ask)]
"""

NODE = f"""
const http2 = require("http2");
const session = http2.connect(process.env.URL);
const ask = (body) => new Promise((done) => {{
  const stream = session.request({{
    ":method": "POST", ":path": "/v1/chat/completions", "content-type": "application/json" }});
  stream.resume();
  stream.on("end", done);
  stream.end(body);
}});
Promise.all([...Array(20).keys()].map((n) => ask(n % 2 ? {ASK!r} : {STREAM!r})))
  .then(() => session.close());
"""

# Three messages; the call is no call of a model, and what a session says besides gives heads only.
NODE_GRPC = f"""
const http2 = require("http2");
const session = http2.connect(process.env.URL);
const ask = (path, type, body) => new Promise((done) => {{
  const stream = session.request({{ ":method": "POST", ":path": path, "content-type": type }});
  stream.resume();
  stream.on("end", done);
  stream.end(body);
}});
const message = Buffer.from([0, 0, 0, 0, 3, 97, 98, 99]);
const three = Buffer.concat([message, message, message]);
ask("/v1/chat/completions", "application/json", {ASK!r})
  .then(() => ask("/pkg.Service/Method", "application/grpc", three))
  .then(() => session.close());
"""

CURL = ["curl", "--silent", "--fail", "--http2", "--cacert", "{ca}", "--parallel"]
CURL += ["{url}/v1/chat/completions?[1-5]", "--data", ASK]


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


CLIENTS = {
    "curl": (CURL, 5),
    "httpx": (python(HTTPX), 20),
    "openai": (python(OPENAI), 2),
    "node": (["node", "-e", NODE], 20),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LlmH2Server]:
    with llm_h2_server(tmp_path) as server:
        yield server


@pytest.mark.parametrize("client", CLIENTS)
def test_bodies_are_complete_and_the_calls_are_found(
    client: str, server: LlmH2Server, tmp_path: Path
) -> None:
    words, calls = CLIENTS[client]
    command = [word.replace("{ca}", str(server.ca)).replace("{url}", server.url) for word in words]
    run = record(command, tmp_path, server.environment)

    assert run.exit_status == 0, run.stderr
    assert len(server.pairs) == calls
    found = run.exchanges()
    assert Counter(exchange.pair for exchange in found) == Counter(server.pairs)
    assert {exchange.request.version for exchange in found} == {"2"}
    assert {exchange.request.authority for exchange in found} == {f"localhost:{server.port}"}
    assert run.losses() == {}
    assert run.summary["llm_calls"] == calls
    assert run.summary["failed_llm_calls"] == 0
    assert run.summary["models"] == ["gpt-test"]


def test_messages_of_grpc_are_counted(server: LlmH2Server, tmp_path: Path) -> None:
    run = record(["node", "-e", NODE_GRPC], tmp_path, server.environment)

    assert run.exit_status == 0, run.stderr
    call = run.exchanges()[-1]
    assert call.request.target == "/pkg.Service/Method"
    assert call.finished is not None
    assert (call.finished.request_messages, call.finished.response_messages) == (3, 3)
    assert [(field.name, field.value) for field in call.finished.trailers] == [("grpc-status", "0")]
    assert call.request_body == b""
    assert run.losses() == {}

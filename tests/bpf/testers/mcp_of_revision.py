"""Speaks to an MCP server on a pipe in the revision that is its first argument; the rest starts it.

Prints the revision that the server has agreed to.
"""

import json
import subprocess
import sys

revision, *command = sys.argv[1:]
stateless = revision >= "2026-07-28"
server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def say(**message):
    server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    server.stdin.flush()


def ask(ident, method, **params):
    if stateless:
        name = "io.modelcontextprotocol"
        about = {"name": "tester", "version": "1"}
        params["_meta"] = {
            f"{name}/protocolVersion": revision,
            f"{name}/clientInfo": about,
            f"{name}/clientCapabilities": {},
        }
    say(id=ident, method=method, params=params)
    while True:
        answer = json.loads(server.stdout.readline())
        if answer.get("id") == ident:
            assert "result" in answer, answer
            return answer["result"]


if not stateless:
    about = {"name": "tester", "version": "1"}
    first = ask(1, "initialize", protocolVersion=revision, capabilities={}, clientInfo=about)
    say(method="notifications/initialized")
    revision = first["protocolVersion"]
result = ask(2, "tools/call", name="forecast", arguments={"city": "Oslo"})
assert result["content"][0]["text"] == "sunny in Oslo"
print(revision, flush=True)
server.stdin.close()
server.wait()

"""Runs the vendors' SDKs against a local server and keeps their traffic as HAR.

    python3 -m venv /tmp/sdks
    /tmp/sdks/bin/pip install anthropic openai google-genai boto3 ollama cohere mistralai groq
    /tmp/sdks/bin/python tests/golden/providers/sdk/record.py

The requests are the SDKs' own; the answers are written by hand in the formats that the vendors
document, and the SDK has to accept them. The expected values stand beside the answers: they are not
made by the code that they test.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
_SECRET_HEADERS = {
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "api-key",
    "x-amz-security-token",
}
_BEGIN = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Scenario:
    """One call of an SDK, what the server answers, and what we expect to read."""

    name: str
    # The host that the SDK would have talked to.
    host: str
    # Gets the base URL of the local server; may raise where the answer is an error.
    run: Callable[[str], object]
    answer: Any
    expected: dict[str, Any] | None
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    fails: bool = False


def sse(events: list[Any], *, named: bool = False, done: bool = False) -> str:
    """Server-sent events; `named` puts each event's type into its event field."""
    blocks = [
        (f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n"
        for event in events
    ]
    return "".join([*blocks, "data: [DONE]\n\n" if done else ""])


class _Server(ThreadingHTTPServer):
    scenario: Scenario
    seen: list[dict[str, Any]]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        scenario = self.server.scenario
        self.server.seen.append(
            {"path": self.path, "headers": list(self.headers.items()), "body": body}
        )
        answer = answer_bytes(scenario)
        self.send_response(scenario.status)
        self.send_header("content-type", scenario.content_type)
        for name, value in scenario.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def answer_bytes(scenario: Scenario) -> bytes:
    answer = scenario.answer
    if isinstance(answer, bytes):
        return answer
    return (answer if isinstance(answer, str) else json.dumps(answer)).encode()


@contextmanager
def _serving() -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _entry(scenario: Scenario, seen: dict[str, Any], number: int) -> dict[str, Any]:
    headers = [
        {"name": name, "value": "(removed)" if name.lower() in _SECRET_HEADERS else value}
        for name, value in seen["headers"]
        if name.lower() not in {"host", "content-length"}
    ]
    return {
        "startedDateTime": (_BEGIN + timedelta(seconds=10 * number)).isoformat(),
        "time": 2500.5,
        "request": {
            "method": "POST",
            "url": f"https://{scenario.host}{seen['path']}",
            "httpVersion": "HTTP/1.1",
            "headers": headers,
            "queryString": [],
            "cookies": [],
            "headersSize": -1,
            "bodySize": len(seen["body"]),
            "postData": {"mimeType": "application/json", "text": seen["body"].decode()},
        },
        "response": {
            "status": scenario.status,
            "statusText": "",
            "httpVersion": "HTTP/1.1",
            "headers": [
                {"name": "content-type", "value": scenario.content_type},
                *({"name": name, "value": value} for name, value in scenario.headers.items()),
            ],
            "cookies": [],
            "content": _content(scenario),
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": -1,
        },
        "cache": {},
        "timings": {
            "blocked": -1,
            "dns": 0.5,
            "connect": 10,
            "send": 1,
            "wait": 489,
            "receive": 2000,
        },
        "comment": scenario.name,
    }


def _content(scenario: Scenario) -> dict[str, Any]:
    answer = answer_bytes(scenario)
    content = {"size": len(answer), "mimeType": scenario.content_type}
    if scenario.content_type == "application/vnd.amazon.eventstream":
        return {**content, "text": base64.b64encode(answer).decode(), "encoding": "base64"}
    return {**content, "text": answer.decode()}


def record(family: str, scenarios: list[Scenario]) -> None:
    """Run the scenarios of one family; write {family}.har and {family}.expected.json."""
    entries, expected = [], []
    with _serving() as server:
        base = f"http://127.0.0.1:{server.server_port}"
        for number, scenario in enumerate(scenarios):
            server.scenario, server.seen = scenario, []
            try:
                scenario.run(base)
            except Exception as error:
                # Every SDK has its own errors; `fails` says whether one is due.
                if not scenario.fails:
                    raise RuntimeError(scenario.name) from error
            assert len(server.seen) == 1, (scenario.name, len(server.seen))
            entries.append(_entry(scenario, server.seen[0], number))
            expected.append({"name": scenario.name, "expected": scenario.expected})
    creator = {"name": "agentsight tests", "version": "1"}
    har = {"log": {"version": "1.2", "creator": creator, "entries": entries}}
    for name, document in ((f"{family}.har", har), (f"{family}.expected.json", expected)):
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        (HERE.parent / name).write_text(text)


def main() -> None:
    import scenarios_anthropic
    import scenarios_aws
    import scenarios_google
    import scenarios_openai
    import scenarios_others

    for module in (
        scenarios_anthropic,
        scenarios_aws,
        scenarios_google,
        scenarios_openai,
        scenarios_others,
    ):
        for family, scenarios in module.FAMILIES.items():
            record(family, scenarios)
            print(f"{family}: {len(scenarios)}")


if __name__ == "__main__":
    main()

"""Credentials do not leave: one canary a rule, cut at every place, in every kind of message."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_agent.redact.rules import FAMILIES, Scanner
from agentsight_core.parsers.messages import (
    BodyPart,
    ExchangeFinished,
    Headers,
    HttpMessage,
    RequestStarted,
    ResponseStarted,
)
from agentsight_core.pb import events_pb2 as pb

KEY = b"a key of this test"


def fake(alphabet: str, size: int) -> str:
    """Return characters that look like a key and are none."""
    return "".join(alphabet[(7 * n + 3) % len(alphabet)] for n in range(size))


LETTERS = "A1b2C3d4E5f6G7h8J9"
CAPITALS = "AB12CD34EF56"
# (rule, text around, credential): put together here, so that no scanner takes this file for a leak.
CANARIES = [
    ("anthropic-key", "{}", "sk-" + "ant-api03-" + fake(LETTERS, 40)),
    ("openai-key", "{}", "sk-" + "proj-" + fake(LETTERS, 48)),
    ("openai-key", "the key:\n{}", "sk-" + fake(LETTERS, 48)),
    ("llm-vendor-key", "{}", "gsk" + "_" + fake(LETTERS, 52)),
    ("google-key", "{}", "AI" + "za" + fake(LETTERS, 35)),
    ("google-oauth", "{}", "ya" + "29." + fake(LETTERS, 40)),
    ("aws-access-key", "{}", "AK" + "IA" + fake(CAPITALS, 16)),
    ("aws-secret-key", "aws_secret_access_key = {}", fake(LETTERS + "/+", 40)),
    ("github-token", "{}", "gh" + "p_" + fake(LETTERS, 36)),
    ("github-token", "{}", "github" + "_pat_" + fake(LETTERS, 60)),
    ("gitlab-token", "{}", "gl" + "pat-" + fake(LETTERS, 20)),
    ("slack-token", "{}", "xo" + "xb-" + fake("123456", 12) + "-" + fake(LETTERS, 24)),
    ("slack-webhook", "https://hooks.slack.com/services/{}", "T1/B2/" + fake(LETTERS, 24)),
    ("stripe-key", "{}", "sk" + "_live_" + fake(LETTERS, 24)),
    ("huggingface-token", "{}", "hf" + "_" + fake(LETTERS, 34)),
    ("package-token", "{}", "npm" + "_" + fake(LETTERS, 36)),
    ("sendgrid-key", "{}", "SG" + "." + fake(LETTERS, 22) + "." + fake(LETTERS, 43)),
    ("jwt", "{}", "ey" + "J" + ".".join(fake(LETTERS, n) for n in (30, 90, 43))),
    (
        "private-key",
        "{}",
        f"-----BEGIN RSA {'PRIVATE'} KEY-----\n"
        + "\n".join(fake(LETTERS, 64) for _ in range(4))
        + f"\n-----END RSA {'PRIVATE'} KEY-----",
    ),
    ("url-password", "postgresql://me:{}@db.example/x", "s3cr!t-" + fake(LETTERS, 6)),
    ("authorization", "Authorization: Bearer {}", fake(LETTERS, 30)),
    ("assigned-secret", "export OPENAI_API_KEY={}", fake(LETTERS, 20)),
    ("assigned-secret", "password: '{}'", "correct horse battery"),
    ("assigned-secret", 'client_secret = "{}"', fake("abcdefgh", 20)),
    ("assigned-secret", "user=me&password={}", "letmeinplease"),
    ("assigned-secret", "db_password: {}", "hunter2hunter2"),
]
RULE_NAMES = {rule.name for family in FAMILIES for rule in family.rules}
SHARED = Scanner()


def redactor(mode: CaptureMode = CaptureMode.REDACTED) -> Redactor:
    return Redactor(mode, KEY, SHARED)


def end(exchange: int = 0) -> ExchangeFinished:
    return ExchangeFinished(
        exchange=exchange,
        time_ns=9,
        outcome=pb.HTTP_OUTCOME_COMPLETE,
        error="",
        request_bytes=0,
        response_bytes=0,
        lost_bytes=0,
        request_truncated=False,
        response_truncated=False,
        request_end_ns=0,
    )


def body(data: bytes, offsets: Sequence[int] = (0,), times: Sequence[int] = (1,)) -> BodyPart:
    return BodyPart(0, pb.DIRECTION_RESPONSE, data, tuple(offsets), tuple(times))


def run(one: Redactor, *parts: bytes) -> bytes:
    """Return what is left of a body that comes in `parts`."""
    out: list[HttpMessage] = []
    for part in parts:
        out += one.message("c", body(part))
    out += one.message("c", end())
    assert one.held_bytes == 0
    return b"".join(m.data for m in out if isinstance(m, BodyPart))


def test_every_rule_has_a_canary() -> None:
    assert {rule for rule, _, _ in CANARIES} == RULE_NAMES


def documents(around: str, secret: str) -> list[bytes]:
    """Return texts that hold the secret: plain, JSON, JSON within JSON, an event stream."""
    text = "before it " + around.format(secret) + " and after it"
    inner = json.dumps({"a": text})
    return [
        text.encode(),
        inner.encode(),
        json.dumps({"arguments": inner, "n": 1}).encode(),
        b"event: delta\ndata: " + inner.encode() + b"\n\ndata: next\n\n",
    ]


def alive(secret: str, out: bytes) -> bool:
    """Whether any 12 bytes of the credential itself got through."""
    lines = [line for line in secret.replace("/", "\n").split("\n") if "KEY-----" not in line]
    return any(
        line[n : n + 12].encode() in out for line in lines for n in range(max(len(line) - 11, 1))
    )


@pytest.mark.parametrize(("rule", "around", "secret"), CANARIES)
def test_canary_cut_at_every_place(rule: str, around: str, secret: str) -> None:
    for document in documents(around, secret):
        assert alive(secret, document.replace(b"\\\\n", b"\n").replace(b"\\n", b"\n"))
        whole = run(redactor(), document)
        assert not alive(secret, whole), whole
        assert b"<redacted:" in whole
        for place in range(1, len(document)):
            assert run(redactor(), document[:place], document[place:]) == whole
        single = run(redactor(), *(document[n : n + 1] for n in range(len(document))))
        assert single == whole


@pytest.mark.parametrize(("rule", "around", "secret"), CANARIES)
def test_canary_behind_much_text(rule: str, around: str, secret: str) -> None:
    filler = b'{"text": "' + b"so it goes, and so on; " * 2000
    document = filler + documents(around, secret)[2] + b"x" * 20_000
    one = redactor()
    parts = [document[n : n + 1000] for n in range(0, len(document), 1000)]
    assert not alive(secret, run(one, *parts))
    assert one.redactions.keys() <= RULE_NAMES
    assert one.redactions


@pytest.mark.parametrize("rule", sorted(RULE_NAMES))
def test_rules_are_told_apart(rule: str) -> None:
    for name, around, secret in CANARIES:
        if name == rule:
            one = redactor()
            run(one, around.format(secret).encode())
            assert rule in one.redactions


CLEAN = [
    b'{"model": "gpt-x", "max_tokens": 1000, "usage": {"prompt_tokens": 12}}',
    b'{"logprobs": [{"token": " risk-averse", "bytes": [1, 2]}]}',
    b"a task-oriented disk-encryption-configuration-of-the-machine, basic understanding",
    b'{"id": "chatcmpl-ABC123", "call": "call_abc123DEF456", "signature": "EqQBCkYIBxgC"}',
    b'password = os.environ["PASSWORD"]; key = getpass()',
    b'{"properties": {"password": {"type": "string"}, "api_key": {"type": "string"}}}',
    b"https://example.com/a:b/c?d=e@f http://[::1]:8080/",
    bytes(range(256)) * 40,
]


@pytest.mark.parametrize("text", CLEAN)
def test_clean_text_is_left_alone(text: bytes) -> None:
    one = redactor()
    assert run(one, text) == text
    assert run(one, *(text[n : n + 3] for n in range(0, len(text), 3))) == text
    assert one.redactions == {}


def test_redacting_twice_changes_nothing() -> None:
    for _, around, secret in CANARIES:
        for document in documents(around, secret):
            once = run(redactor(), document)
            assert run(redactor(), once) == once


def test_json_stays_json() -> None:
    for _, around, secret in CANARIES:
        for document in documents(around, secret)[1:3]:
            json.loads(run(redactor(), document))


def test_event_streams_are_not_held_back() -> None:
    (out,) = redactor().message("c", body(b'data: {"text": "hello"}\n\n'))
    assert isinstance(out, BodyPart)
    assert out.data.endswith(b"\n\n")


def test_times_of_what_was_held_and_replaced() -> None:
    secret = CANARIES[0][2].encode()
    text = b"one " + secret + b" two\n"
    at = text.index(b" two")
    one = redactor()
    first = one.message("c", body(text[:20], (0, 10), (1, 2)))
    (out,) = one.message("c", body(text[20:], (0, at - 20), (3, 4)))
    assert first == []
    assert isinstance(out, BodyPart)
    assert out.data.startswith(b"one <redacted:anthropic-key:")
    assert out.offsets[0] == 0
    assert out.times_ns[0] == 1
    assert (out.offsets[-1], out.times_ns[-1]) == (out.data.index(b" two"), 4)
    assert list(out.offsets) == sorted(set(out.offsets))


def test_the_same_credential_has_the_same_hash_everywhere() -> None:
    secret = CANARIES[0][2]
    one = redactor()
    (head,) = one.message("c", request([("authorization", f"Bearer {secret}")]))
    assert isinstance(head, RequestStarted)
    in_body = run(one, f"key {secret}".encode()).decode()
    in_header = head.headers[0][1]
    assert in_header.startswith("<redacted:authorization:")
    assert in_header[-9:] == in_body[-9:]
    other = Redactor(CaptureMode.REDACTED, b"another key", SHARED)
    assert run(other, f"key {secret}".encode()).decode()[-9:] != in_body[-9:]


def test_a_credential_without_an_end_is_dropped_as_it_comes() -> None:
    one = redactor()
    token = ("ey" + "J" + fake(LETTERS, 50) + ".").encode() * 2 + b"a1" * 50_000
    parts = [token[n : n + 5000] for n in range(0, len(token), 5000)]
    out = run(one, *parts, b'" and more')
    assert len(out) < 200
    assert out.endswith(b'>" and more')


def test_held_bytes_stay_bounded() -> None:
    one = redactor()
    for _ in range(100):
        one.message("c", body(b"QUJD" * 2000))
        assert one.held_bytes <= 16 * 1024 + 8000


def request(headers: Sequence[tuple[str, str]], target: str = "/") -> RequestStarted:
    return RequestStarted(0, 1, "POST", target, "1.1", tuple(headers))


def redacted_headers(one: Redactor, *headers: tuple[str, str]) -> Headers:
    (message,) = one.message("c", ResponseStarted(0, 1, 200, headers))
    assert isinstance(message, ResponseStarted)
    return message.headers


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "x-amz-security-token",
        "x-vault-token",
        "x-client-secret",
        "x-auth-token",
    ],
)
def test_credential_headers(name: str) -> None:
    ((kept, value),) = redacted_headers(redactor(), (name, "anything at all"))
    assert kept == name
    assert value.startswith(f"<redacted:{name}:")


def test_other_headers_are_kept_and_scanned() -> None:
    secret = CANARIES[0][2]
    headers = (
        ("content-type", "application/json"),
        ("anthropic-ratelimit-tokens-remaining", "1000"),
        ("x-ratelimit-limit-tokens", "5"),
        ("idempotency-key", "abc"),
        ("x-note", f"my {secret} here"),
    )
    out = redacted_headers(redactor(), *headers)
    assert out[:4] == headers[:4]
    assert secret not in out[4][1]
    assert out[4][1].startswith("my <redacted:anthropic-key:")


@pytest.mark.parametrize(
    "target",
    [
        "/v1beta/models/m:generateContent?alt=sse&key={}",
        "/cb?code={}&state=1",
        "/f?X-Amz-Signature={}",
        "https://me:{}@api.example/v1",
    ],
)
def test_targets(target: str) -> None:
    secret = fake(LETTERS, 30)
    (message,) = redactor().message("c", request([], target.format(secret)))
    assert isinstance(message, RequestStarted)
    before, _, after = target.partition("{}")
    assert message.target.startswith(before + "<redacted:")
    assert message.target.endswith(">" + after)


def test_plain_target_is_kept() -> None:
    (message,) = redactor().message("c", request([], "/v1/messages?beta=true"))
    assert isinstance(message, RequestStarted)
    assert message.target == "/v1/messages?beta=true"


def test_mode_none_says_nothing() -> None:
    one = redactor(CaptureMode.NONE)
    assert one.message("c", request([])) == []
    assert one.message("c", body(b"abc")) == []
    assert one.message("c", end()) == []
    assert one.dropped_bytes == {"mode": 3}


def test_mode_metadata_keeps_no_content() -> None:
    one = redactor(CaptureMode.METADATA)
    (head,) = one.message("c", request([("host", "h"), ("x-note", "n")], "/x?q=words"))
    assert isinstance(head, RequestStarted)
    assert (head.target, head.headers) == ("/x", (("host", "h"),))
    assert one.message("c", body(b"abc")) == []
    assert one.message("c", end()) == [end()]
    assert one.dropped_bytes == {"mode": 3}


def test_mode_full_changes_nothing() -> None:
    one = redactor(CaptureMode.FULL)
    message = request([("authorization", "Bearer x")])
    assert one.message("c", message) == [message]
    assert one.message("c", body(b"password=letmein")) == [body(b"password=letmein")]
    assert one.argv(["--token", "abc"]) == ["--token", "abc"]


class BrokenScanner(Scanner):
    """Fails on text that holds the word."""

    def scan(self, data: bytes) -> list[object]:  # type: ignore[override]
        if b"boom" in data:
            raise RuntimeError("boom")
        return []

    def is_suspicious(self, data: bytes) -> bool:
        return b"boom" in data


def test_a_failing_redactor_lets_no_content_out() -> None:
    one = Redactor(CaptureMode.REDACTED, KEY, BrokenScanner())
    kept = one.message("c", body(b"fine\n"))
    assert kept == [body(b"fine\n")]
    assert one.message("c", body(b"held ")) == []
    assert one.message("c", body(b"boom")) == []
    assert one.message("c", body(b"later\n")) == []
    (finished,) = one.message("c", end())
    assert isinstance(finished, ExchangeFinished)
    assert finished.response_truncated
    assert not finished.request_truncated
    assert finished.error == "the redaction of a body failed"
    assert one.dropped_bytes == {"failed": 15}
    (head,) = one.message("c", request([("x", "boom"), ("y", "1")], "/boom"))
    assert isinstance(head, RequestStarted)
    assert (head.target, head.headers) == ("<dropped>", (("x", "<dropped>"), ("y", "<dropped>")))
    assert one.argv(["echo", "boom"]) == ["<dropped>", "<dropped>"]
    assert one.failures == 4


@pytest.mark.parametrize(
    ("argv", "kept"),
    [
        (["tool", "--api-key", "SECRET", "x"], ["tool", "--api-key", None, "x"]),
        (["tool", "--openai-api-key=SECRET"], ["tool", "--openai-api-key="]),
        (["tool", "--token", "SECRET"], ["tool", "--token", None]),
        (["mysql", "--password=SECRET", "db"], ["mysql", "--password=", "db"]),
        (["curl", "-u", "me:SECRET", "http://h"], ["curl", "-u", "me:", "http://h"]),
        (["curl", "-H", "X-Api-Key: SECRET"], ["curl", "-H", "X-Api-Key: "]),
        (["curl", "-H", "Authorization: Bearer SECRET"], ["curl", "-H", "Authorization: "]),
        (["sh", "-c", "DB_PASSWORD=SECRET run"], ["sh", "-c", "DB_PASSWORD="]),
    ],
)
def test_argv(argv: list[str], kept: list[str | None]) -> None:
    out = redactor().argv(argv)
    assert len(out) == len(argv)
    for was, now, expected in zip(argv, out, kept, strict=True):
        assert "SECRET" not in now
        if expected is None or was != expected:
            assert now.startswith((expected or "") + "<redacted:")
        else:
            assert now == expected


def test_argv_that_is_no_utf8() -> None:
    argument = b"/tmp/\xff".decode("utf-8", "surrogateescape")
    assert redactor().argv(["ls", argument]) == ["ls", argument]

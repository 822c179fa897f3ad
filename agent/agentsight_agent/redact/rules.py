"""What a credential looks like in text: linear-time patterns (RE2), in families behind a search.

The formats are those that the vendors document for their keys. Must not replace anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import re2

_DIGITS = b"0123456789"
# Where a word may begin: also behind an escape of JSON or of a URL, which ends with a letter.
_START = rb"(?:\b|\\[nrtbf]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2})"
_PEM_BEGIN = rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----"
_PEM_END = rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----"
_PEM_CHARACTER = rb"[A-Za-z0-9+/=\s\\:,.-]"
# Names that are followed by a credential, with any prefix ("OPENAI_API_KEY", "db_password").
CREDENTIAL_NAME = (
    rb"(?:api[_-]?key|api[_-]?token|access[_-]?key(?:[_-]?id)?|access[_-]?token|auth[_-]?token"
    rb"|refresh[_-]?token|session[_-]?token|security[_-]?token|bot[_-]?token|github[_-]?token"
    rb"|gitlab[_-]?token|hf[_-]?token|npm[_-]?token|slack[_-]?token|client[_-]?secret"
    rb"|secret[_-]?(?:access[_-]?)?key|secret|private[_-]?key|passw(?:or)?d|pwd|passphrase)"
)
_ASSIGNED = CREDENTIAL_NAME + rb"""(?:\\*["'])?[ \t]{0,4}[:=][ \t]{0,4}"""
_BARE = rb"""[^\s"'\\,;&<>(){}\[\]$`|]"""
# Values that begin with "<" are replacements or placeholders.
_QUOTED = rb"""(?:[^"'\\\r\n<]|\\[^\r\n])(?:[^"'\\\r\n]|\\[^\r\n]){3,}"""


# What the redactor writes instead of a credential.
_HASH_DIGITS = 8
_REPLACEMENT_BYTES = 128
REPLACEMENT = re.compile(rb"<redacted:[a-z0-9_.-]{1,100}:[0-9a-f]{8}>")


class Span(msgspec.Struct, frozen=True, gc=False):
    """A credential from `start` to `end`, found by `rule`."""

    start: int
    end: int
    rule: str


# The binding of RE2 has no types.
Pattern = Any


def compile_pattern(pattern: bytes) -> Pattern:
    """Return a compiled RE2 pattern over bytes in any encoding."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    return re2.compile(pattern, options)


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of credential; group 1 of `pattern` is what has to go."""

    name: str
    pattern: bytes
    # Words without a digit are prose, not keys.
    needs_digit: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """Rules that are tried only in text in which `search` finds something.

    `search` must find something wherever one of the rules does.
    """

    search: bytes
    rules: tuple[Rule, ...]


_TOKENS = (
    Rule("anthropic-key", rb"(sk-ant-[A-Za-z0-9_-]{16,})"),
    Rule("openai-key", _START + rb"(sk-[A-Za-z0-9_-]{32,})", needs_digit=True),
    Rule(
        "llm-vendor-key",
        _START + rb"((?:gsk_|xai-|pplx-|r8_|nvapi-|fw_|csk-|tvly-)[A-Za-z0-9_-]{24,})",
        needs_digit=True,
    ),
    Rule("google-key", rb"(AIza[A-Za-z0-9_-]{35,})"),
    Rule("google-oauth", rb"(ya29\.[A-Za-z0-9_.-]{20,})"),
    Rule("aws-access-key", rb"((?:AKIA|ASIA)[A-Z0-9]{16,})"),
    Rule("github-token", rb"(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{36,})"),
    Rule("gitlab-token", rb"(glpat-[A-Za-z0-9_.-]{20,})"),
    Rule("slack-token", rb"((?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,})"),
    Rule("slack-webhook", rb"hooks\.slack\.com\\?/services\\?/([A-Za-z0-9/\\]{20,})"),
    Rule(
        "stripe-key",
        rb"((?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{24,})",
    ),
    Rule("huggingface-token", _START + rb"(hf_[A-Za-z0-9]{30,})"),
    Rule("package-token", rb"(npm_[A-Za-z0-9]{36,}|pypi-[A-Za-z0-9_-]{50,})"),
    Rule("sendgrid-key", rb"(SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})"),
    Rule("jwt", _START + rb"(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})"),
    Rule(
        "private-key",
        b"(%b%b*?%b|%b%b*)" % (_PEM_BEGIN, _PEM_CHARACTER, _PEM_END, _PEM_BEGIN, _PEM_CHARACTER),
    ),
)
_TOKENS_SEARCH = (
    rb"(?:sk-|gsk_|xai-|pplx-|r8_|nvapi-|fw_|csk-|tvly-|AIza|ya29\.|AKIA|ASIA|gh[pousr]_"
    rb"|github_pat_|glpat-|xox[abeoprs]-|xapp-|[sr]k_live_|[sr]k_test_|whsec_|hf_|npm_|pypi-|SG\."
    rb"|eyJ)[A-Za-z0-9_.+/-]{10}|hooks\.slack\.com|-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY"
)
_URL_USER = rb"""://[^/\s@"'\\]{3,}@"""
FAMILIES = (
    Family(_TOKENS_SEARCH, _TOKENS),
    Family(
        rb"(?i:secret_?access_?key|(?:bearer|basic)(?:[ \t]|%20|\+))|" + _URL_USER,
        (
            Rule(
                "aws-secret-key",
                rb"(?i)secret_?access_?key[^A-Za-z0-9/+]{1,8}([A-Za-z0-9/+=]{40,})",
            ),
            Rule("url-password", rb"""://[^/\s:@"'\\]{0,64}:([^/\s:@"'\\<][^/\s:@"'\\]{2,127})@"""),
            Rule(
                "authorization",
                rb"(?i)(?:bearer|basic)(?:[ \t]+|%20|\+)([A-Za-z0-9._~+/=-]{16,})",
                needs_digit=True,
            ),
        ),
    ),
    Family(
        b"(?i)" + _ASSIGNED,
        (
            Rule("assigned-secret", b"(?i)" + _ASSIGNED + b"[\"'](%b)" % _QUOTED),
            Rule(
                "assigned-secret",
                b"(?i)" + _ASSIGNED + rb"""\\+["']([^"'\\\r\n<][^"'\\\r\n]{3,})""",
            ),
            Rule("assigned-secret", b"(?i)" + _ASSIGNED + b"(%b{6,})" % _BARE, needs_digit=True),
            Rule("assigned-secret", rb"(?i)(?:passw(?:or)?d|pwd)=(%b{4,})" % _BARE),
        ),
    ),
)


class Scanner:
    """All families, compiled once."""

    def __init__(self, families: tuple[Family, ...] = FAMILIES) -> None:
        # Nearly all text has nothing of any family: one look at it has to do.
        self._suspicious = compile_pattern(b"|".join(b"(?:%b)" % one.search for one in families))
        self._families = [
            (
                compile_pattern(family.search),
                [(rule, compile_pattern(rule.pattern)) for rule in family.rules],
            )
            for family in families
        ]

    def is_suspicious(self, data: bytes) -> bool:
        """Say whether there may be a credential in `data`."""
        return self._suspicious.search(data) is not None

    def scan(self, data: bytes) -> list[Span]:
        """Return the credentials in `data`, ascending; what overlaps is one."""
        if not self.is_suspicious(data):
            return []
        found = sorted(self._matches(data), key=lambda span: (span.start, -span.end))
        spans: list[Span] = []
        for span in found:
            if spans and span.start < spans[-1].end:
                if span.end > spans[-1].end:
                    spans[-1] = Span(spans[-1].start, span.end, spans[-1].rule)
            else:
                spans.append(span)
        return spans

    def _matches(self, data: bytes) -> Iterator[Span]:
        for search, rules in self._families:
            if not search.search(data):
                continue
            for rule, pattern in rules:
                for match in pattern.finditer(data):
                    start, end = match.span(1)
                    if rule.needs_digit and match[1].translate(None, _DIGITS) == match[1]:
                        continue
                    if not _is_replaced(data, start, end):
                        yield Span(start, end, rule.name)


def _is_replaced(data: bytes, start: int, end: int) -> bool:
    """Whether the bytes are the hash of a replacement ("…secret:0123abcd>" looks assigned)."""
    if end - start != _HASH_DIGITS or data[end : end + 1] != b">":
        return False
    begin = data.rfind(b"<", max(start - _REPLACEMENT_BYTES, 0), start)
    return begin >= 0 and REPLACEMENT.fullmatch(data, begin, end + 1) is not None

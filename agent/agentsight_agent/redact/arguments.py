"""Credentials in command lines: the value of a flag, a header, or anything that looks like a key.

Must not change how many arguments there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from agentsight_agent.redact.headers import is_credential
from agentsight_agent.redact.rules import CREDENTIAL_NAME, compile_pattern

# The next argument is a credential; curl and wget take "user:password" after some flags.
_SECRET_FLAG = re.compile(
    rb"-{1,2}(?:[a-z0-9]+[-_])*(?:%b|token|pass)" % CREDENTIAL_NAME, re.IGNORECASE
)
_USER_FLAGS = frozenset({"-u", "--user", "-U", "--proxy-user"})
_ASSIGNED_FLAG = re.compile(r"(-{1,2}[A-Za-z0-9_-]+)=(.+)", re.DOTALL)
_HEADER = re.compile(r"([A-Za-z0-9-]+):[ \t]*(.+)", re.DOTALL)

# A part of all that the patterns above and `is_credential` look for.
_SUSPICIOUS = compile_pattern(
    rb"(?i)key|token|secret|pass|pwd|auth|cookie|credential|signature"
    rb"|(?:^|\n)(?:-u|--user|--proxy-user)(?:\n|$)"
)

Redact = Callable[[str, str], str]


def is_suspicious(lines: bytes) -> bool:
    """Say whether a command line, an argument a line, may have a credential for what it is called.

    Nearly all have none: one look at it spares several at each argument.
    """
    return _SUSPICIOUS.search(lines) is not None


def redact_arguments(argv: Sequence[str], secret: Redact, text: Callable[[str], str]) -> list[str]:
    """Return `argv` with credentials replaced.

    `secret(rule, value)` gives what stands for a value, `text` redacts what looks like a key.
    """
    out: list[str] = []
    before = ""
    for argument in argv:
        out.append(_argument(argument, before, secret, text))
        before = argument
    return out


def _argument(argument: str, before: str, secret: Redact, text: Callable[[str], str]) -> str:
    if _is_secret_flag(before) and not _is_secret_flag(argument):
        return secret("argument", argument)
    if before in _USER_FLAGS and ":" in argument:
        user, _, password = argument.partition(":")
        return f"{user}:{secret('argument', password)}"
    flag = _ASSIGNED_FLAG.fullmatch(argument)
    if flag and _is_secret_flag(flag[1]):
        return f"{flag[1]}={secret('argument', flag[2])}"
    header = _HEADER.fullmatch(argument)
    if header and is_credential(header[1].lower()):
        return f"{header[1]}: {secret(header[1].lower(), header[2])}"
    return text(argument)


def _is_secret_flag(argument: str) -> bool:
    return _SECRET_FLAG.fullmatch(argument.encode("utf-8", "surrogateescape")) is not None

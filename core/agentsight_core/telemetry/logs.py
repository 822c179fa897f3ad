"""Logging set-up: one line a record, for a person or as JSON, on stderr.

Must not let captured content out: bytes and protobuf messages among the arguments of a record are
shown as their size. Code that logs passes names, counts and reasons, never bodies or headers.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TextIO

from google.protobuf.message import Message

LogFormat = Literal["human", "json"]

# Libraries that log each request at INFO: an exporter sends many a second.
_TALKATIVE = ("httpx", "httpx2", "httpcore", "httpcore2")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged and how."""

    # DEBUG, INFO, WARNING, ERROR
    level: str = "INFO"
    format: LogFormat = "human"


def configure_logging(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send the records of all loggers to `stream` (default stderr), replacing earlier set-ups.

    Raises ValueError when the level is unknown.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonFormatter() if settings.format == "json" else _HumanFormatter())
    handler.addFilter(_hide_content)
    root = logging.getLogger()
    root.setLevel(settings.level)
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


def _hide_content(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(_without_content(value) for value in record.args)
    elif record.args:
        record.args = {key: _without_content(value) for key, value in record.args.items()}
    return True


def _without_content(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Message):
        return f"<{value.DESCRIPTOR.name}, {value.ByteSize()} bytes>"
    return value


class _HumanFormatter(logging.Formatter):
    """`12:03:44.512 WARNING agentsight_core.spool: 3 frames …`; tracebacks follow, indented."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        text = _printable(record.getMessage())
        line = f"{time[11:23]} {record.levelname:<7} {record.name}: {text}"
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            line += "".join(f"\n  | {_printable(row)}" for row in trace.splitlines())
        return line


class _JsonFormatter(logging.Formatter):
    """One object a record: time (RFC 3339, UTC), level, logger, message, and traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def _printable(text: str) -> str:
    """Return `text` with control characters escaped: a log line cannot forge another."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )

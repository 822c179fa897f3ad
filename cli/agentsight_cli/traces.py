"""Traces of other systems' tracers, for `replay`: through the agent's pipeline, redaction included.

Must not know the formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from agentsight_agent.backends.traces.formats import FORMATS, TraceFormat, find_format
from agentsight_agent.backends.traces.replaying import TraceReplay
from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_core.errors import ConfigError
from agentsight_core.ids import digest
from agentsight_core.pb import events_pb2 as pb

_CHUNK_BYTES = 256 * 1024


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        ...


def trace_format(name: str | None, head: bytes) -> TraceFormat | None:
    """Return the format called `name`, or else what a file with this `head` is; None: no trace."""
    return FORMATS[name] if name else find_format(head)


def read_trace(
    form: TraceFormat, head: bytes, rest: Readable, place: str, root_pid: int | None
) -> Iterator[pb.Event]:
    """Yield the events of a trace that begins with `head`.

    Raises ConfigError at the end if no process in it has begun a session.
    """
    # Equal credentials get equal names, and every replay the same ones.
    key = digest("replay", head, size=32)
    redactor = Redactor(CaptureMode.REDACTED, key)
    replay = TraceReplay(form.reader(root_pid), head, redactor, form.name)
    yield from replay.events(_chunks(head, rest))
    if not replay.sessions:
        who = "no agent known by name" if root_pid is None else f"no program executed by {root_pid}"
        raise ConfigError(
            f"{place}: {who} in this trace: `--root PID` names the process that begins the session"
        )


def _chunks(head: bytes, rest: Readable) -> Iterator[bytes]:
    yield head
    while chunk := rest.read(_CHUNK_BYTES):
        yield chunk

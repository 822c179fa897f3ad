"""The formats of traces, by name, and how one is recognized.

Must not read traces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.abc import Traversable
from importlib.resources import files

from agentsight_agent.backends.dtrace.reader import DtraceReader, looks_like_dtrace
from agentsight_agent.backends.etw.reader import EtwReader, looks_like_etw
from agentsight_agent.backends.traces.reader import MakeReader


@dataclass(frozen=True, slots=True)
class TraceFormat:
    """One format."""

    name: str
    # Given the first bytes of a file.
    looks_like: Callable[[bytes], bool]
    reader: MakeReader
    # What is run on the other system.
    script: Traversable


_BACKENDS = files("agentsight_agent.backends")
FORMATS = {
    "dtrace": TraceFormat(
        "dtrace", looks_like_dtrace, DtraceReader, _BACKENDS / "dtrace" / "agentsight.d"
    ),
    "etw": TraceFormat("etw", looks_like_etw, EtwReader, _BACKENDS / "etw" / "agentsight-etw.ps1"),
}


def find_format(head: bytes) -> TraceFormat | None:
    """Return the format of a file that begins with `head`, None if it is no trace."""
    return next((form for form in FORMATS.values() if form.looks_like(head)), None)

"""Opens what `replay` reads and finds out what it is.

Our recordings, HAR, upstream JSON lines, traces of DTrace and ETW.

Must not interpret events.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from agentsight_core.errors import ConfigError
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.recordings.frames import is_recording, read_recording
from agentsight_core.recordings.har import read_har
from agentsight_core.recordings.records import FILE_MAGIC, Damage
from agentsight_core.recordings.upstream import looks_like_upstream, read_upstream

from agentsight_cli.traces import read_trace, trace_format

STDIN = "-"

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HEAD_BYTES = 64 * 1024
_ALLOWED = (
    "allowed: a recording of `agentsight record`, HAR 1.2, JSON lines of AgentSight, "
    "the output of agentsight.d (dtrace), XML of tracerpt (etw)"
)


@dataclass(frozen=True, slots=True)
class ReadAs:
    """What the user says about files; by default they tell by themselves."""

    # "dtrace" or "etw": a trace in that format.
    trace_format: str | None = None
    # The process that begins the session of a trace.
    root_pid: int | None = None


BY_ITSELF = ReadAs()


def read_events(name: str, damage: Damage, read_as: ReadAs = BY_ITSELF) -> Iterator[pb.Event]:
    """Yield the events of the file `name` (`-` is stdin), plain or gzipped.

    Stretches that had to be skipped are counted in `damage`. Raises ConfigError for what is no
    recording of a known kind; events that were yielded before stay valid.
    """
    place = "stdin" if name == STDIN else name
    try:
        with _opened(name) as stream:
            yield from _events(stream, place, damage, read_as)
    except OSError as error:
        # gzip.BadGzipFile is an OSError without strerror.
        raise ConfigError(f"{place}: cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise ConfigError(f"{place}: the gzip data is damaged: {error}") from error


def _events(
    stream: io.BufferedReader, place: str, damage: Damage, read_as: ReadAs = BY_ITSELF
) -> Iterator[pb.Event]:
    zipped = stream.peek(2)[:2] == _GZIP_MAGIC
    if read_as.trace_format is None and is_recording(_head(stream.peek(), zipped=zipped)):
        # Its reader unzips by itself, and copes with a file that was cut.
        for _, events in read_recording(stream, damage):
            yield from events
        return
    content = gzip.GzipFile(fileobj=stream) if zipped else stream
    head = content.read(_HEAD_BYTES)
    if form := trace_format(read_as.trace_format, head):
        yield from read_trace(form, head, content, place, read_as.root_pid)
        return
    data = head + content.read()
    data = data.removeprefix(_BYTE_ORDER_MARK)
    if looks_like_upstream(data[:_HEAD_BYTES]):
        yield from read_upstream(data, source=place)
    elif data.lstrip()[:1] == b"{":
        yield from read_har(data, source=place)
    else:
        what = "is empty" if not data.strip() else f"begins with {data[:12]!r}"
        raise ConfigError(f"{place}: {what}; {_ALLOWED}")


@contextmanager
def _opened(name: str) -> Iterator[io.BufferedReader]:
    if name == STDIN:
        yield cast("io.BufferedReader", sys.stdin.buffer)
        return
    with Path(name).open("rb") as stream:
        yield stream


def _head(data: bytes, *, zipped: bool) -> bytes:
    """Return the first bytes of a file's content; `data` is what the file begins with."""
    if not zipped:
        return data[: len(FILE_MAGIC)]
    try:
        unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        return unzip.decompress(data, len(FILE_MAGIC))
    except zlib.error:
        return b""  # the reader of the whole says what is wrong

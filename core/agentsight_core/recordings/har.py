"""HAR 1.2, what browsers and proxies export, as events of the wire schema.

http://www.softwareishard.com/blog/har-12-spec/. One session per file, or per page of a browser's
recording. A HAR has no boot clock: boot times equal Unix times. Must not redact and must not read
files or clocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from agentsight_core import ids
from agentsight_core.errors import ConfigError
from agentsight_core.parsers.http_events import to_events
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.recordings.har_entries import Entry, MalformedEntryError, read_entry

# The stage of Lost events.
_STAGE = "har"


@dataclass(slots=True)
class _Span:
    """From the first to the last moment of a session."""

    first_ns: int
    last_ns: int
    agent_name: str


def looks_like_har(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a HAR: an object whose first key is log."""
    return b"".join(head[:256].split()).removeprefix(b"\xef\xbb\xbf").startswith(b'{"log":{')


def read_har(data: bytes, *, source: str) -> Iterator[pb.Event]:
    """Yield the events of a HAR in the order of their times.

    Raises ConfigError, which names `source` and the key, when `data` is no HAR. An entry that
    breaks the format becomes a Lost event and the others go on.
    """
    log = _decode_log(data, source)
    recording = ids.digest("har", data, size=16)
    timed: list[tuple[int, pb.Event]] = []
    sessions: dict[int, _Span] = {}
    losses: list[pb.Lost] = []
    browser = _name_of(log.get("browser"))
    for number, raw in enumerate(_entries(log, source), 1):
        place = f"log.entries[{number - 1}]"
        try:
            entry = read_entry(raw)
        except MalformedEntryError as error:
            losses.append(_lost(f"malformed entry: {error}", 1, place))
            continue
        session = _session_id(recording, entry.page)
        _extend(sessions, session, entry, browser)
        timed += _entry_events(entry, session, number)
        losses += [_lost(reason, count, place) for reason, count in entry.losses]
    yield from _in_order(sessions, timed, losses)


def _decode_log(data: bytes, source: str) -> dict[str, object]:
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = _decode_leniently(data, source)
    log = document.get("log") if isinstance(document, dict) else None
    if not isinstance(log, dict):
        raise ConfigError(f"{source}: log: a HAR is a JSON object with the object `log`")
    return log


def _decode_leniently(data: bytes, source: str) -> object:
    """Take what real exporters write: a byte order mark, lone surrogates, invalid UTF-8."""
    try:
        return json.loads(data.decode("utf-8-sig", "replace"), strict=False)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not JSON: {error}") from error


def _entries(log: dict[str, object], source: str) -> list[object]:
    entries = log.get("entries")
    if not isinstance(entries, list):
        raise ConfigError(f"{source}: log.entries: an array of entries is needed")
    return entries


def _name_of(value: object) -> str:
    name = value.get("name") if isinstance(value, dict) else None
    return name if isinstance(name, str) else ""


def _session_id(recording: bytes, page: str) -> int:
    return int.from_bytes(ids.digest("har session", recording, page, size=8), "big") or 1


def _extend(sessions: dict[int, _Span], session: int, entry: Entry, browser: str) -> None:
    name = entry.agent_name or browser or "har"
    span = sessions.setdefault(session, _Span(entry.start_ns, entry.end_ns, name))
    if entry.start_ns < span.first_ns:
        span.first_ns, span.agent_name = entry.start_ns, name
    span.last_ns = max(span.last_ns, entry.end_ns)


def _entry_events(entry: Entry, session: int, number: int) -> list[tuple[int, pb.Event]]:
    """Return the events of an entry: each is a connection of its own, which never overlap."""
    origin = entry.origin(connection=number, session=session)
    return [
        (event.wall_ns, event) for message in entry.messages for event in to_events(message, origin)
    ]


def _in_order(
    sessions: dict[int, _Span],
    timed: list[tuple[int, pb.Event]],
    losses: list[pb.Lost],
) -> Iterator[pb.Event]:
    """Yield sessions, exchanges and losses by time; equal times keep the order of the file."""
    first_ns = min((span.first_ns for span in sessions.values()), default=0)
    last_ns = max((span.last_ns for span in sessions.values()), default=0)
    for session, span in sorted(sessions.items(), key=lambda item: (item[1].first_ns, item[0])):
        started = pb.SessionStarted(
            origin=pb.SESSION_ORIGIN_IMPORT,
            agent_name=span.agent_name,
            root_start_boot_ns=span.first_ns,
        )
        yield pb.Event(boot_ns=first_ns, wall_ns=first_ns, session=session, session_started=started)
    for _, event in sorted(timed, key=lambda item: item[0]):
        yield event
    for lost in losses:
        yield pb.Event(boot_ns=last_ns, wall_ns=last_ns, lost=lost)
    for session in sorted(sessions):
        ended = pb.SessionEnded(watcher_stopped=True)
        yield pb.Event(boot_ns=last_ns, wall_ns=last_ns, session=session, session_ended=ended)


def _lost(reason: str, count: int, place: str) -> pb.Lost:
    return pb.Lost(stage=_STAGE, reason=reason, count=count, unit="records", place=place)

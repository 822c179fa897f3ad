"""One Event element as plain values: who wrote it, when, on whose behalf, its fields.

http://schemas.microsoft.com/win/2004/08/events/event. Pure. Must not know providers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as ET

_NAMESPACE = re.compile(r"^\{[^}]*\}")
_SYSTEM_TIME = re.compile(
    r"^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?\s*(Z|[+-]\d\d:?\d\d)?$"
)
_MAX_TICKS = 1 << 63


class MalformedEventError(ValueError):
    """A field that an event has to have is missing or no number."""


@dataclass(frozen=True, slots=True)
class EtwEvent:
    """An event; of classic providers (MOF) `guid` is that of the event, `name` its class."""

    guid: str
    # Of a provider with a manifest: the event's id; 0 of a classic one.
    ident: int
    opcode: int
    # RenderingInfo/EventName and /Opcode, as tracerpt adds them: "Process", "DCStart".
    name: str
    opcode_name: str
    # Unix time; None if the time is told in ticks.
    time_ns: int | None
    # Of the performance counter, with `tracerpt -rts`.
    ticks: int | None
    pid: int
    tid: int
    fields: Mapping[str, str]

    def number(self, name: str) -> int | None:
        """Return a field as a number, decimal or with 0x; None if it is none or not there."""
        return number(self.fields.get(name, ""))

    def needed(self, name: str) -> int:
        """Return a field as a number that is not negative; raises MalformedEventError."""
        value = self.number(name)
        if value is None or not 0 <= value < 1 << 64:
            raise MalformedEventError(name)
        return value

    def text(self, name: str) -> str:
        """Return a field as it is, "" if it is not there."""
        return self.fields.get(name, "")


def number(text: str) -> int | None:
    """Return a number as tracerpt writes it, padded or with 0x; None if it is none."""
    text = text.strip()
    try:
        if len(text) > 24:
            return None
        return int(text, 16) if text[:2].lower() == "0x" else int(text)
    except ValueError:
        return None


def read_event(element: str) -> EtwEvent | None:
    """Return the event of an element; None if it is malformed or has no time."""
    try:
        # Cut out by its tags it has no DOCTYPE, so no entities of its own.
        root = ET.fromstring(element)  # noqa: S314
    except (ET.ParseError, ValueError):
        return None
    parts = {_plain(part.tag): part for part in root}
    system = {_plain(item.tag): item for item in parts.get("System", ())}
    rendering = {_plain(item.tag): _content(item) for item in parts.get("RenderingInfo", ())}
    tracing = {_plain(item.tag): _content(item) for item in parts.get("ExtendedTracingInfo", ())}
    created = _attributes(system, "TimeCreated")
    time_ns, ticks = unix_ns(created.get("SystemTime", "")), number(created.get("RawTime", ""))
    if time_ns is None and (ticks is None or not 0 <= ticks < _MAX_TICKS):
        return None
    execution = _attributes(system, "Execution")
    guid = tracing.get("EventGuid") or _attributes(system, "Provider").get("Guid", "")
    return EtwEvent(
        guid=guid.strip("{} ").lower(),
        ident=_of(system, "EventID"),
        opcode=_of(system, "Opcode"),
        name=rendering.get("EventName", ""),
        opcode_name=rendering.get("Opcode", ""),
        time_ns=time_ns,
        ticks=ticks,
        pid=number(execution.get("ProcessID", "")) or 0,
        tid=number(execution.get("ThreadID", "")) or 0,
        fields={item.get("Name", ""): _content(item) for item in parts.get("EventData", ())},
    )


def unix_ns(text: str) -> int | None:
    """Return an ISO 8601 time with up to nine digits of a second as Unix time; None if it is none.

    Without a zone it is UTC.
    """
    found = _SYSTEM_TIME.match(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        return None
    seconds = _days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    zone = found[8]
    if zone and zone != "Z":
        offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        seconds += offset if zone[0] == "-" else -offset
    nanoseconds = int((found[7] or "").ljust(9, "0"))
    unix = seconds * 1_000_000_000 + nanoseconds
    return unix if 0 <= unix < 1 << 63 else None


def _days(year: int, month: int, day: int) -> int:
    """Return days since 1970-01-01 in the Gregorian calendar."""
    year -= month <= 2
    since_march = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + since_march - 719_468


def _plain(tag: str) -> str:
    return _NAMESPACE.sub("", tag)


def _content(item: ET.Element) -> str:
    return "".join(item.itertext())


def _attributes(system: Mapping[str, ET.Element], name: str) -> Mapping[str, str]:
    item = system.get(name)
    return item.attrib if item is not None else {}


def _of(system: Mapping[str, ET.Element], name: str) -> int:
    item = system.get(name)
    return (number(item.text or "") or 0) if item is not None else 0

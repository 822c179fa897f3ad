"""What the header of a Windows trace tells: how much was lost, and what its ticks are.

Pure. https://learn.microsoft.com/windows/win32/etw/eventtrace-header
"""

from __future__ import annotations

from agentsight_agent.backends.etw.events import EtwEvent, MalformedEventError

HEADER_GUID = "68fdd900-4a3e-11d1-84f4-0000f80464e3"
# RT_LostEvent: told by a session that is read while it runs.
GUIDS_OF_LOST_EVENTS = frozenset({"6a399ae0-4bc6-4de9-870b-3657f8947e7e"})
# 100 ns since 1601-01-01 that 1970-01-01 was.
_UNIX_EPOCH = 116_444_736_000_000_000
_SECOND_NS = 1_000_000_000
_LOST = {"EventsLost": "events lost by ETW", "BuffersLost": "buffers lost by ETW"}


class TraceClock:
    """Turns the time of an event into Unix time."""

    def __init__(self) -> None:
        # Unix time of the begin, ticks then, and how many there are in a second.
        self._begin: tuple[int, int, int] | None = None

    def take_header(self, event: EtwEvent) -> dict[str, int]:
        """Take a header, of which each file has one; return what was lost, by reason."""
        start, frequency = event.number("StartTime"), event.number("PerfFreq")
        if event.ticks is not None and start and frequency and frequency > 0:
            self._begin = (filetime_ns(start), event.ticks, frequency)
        counts = {reason: event.number(name) or 0 for name, reason in _LOST.items()}
        return {reason: count for reason, count in counts.items() if 0 < count < 1 << 63}

    def unix_ns(self, event: EtwEvent) -> int:
        """Return when an event was; raises MalformedEventError when nothing tells."""
        time_ns = event.time_ns
        if time_ns is None and event.ticks is not None and self._begin is not None:
            begin_ns, ticks, frequency = self._begin
            time_ns = begin_ns + (event.ticks - ticks) * _SECOND_NS // frequency
        if time_ns is None or not 0 <= time_ns < 1 << 63:
            raise MalformedEventError("TimeCreated")
        return time_ns


def filetime_ns(filetime: int) -> int:
    """Return a FILETIME, 100 ns since 1601, as Unix time."""
    return (filetime - _UNIX_EPOCH) * 100

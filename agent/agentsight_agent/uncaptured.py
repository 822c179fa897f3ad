"""Says of which processes TLS is not seen: as a metric, and as events of their sessions.

Must not find them: see `tls`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from agentsight_core.pb import events_pb2 as pb
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentsight_agent.process_events import process_event
from agentsight_agent.tls.unread import UnreadProcess

_STAGE = "tls"
_UNIT = "processes"
_HOOKED_LATE = "hooked_late"


class UncapturedCollector(Collector):
    """The gauge agentsight_uncaptured_processes, by reason."""

    def __init__(self, unread: Callable[[], Sequence[UnreadProcess]]) -> None:
        self._unread = unread

    def collect(self) -> Iterator[Metric]:
        """Yield the number of processes for each reason."""
        family = GaugeMetricFamily(
            "agentsight_uncaptured_processes",
            "Running processes that have TLS which is not seen, by reason.",
            labels=("reason",),
        )
        counts = Counter(process.reason.value for process in self._unread())
        for reason, count in sorted(counts.items()):
            family.add_metric((reason,), count)
        yield family


def unread_event(
    process: UnreadProcess, session: int, boot_ns: int, wall_offset_ns: int
) -> pb.Event:
    """Tell of a process of `session` whose TLS is not seen."""
    lost = pb.Lost(reason=process.reason.value, place=str(process))
    return _event(lost, session, process.pid, boot_ns, wall_offset_ns)


def late_event(pid: int, session: int, boot_ns: int, wall_offset_ns: int) -> pb.Event:
    """Tell of a process of `session` that was connected before its TLS library was hooked."""
    place = f"process {pid}: it had connections when its TLS library was found"
    lost = pb.Lost(reason=_HOOKED_LATE, place=place)
    return _event(lost, session, pid, boot_ns, wall_offset_ns)


def _event(lost: pb.Lost, session: int, pid: int, boot_ns: int, wall_offset_ns: int) -> pb.Event:
    lost.stage, lost.unit, lost.count, lost.first_boot_ns = _STAGE, _UNIT, 1, boot_ns
    event = process_event(boot_ns, wall_offset_ns, session, pid)
    event.lost.CopyFrom(lost)
    return event

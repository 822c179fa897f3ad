"""Tells when limits begin to leave something of a session out, and when that has ended.

The kernel side leaves out and counts; this keeps the account. Must not decide what is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from agentsight_core.pb import events_pb2 as pb
from agentsight_core.telemetry.ledger import Stage

from agentsight_agent.bpf.limits import Rate
from agentsight_agent.process_events import process_event
from agentsight_agent.sessions.session import Session

# Names of the kernel side's classes to those of the configuration.
CLASSES = {"file": "files", "net": "network", "tls": "tls", "stdio": "stdio"}


class LimitingKernel(Protocol):
    """What applies limits: `agentsight_agent.bpf.kernel.Kernel`."""

    #: Limits that leave nothing out for so long have ended.
    quiet_ns: int
    #: True since limits were set for the first time.
    has_limits: bool

    def rate(self, session: int, name: str) -> Rate:
        """Return what was decided for a class of a session."""
        ...

    def forget_rates(self, session: int) -> None:
        """Remove what is known of a session that has ended."""
        ...


@dataclass(slots=True)
class _Told:
    """What is in the ledger of a class of a session, and what its open episode began with."""

    rate: Rate
    # None: nothing is left out now.
    before: Rate | None = None


class LimitAccount:
    """All sessions of which something was decided."""

    def __init__(self, kernel: LimitingKernel, stage: Stage) -> None:
        """`stage` counts decisions: what is recorded, and what is left out and why."""
        self._kernel = kernel
        self._stage = stage
        self._told: dict[tuple[int, str], _Told] = {}
        self.wall_offset_ns = 0

    def sweep(self, sessions: Iterable[Session], boot_ns: int) -> list[pb.Event]:
        """Return what has begun or ended since; call it every second."""
        if not self._kernel.has_limits:
            return []
        return [event for one in sessions for event in self._look(one, boot_ns, is_last=False)]

    def close(self, session: Session, boot_ns: int) -> list[pb.Event]:
        """Return the ends of what is open in a session that ends now."""
        if not self._kernel.has_limits:
            return []
        events = self._look(session, boot_ns, is_last=True)
        for name in CLASSES:
            self._told.pop((session.id, name), None)
        self._kernel.forget_rates(session.id)
        return events

    def _look(self, session: Session, boot_ns: int, *, is_last: bool) -> list[pb.Event]:
        events: list[pb.Event] = []
        for name in CLASSES:
            now = self._kernel.rate(session.id, name)
            told = self._told.setdefault((session.id, name), _Told(Rate()))
            self._count(name, told.rate, now)
            if told.before is None and now.left_out > told.rate.left_out:
                told.before = told.rate
                events.append(self._event(session, name, now.since_boot_ns, None, now))
            quiet = boot_ns - now.last_boot_ns > self._kernel.quiet_ns
            if told.before is not None and (quiet or is_last):
                events.append(self._event(session, name, now.last_boot_ns, told.before, now))
                told.before = None
            told.rate = now
        return events

    def _count(self, name: str, before: Rate, now: Rate) -> None:
        taken = now.taken - before.taken
        self._stage.received += taken + now.left_out - before.left_out
        self._stage.emitted += taken
        left_out = {
            "rate": now.over_rate - before.over_rate,
            "sampled": now.not_sampled - before.not_sampled,
        }
        for reason, count in left_out.items():
            if count:
                self._stage.filter(f"{CLASSES[name]}: {reason}", count)

    def _event(
        self, session: Session, name: str, boot_ns: int, before: Rate | None, now: Rate
    ) -> pb.Event:
        """Return the end of an episode that began with `before`; None: its beginning."""
        limited = pb.CaptureLimited(limit=CLASSES[name], since_boot_ns=now.since_boot_ns)
        if before is not None:
            limited.ended = True
            limited.over_rate = now.over_rate - before.over_rate
            limited.not_sampled = now.not_sampled - before.not_sampled
        event = process_event(boot_ns, self.wall_offset_ns, session.id, session.root_pid)
        event.capture_limited.CopyFrom(limited)
        return event

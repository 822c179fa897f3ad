"""The account of plaintext: how much came, was understood, was not wanted, was lost, and why.

Must not decide what is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agentsight_core.parsers.accounts import UNWANTED_BODY
from agentsight_core.parsers.conversation import Conversation
from agentsight_core.telemetry.ledger import Ledger

from agentsight_agent.bpf.counters import ClassCounters
from agentsight_agent.hosts import UNWANTED_HOST

NOT_WATCHED = "program is not watched"
SERVER_SIDE = "server side"
_NOT_HTTP = "not HTTP: "
# Content of an HTTP/2 stream that one side has reset: the client throws it away too.
_CLOSED_STREAM = "closed_stream"
# What ends here on purpose.
_UNWANTED = frozenset(
    {
        NOT_WATCHED,
        SERVER_SIDE,
        UNWANTED_BODY,
        UNWANTED_HOST,
        _CLOSED_STREAM,
        f"{_NOT_HTTP}unknown protocol",
    }
)


@dataclass(slots=True)
class Settled:
    """How much of a parser's accounts is in the ledger already."""

    parsed_bytes: int = 0
    held_bytes: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


class TrafficAccount:
    """Stage "tls" of the ledger, in bytes."""

    def __init__(self, ledger: Ledger) -> None:
        self._stage = ledger.stage("tls", "bytes")

    def receive(self, count: int) -> None:
        """Count bytes that the kernel side gave."""
        self._stage.received += count

    def leave_unread(self, reason: str, count: int, *, in_session: bool) -> None:
        """Count bytes of which nothing came out: lost if a session said them, unless on purpose."""
        if in_session and reason not in _UNWANTED:
            self._stage.drop(reason, count)
        else:
            self._stage.filter(reason, count)

    def settle(self, http: Conversation, settled: Settled, *, in_session: bool) -> None:
        """Bring what the parser of a connection has counted since into the ledger."""
        self._stage.emitted += http.bytes_parsed - settled.parsed_bytes
        settled.parsed_bytes = http.bytes_parsed
        for reason, total in http.skipped.items():
            new = total - settled.skipped.get(reason, 0)
            if new:
                settled.skipped[reason] = total
                self.leave_unread(not_http(http) or reason, new, in_session=in_session)
        self._stage.held += http.held_bytes - settled.held_bytes
        settled.held_bytes = http.held_bytes

    def lose_in_kernel(self, kernel: ClassCounters) -> None:
        """Take over how much plaintext the kernel side could not give; totals since load.

        Runs tell of it too, but not of what was lost right before a process ended.
        """
        totals = {
            "ring_full": kernel.ring_full_bytes,
            "read_fault": kernel.read_fault_bytes,
            "call_limit": kernel.truncated_bytes,
        }
        for reason, total in totals.items():
            new = total - self._stage.dropped.get(reason, 0)
            if new:
                self._stage.received += new
                self._stage.drop(reason, new)


def not_http(http: Conversation) -> str:
    """Return the reason for which a connection cannot be read, or "" if it can."""
    return f"{_NOT_HTTP}{http.not_http_reason}" if http.not_http_reason else ""

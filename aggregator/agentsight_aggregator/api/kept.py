"""Findings as the bus keeps them: opened, parsed and filtered.

Must not wait for anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentsight_core import ids
from agentsight_core.bus.connection import Bus, StoredMessage
from agentsight_core.errors import ConfigError, Permanent
from agentsight_core.pb import api_pb2 as api
from agentsight_core.pb.findings_pb2 import Finding
from google.protobuf.message import DecodeError

KINDS = tuple(field.name for field in Finding.DESCRIPTOR.oneofs_by_name["body"].fields)


def finding_of(bus: Bus, message: StoredMessage) -> Finding:
    """Return the finding in `message` of FINDINGS or of the bucket of sessions.

    Raises CannotOpen when it is sealed for a key that is not here.
    """
    try:
        return Finding.FromString(bus.content(message))
    except DecodeError as error:
        text = f"message {message.sequence} on {message.subject} is no finding"
        raise Permanent(text) from error


def partition_of(message: StoredMessage) -> int:
    """Return the partition that `message` of FINDINGS belongs to."""
    return int(message.subject.split(".")[1])


@dataclass(frozen=True, slots=True)
class FindingsFilter:
    """Which findings are asked for."""

    session: str
    kinds: frozenset[str]
    since_ns: int
    until_ns: int

    @classmethod
    def of(cls, wanted: api.FindingsFilter) -> FindingsFilter:
        """Check a filter; raises ConfigError, saying what is allowed."""
        if unknown := sorted(set(wanted.kinds) - set(KINDS)):
            raise ConfigError(f"kind {unknown[0]!r} is unknown; allowed: {', '.join(KINDS)}")
        if wanted.until_ns and wanted.until_ns <= wanted.since_ns:
            raise ConfigError("until_ns must be 0 or after since_ns")
        return cls(
            exact_session(wanted.session) if wanted.session else "",
            frozenset(wanted.kinds),
            wanted.since_ns,
            wanted.until_ns,
        )

    @property
    def subject(self) -> str:
        """The subjects on which everything asked for is; there may be more on them."""
        only_kind = next(iter(self.kinds)) if len(self.kinds) == 1 else "*"
        return f"findings.*.{self.session or '*'}.{only_kind}"

    def takes(self, finding: Finding) -> bool:
        """Whether a finding on the subject is asked for."""
        return (
            (not self.kinds or finding.WhichOneof("body") in self.kinds)
            and self.since_ns <= finding.time_ns
            and (not self.until_ns or finding.time_ns < self.until_ns)
        )


def exact_session(text: str) -> str:
    """Return the id of a session as subjects have it; raises ConfigError when it is none."""
    try:
        session = ids.parse_session(text) if len(text) == 16 else None
    except ValueError:
        session = None
    if session is None:
        raise ConfigError(f"session {text[:40]!r} is no id: it has 16 hexadecimal digits")
    return ids.session_text(session)

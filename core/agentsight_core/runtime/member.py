"""What a process of ours says of itself in its note on the bus.

Must not talk to the bus.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version

from agentsight_core.bus.members import ledger_stages
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.pb.api_pb2 import MemberStatus
from agentsight_core.telemetry.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Member:
    """One process; `kind` is "agent" or "aggregator"."""

    kind: str
    name: str
    ledger: Ledger
    started_ns: int = field(default_factory=time.time_ns)

    def status(self) -> MemberStatus:
        """Return its note as of now; the caller adds what only it knows."""
        return MemberStatus(
            kind=self.kind,
            name=self.name,
            version=_version(),
            started_ns=self.started_ns,
            time_ns=time.time_ns(),
            ledger=ledger_stages(self.ledger),
        )


def member_name(config: AgentSightConfig) -> str:
    """Return the name that the processes of this node go by."""
    return config.node.name or os.uname().nodename


@cache
def _version() -> str:
    return version("agentsight-cluster")

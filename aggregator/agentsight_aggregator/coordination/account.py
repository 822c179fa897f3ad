"""What happened to one member of a group since its start, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentsight_aggregator.coordination.group import Group


@dataclass(slots=True)
class CoordinationAccount:
    """Counts of one process, over all its memberships."""

    # Partitions that this member got: each with a new fence.
    assignments: int = 0
    # Those of them whose owner was no member any more.
    takeovers: int = 0
    # Requests that etcd did not answer as hoped, and leases that were lost.
    etcd_errors: int = 0
    _seen: dict[int, tuple[str, int]] = field(default_factory=dict)

    def see(self, group: Group, member: str) -> None:
        """Count what has come to `member` since the last call."""
        for partition, (owner, fence) in group.assignments.items():
            former, former_fence = self._seen.get(partition, ("", 0))
            if owner != member or (former, former_fence) == (owner, fence):
                continue
            self.assignments += 1
            if former not in ("", member) and former not in group.members:
                self.takeovers += 1
        self._seen = dict(group.assignments)

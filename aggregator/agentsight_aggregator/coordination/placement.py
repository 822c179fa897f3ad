"""Which member gets which partition: even shares, as few moves as can be.

Pure: the same partitions, members and owners give the same placement on any member.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from agentsight_core import ids


def place(partitions: int, members: Collection[str], owners: Mapping[int, str]) -> dict[int, str]:
    """Return the owner of each of the partitions 0…`partitions` - 1; empty without members.

    Shares differ by one at most. `owners` (partition to present owner, who need not be a member any
    more) are kept as far as their shares allow: a member that joins takes its share and nothing
    else moves, of one that leaves only its own partitions move. What moves goes where rendezvous
    hashing sends it (Thaler and Ravishankar, 1998), among members that have room.
    """
    if not members:
        return {}
    held: dict[str, list[int]] = {member: [] for member in sorted(members)}
    for partition in range(partitions):
        if (owner := owners.get(partition, "")) in held:
            held[owner].append(partition)
    room = _shares(partitions, held)
    placed: dict[int, str] = {}
    for member, mine in held.items():
        mine.sort(key=lambda partition: _weight(member, partition), reverse=True)  # sorted at once
        for partition in mine[: room[member]]:
            placed[partition] = member
        room[member] -= min(room[member], len(mine))
    for partition in range(partitions):
        if partition not in placed:
            free = [member for member in held if room[member]]
            chosen = max(free, key=lambda member: _weight(member, partition))  # taken at once
            placed[partition] = chosen
            room[chosen] -= 1
    return placed


def _shares(partitions: int, held: Mapping[str, Collection[int]]) -> dict[str, int]:
    """Return how many partitions each member gets; who holds most gets one of those left over."""
    share, left_over = divmod(partitions, len(held))
    by_load = sorted(held, key=lambda member: (-len(held[member]), member))
    return {member: share + (rank < left_over) for rank, member in enumerate(by_load)}


def _weight(member: str, partition: int) -> bytes:
    return ids.digest(member, partition, size=8)

"""Names that a session was given addresses for.

Must not judge for how long an answer is true: the last one counts.
"""

from __future__ import annotations

from agentsight_core.parsers.dns import parse_dns_answer

_MAX_NAMES = 4096


def take_answer(names: dict[str, str], message: bytes) -> int:
    """Add what a DNS message says to `names` (by address); return how many old ones had to go."""
    answer = parse_dns_answer(message)
    if answer is None:
        return 0
    for address in answer.addresses:
        # What is known anew is the newest.
        names.pop(address, None)
        names[address] = answer.name
    forgotten = max(len(names) - _MAX_NAMES, 0)
    for address in list(names)[:forgotten]:
        del names[address]
    return forgotten

"""Writing a new generation of the cluster's configuration, checked before anybody sees it.

For the command line and the API. Must not wait for the members to take it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agentsight_core.bus.generations import NOTHING_SET, Generation, GenerationLog, Outdated
from agentsight_core.config.live import problems_of_generation, with_value
from agentsight_core.errors import ConfigError


async def set_value(log: GenerationLog, key: str, value: object, author: str) -> Generation:
    """Set one key for all members; None takes it out, so that each node's own value counts.

    Raises ConfigError with all that is wrong, Outdated when somebody else was quicker.
    """
    last = await log.last()
    verb = "unset" if value is None else "set"
    values = with_value(last.values, key, value)
    return await apply_values(log, values, author, f"{verb} {key}", base=last.number)


async def apply_values(
    log: GenerationLog,
    values: Mapping[str, Any],
    author: str,
    note: str = "",
    *,
    base: int | None = None,
) -> Generation:
    """Replace all values of the cluster by `values` (nested sections).

    `base` is the generation that the values were made from, None whichever is the last. Raises
    ConfigError with all that is wrong, Outdated when `base` is not the last any more.
    """
    last = await log.last()
    if base is not None and base != last.number:
        raise Outdated(
            f"it was made from generation {base}, and {last.number} is the newest: look at that one"
        )
    number = last.number + 1
    if problems := problems_of_generation(values, f"generation {number}"):
        raise ConfigError("\n".join(problems))
    new = Generation(number, dict(values), time.time_ns(), author, note)
    await log.append(new)
    return new


async def roll_back(log: GenerationLog, number: int, author: str) -> Generation:
    """Make the values of generation `number` the newest again; 0 has nothing set.

    Raises ConfigError when it is not kept any more, or not valid for this version.
    """
    kept = {one.number: one for one in [NOTHING_SET, *await log.history()]}
    if number not in kept:
        known = ", ".join(str(one) for one in kept)
        raise ConfigError(f"there is no generation {number}; kept are {known}")
    return await apply_values(log, kept[number].values, author, f"rolled back to {number}")

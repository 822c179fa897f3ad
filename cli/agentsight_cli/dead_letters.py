"""`agentsight dlq`: dead letters of a running system."""

from __future__ import annotations

import datetime as dt
import sys

from agentsight_aggregator import deadletters
from agentsight_aggregator.deadletters import FiledLetter, Replay
from agentsight_core import wire
from agentsight_core.bus.failures import NotFound
from agentsight_core.config import AgentSightConfig
from agentsight_core.errors import CannotOpen, ConfigError, MalformedFrame
from agentsight_core.sealing import Opener
from google.protobuf.json_format import MessageToDict

from agentsight_cli import output, running
from agentsight_cli.text import NS_PER_SECOND, shown, size

_HEAD = ("number", "time", "stage", "attempts", "size", "error")
# Events of a letter that are shown to people; JSON has them all.
_SHOWN_EVENTS = 20


def run_list(config: AgentSightConfig, stage: str, *, as_json: bool) -> int:
    """Print the letters of `stage` ("" = all)."""
    letters = running.run(_list(config, stage))
    if as_json:
        for filed in letters:
            output.print_json(_plain(filed), sys.stdout)
    elif not letters:
        print("no dead letters", file=sys.stderr)
    else:
        output.print_table([_HEAD, *map(_row, letters)], sys.stdout)
    return 0


def run_show(config: AgentSightConfig, number: int, *, as_json: bool) -> int:
    """Print letter `number`."""
    filed = running.run(_show(config, number))
    keys = config.security.seal.frames_private_file
    facts, events = _plain(filed), _events(filed, Opener(keys) if keys else None)
    if as_json:
        output.print_json({**facts, "events": events}, sys.stdout)
        return 0
    for key, value in facts.items():
        print(f"{key:<9} {value}")
    for event in events[:_SHOWN_EVENTS]:
        print(f"event     {shown(event, 300)}")
    if len(events) > _SHOWN_EVENTS:
        print(f"          … {len(events) - _SHOWN_EVENTS} more events; --json shows all")
    return 0


def run_replay(config: AgentSightConfig, numbers: list[int]) -> int:
    """Send the letters (none = all) again; 1 if one could not be sent."""
    done = running.run(_replay(config, numbers))
    for number, what in done:
        print(f"{number}: {what.value}")
    return 0 if all(what is Replay.SENT for _, what in done) else 1


def run_purge(config: AgentSightConfig, stage: str) -> int:
    """Throw the letters of `stage` ("" = all) away."""
    print(f"{running.run(_purge(config, stage))} dead letters thrown away")
    return 0


async def _list(config: AgentSightConfig, stage: str) -> list[FiledLetter]:
    async with running.open_bus(config) as bus:
        return [filed async for filed in deadletters.list_letters(bus, stage)]


async def _show(config: AgentSightConfig, number: int) -> FiledLetter:
    async with running.open_bus(config) as bus:
        try:
            return await deadletters.show_letter(bus, number)
        except NotFound as error:
            raise _unknown(number) from error


async def _replay(config: AgentSightConfig, numbers: list[int]) -> list[tuple[int, Replay]]:
    async with running.open_bus(config) as bus:
        if not numbers:
            numbers = [filed.number async for filed in deadletters.list_letters(bus)]
        done = []
        for number in numbers:
            try:
                done.append((number, await deadletters.replay_letter(bus, number)))
            except NotFound as error:
                raise _unknown(number) from error
        return done


async def _purge(config: AgentSightConfig, stage: str) -> int:
    async with running.open_bus(config) as bus:
        return await deadletters.purge_letters(bus, stage)


def _unknown(number: int) -> ConfigError:
    return ConfigError(f"there is no dead letter {number}; `agentsight dlq ls` lists them")


def _row(filed: FiledLetter) -> tuple[str, ...]:
    letter = filed.letter
    return (
        str(filed.number),
        _time(letter.time_ns),
        letter.stage,
        str(letter.attempts),
        size(len(letter.data)),
        shown(letter.error, 100),
    )


def _plain(filed: FiledLetter) -> dict[str, object]:
    letter = filed.letter
    return {
        "number": filed.number,
        "time": _time(letter.time_ns),
        "stage": letter.stage,
        "error": letter.error,
        "attempts": letter.attempts,
        "partition": letter.partition,
        "subject": letter.subject,
        "sequence": letter.sequence,
        "bytes": len(letter.data),
        "is_cut": letter.is_cut,
    }


def _events(filed: FiledLetter, opener: Opener | None) -> list[dict[str, object]]:
    """Return the events in a letter as plain values; none if it cannot be read as a frame."""
    try:
        _, events = wire.decode_frame(filed.letter.data, opener)
    except (CannotOpen, MalformedFrame):
        return []
    return [MessageToDict(event, preserving_proto_field_name=True) for event in events]


def _time(time_ns: int) -> str:
    moment = dt.datetime.fromtimestamp(time_ns / NS_PER_SECOND, tz=dt.UTC)
    return moment.isoformat(timespec="seconds")

"""`agentsight dlq`: dead letters of a running system."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

from agentsight_core.bus.failures import NotFound
from agentsight_core.config import AgentSightConfig
from agentsight_core.errors import ConfigError, Permanent
from agentsight_core.pb import api_pb2
from agentsight_core.pb.api_pb2 import Letter
from agentsight_core.sealing import Opener

from agentsight_cli import output, running
from agentsight_cli.cluster_api import Api, open_api
from agentsight_cli.letter_frames import readable, repaired_frame
from agentsight_cli.text import NS_PER_SECOND, shown, size

_HEAD = ("number", "time", "stage", "attempts", "size", "error")
# Events of a letter that are shown to people; JSON has them all.
_SHOWN_EVENTS = 20


def run_list(config: AgentSightConfig, address: str, stage: str, *, as_json: bool) -> int:
    """Print the letters of `stage` ("" = all)."""
    letters = running.run(_list(config, address, stage))
    if as_json:
        for letter in letters:
            output.print_json(_plain(letter), sys.stdout)
    elif not letters:
        print("no dead letters", file=sys.stderr)
    else:
        output.print_table([_HEAD, *map(_row, letters)], sys.stdout)
    return 0


def run_show(config: AgentSightConfig, address: str, number: int, *, as_json: bool) -> int:
    """Print letter `number`."""
    letter = running.run(_show(config, address, number))
    keys = config.security.seal.frames_private_file
    facts = _plain(letter)
    header, events = readable(letter.data, Opener(keys) if keys else None)
    if as_json:
        output.print_json({**facts, "header": header, "events": events}, sys.stdout)
        return 0
    for key, value in facts.items():
        print(f"{key:<9} {value}")
    for event in events[:_SHOWN_EVENTS]:
        print(f"event     {shown(event, 300)}")
    if len(events) > _SHOWN_EVENTS:
        print(f"          … {len(events) - _SHOWN_EVENTS} more events; --json shows all")
    return 0


def run_replay(
    config: AgentSightConfig, address: str, numbers: list[int], repaired: Path | None = None
) -> int:
    """Send the letters (none = all), or what is in `repaired`, again; 1 if one was not sent."""
    frame = repaired_frame(repaired, config.security.seal) if repaired else b""
    done = running.run(_replay(config, address, numbers, frame))
    for number, problem in done:
        print(problem or f"dead letter {number}: sent again")
    return 1 if any(problem for _, problem in done) else 0


def run_purge(config: AgentSightConfig, address: str, stage: str) -> int:
    """Throw the letters of `stage` ("" = all) away."""
    print(f"{running.run(_purge(config, address, stage))} dead letters thrown away")
    return 0


async def _list(config: AgentSightConfig, address: str, stage: str) -> list[Letter]:
    async with open_api(config, address) as api:
        return await _letters(api, stage)


async def _letters(api: Api, stage: str = "") -> list[Letter]:
    pages = api.pages(api.letters.ListLetters, api_pb2.ListLettersRequest(stage=stage))
    return [letter async for page in pages for letter in page.letters]


async def _show(config: AgentSightConfig, address: str, number: int) -> Letter:
    async with open_api(config, address) as api:
        request = api_pb2.GetLetterRequest(number=number)
        try:
            return await api.ask(api.letters.GetLetter, request)
        except NotFound as error:
            raise _unknown(error) from error


async def _replay(
    config: AgentSightConfig, address: str, numbers: list[int], frame: bytes
) -> list[tuple[int, str]]:
    """Return for each letter why it was not sent again, "" if it was."""
    async with open_api(config, address) as api:
        if not numbers:
            numbers = [letter.number for letter in await _letters(api)]
        done = []
        for number in numbers:
            request = api_pb2.ReplayLetterRequest(number=number, frame=frame)
            try:
                await api.ask(api.letters.ReplayLetter, request)
                done.append((number, ""))
            except NotFound as error:
                raise _unknown(error) from error
            except Permanent as error:
                done.append((number, str(error)))
        return done


async def _purge(config: AgentSightConfig, address: str, stage: str) -> int:
    async with open_api(config, address) as api:
        request = api_pb2.PurgeLettersRequest(stage=stage)
        return int((await api.ask(api.letters.PurgeLetters, request)).purged)


def _unknown(error: NotFound) -> ConfigError:
    return ConfigError(f"{error}; `agentsight dlq ls` lists them")


def _row(letter: Letter) -> tuple[str, ...]:
    return (
        str(letter.number),
        _time(letter.time_ns),
        letter.stage,
        str(letter.attempts),
        size(letter.size_bytes),
        shown(letter.error, 100),
    )


def _plain(letter: Letter) -> dict[str, object]:
    return {
        "number": letter.number,
        "time": _time(letter.time_ns),
        "stage": letter.stage,
        "error": letter.error,
        "attempts": letter.attempts,
        "partition": letter.partition,
        "subject": letter.subject,
        "sequence": letter.sequence,
        "bytes": letter.size_bytes,
        "is_cut": letter.is_cut,
    }


def _time(time_ns: int) -> str:
    moment = dt.datetime.fromtimestamp(time_ns / NS_PER_SECOND, tz=dt.UTC)
    return moment.isoformat(timespec="seconds")

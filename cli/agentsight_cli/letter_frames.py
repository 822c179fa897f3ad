"""The frame in a dead letter, as people read it and as they give it back repaired.

Must not send anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from agentsight_core import wire
from agentsight_core.config.security import SealConfig
from agentsight_core.errors import CannotOpen, ConfigError, MalformedFrame
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.sealing import Opener, Sealer
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

Plain = dict[str, object]
Part = TypeVar("Part", bound=Message)


def readable(data: bytes, opener: Opener | None) -> tuple[Plain, list[Plain]]:
    """Return header and events of the frame `data` as plain values; empty where it is damaged."""
    try:
        header = wire.decode_header(data)
    except MalformedFrame:
        return {}, []
    try:
        _, events = wire.decode_frame(data, opener)
    except (CannotOpen, MalformedFrame):
        events = ()
    return _plain(header), [_plain(event) for event in events]


def repaired_frame(file: Path, seal: SealConfig) -> bytes:
    """Return the frame that `file` describes as `readable` does, sealed where frames are.

    Raises ConfigError that says what is wrong with it.
    """
    if seal.frames_private_file and not seal.frames_public_file:
        raise ConfigError(
            "security.seal.frames_public_file is not set here: a frame that was sealed is not sent "
            "readable"
        )
    header, events = _parts(file)
    header.event_count = len(events)
    sealer = Sealer(seal.frames_public_file) if seal.frames_public_file else None
    frame = wire.encode_frame(header, wire.encode_events(events), sealer)
    try:
        wire.decode_header(frame)
    except MalformedFrame as error:
        raise ConfigError(f"{file}: header: {error}") from error
    return frame


def _parts(file: Path) -> tuple[pb.FrameHeader, list[pb.Event]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{file}: is no JSON: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("events"), list):
        raise ConfigError(f"{file}: needs `header` and `events`, as `dlq show --json` prints them")
    header = _parsed(found.get("header"), pb.FrameHeader(), f"{file}: header")
    return header, list(_events(file, found["events"]))


def _events(file: Path, values: list[object]) -> Iterator[pb.Event]:
    for number, value in enumerate(values):
        yield _parsed(value, pb.Event(), f"{file}: events[{number}]")


def _parsed(value: object, into: Part, where: str) -> Part:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: must be a mapping")
    try:
        return ParseDict(value, into)
    except ParseError as error:
        raise ConfigError(f"{where}: {error}") from error


def _plain(message: Message) -> Plain:
    return MessageToDict(message, preserving_proto_field_name=True)

"""Frames: the one message format of bus, spool and recordings.

A frame is a header that can be read without touching the content, and a compressed batch of events.
"""

from __future__ import annotations

from collections.abc import Sequence

import zstandard
from google.protobuf.message import DecodeError

from agentsight_core.errors import MalformedFrame, UnknownKey
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.sealing import Opener, Sealer

# A batch is closed well below this; a larger one is a decompression bomb.
MAX_BATCH_BYTES = 64 * 1024 * 1024
_COMPRESSION_LEVEL = 1


def encode_frame(header: pb.FrameHeader, batch: bytes, sealer: Sealer | None = None) -> bytes:
    """Return a serialized frame, sealed if there is a `sealer`.

    `batch` is a serialized EventBatch. Protobuf messages concatenate, so it may be put together
    from batches that were encoded apart, by Python or by the drain in C.
    """
    body = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL).compress(batch)
    frame = pb.Frame(header=header, codec=pb.CODEC_ZSTD, body=body)
    if sealer is not None:
        frame.key_id, frame.body = sealer.seal(body, _bound(frame))
    return frame.SerializeToString()


def decode_header(data: bytes) -> pb.FrameHeader:
    """Return the header of a serialized frame; raise MalformedFrame if it is none."""
    return _decode_envelope(data).header


def decode_frame(
    data: bytes, opener: Opener | None = None
) -> tuple[pb.FrameHeader, Sequence[pb.Event]]:
    """Return header and events of a serialized frame.

    Raises MalformedFrame if it is none, CannotOpen if it is sealed and `opener` has not its key.
    """
    frame = _decode_envelope(data)
    if frame.key_id:
        frame.body = _opened(frame, opener)
    batch = pb.EventBatch()
    try:
        batch.ParseFromString(_decompress(frame))
    except DecodeError as error:
        raise MalformedFrame(f"the frame's body is no EventBatch: {error}") from error
    if len(batch.events) != frame.header.event_count:
        raise MalformedFrame(
            f"the header promises {frame.header.event_count} events, "
            f"the body holds {len(batch.events)}"
        )
    return frame.header, batch.events


def encode_events(events: Sequence[pb.Event]) -> bytes:
    """Return `events` as a serialized EventBatch."""
    return pb.EventBatch(events=events).SerializeToString()


def _decode_envelope(data: bytes) -> pb.Frame:
    frame = pb.Frame()
    try:
        frame.ParseFromString(data)
    except DecodeError as error:
        raise MalformedFrame(f"{len(data)} bytes are no frame: {error}") from error
    if not frame.header.agent_id or not frame.header.seq:
        raise MalformedFrame("the frame's header has no agent_id or no seq")
    return frame


def _opened(frame: pb.Frame, opener: Opener | None) -> bytes:
    if opener is None:
        raise UnknownKey(
            f"it is sealed for key {frame.key_id}, and no keys are configured here; see"
            " security.seal.frames_private_file"
        )
    return opener.open(frame.key_id, frame.body, _bound(frame))


def _bound(frame: pb.Frame) -> bytes:
    """Return what a sealed body belongs to: it cannot be put under another header.

    Fields are written in the order of their numbers, those of a later version last, so that both
    sides come to the same bytes.
    """
    return bytes([frame.codec]) + frame.header.SerializeToString(deterministic=True)


def _decompress(frame: pb.Frame) -> bytes:
    if frame.codec != pb.CODEC_ZSTD:
        raise MalformedFrame(f"codec {frame.codec} is unknown; known: {pb.CODEC_ZSTD} (zstd)")
    try:
        size = zstandard.frame_content_size(frame.body)
        if size > MAX_BATCH_BYTES:
            raise MalformedFrame(f"a batch of {size} bytes; allowed: {MAX_BATCH_BYTES}")
        return zstandard.ZstdDecompressor().decompress(
            frame.body, max_output_size=MAX_BATCH_BYTES if size < 0 else 0
        )
    except zstandard.ZstdError as error:
        raise MalformedFrame(f"the frame's body is not zstd: {error}") from error

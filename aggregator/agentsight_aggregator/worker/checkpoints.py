"""Checkpoints in the key-value bucket: one per partition, in pieces, replaced all at once.

A checkpoint only shortens the replay after a restart: a damaged one is refused and reported, and
the partition is folded from its beginning.

Must not know what the state means.
"""

from __future__ import annotations

import hashlib
import logging

import msgspec
import zstandard
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing, StoredMessage
from agentsight_core.bus.failures import SequenceConflict
from agentsight_core.errors import CannotOpen, Permanent, Retryable, UnknownKey

_log = logging.getLogger(__name__)

_VERSION = 1
_PIECE_BYTES = 512 << 10
# A decompression bomb cannot be written by us; damage could look like one.
_MAX_STATE_BYTES = 1 << 30
_READ_ATTEMPTS = 3
# A batch has 1,000 messages at most.
_MAX_PIECES = 990
_DELETED = {"KV-Operation": "DEL"}


class _Head(msgspec.Struct):
    version: int
    position: int
    pieces: int
    digest: bytes


class CheckpointTooLarge(Permanent):
    """The state does not fit into one atomic batch."""


class CheckpointStore:
    """The checkpoint of one partition."""

    def __init__(self, bus: Bus, partition: int) -> None:
        self._bus = bus
        self._stream = f"KV_{subjects.CHECKPOINTS}"
        self._prefix = f"$KV.{subjects.CHECKPOINTS}.p{partition:02d}"
        self._partition = partition
        self._revision = 0
        self._pieces = 0

    async def load(self) -> bytes | None:
        """Return the saved state; None if there is none, or none that is intact.

        Raises Retryable when it is sealed for a key that is not here (yet).
        """
        for _ in range(_READ_ATTEMPTS):
            found = await self._bus.last(self._stream, self._head_subject)
            if found is None:
                return None
            self._revision = found.sequence
            head = self._head(found)
            if head is None:
                break
            self._pieces = head.pieces
            state = await self._read(head)
            if state is not None:
                return state
        _log.error("the checkpoint of partition %d is damaged and not used", self._partition)
        return None

    async def position(self) -> int:
        """Return the place in EVENTS up to which the saved state has folded; 0 without one."""
        found = await self._bus.last(self._stream, self._head_subject)
        head = self._head(found) if found else None
        return head.position if head else 0

    async def save(self, state: bytes, position: int) -> None:
        """Replace the checkpoint.

        Raises SequenceConflict when another owner has saved one since `load`, CheckpointTooLarge.
        """
        data = zstandard.ZstdCompressor(level=1).compress(state)
        pieces = [data[at : at + _PIECE_BYTES] for at in range(0, len(data), _PIECE_BYTES)]
        if len(pieces) > _MAX_PIECES:
            raise CheckpointTooLarge(
                f"the state of partition {self._partition} has {len(data)} bytes; a checkpoint "
                f"takes {_MAX_PIECES * _PIECE_BYTES}"
            )
        head = _Head(_VERSION, position, len(pieces), _digest(data))
        surplus = range(len(pieces), self._pieces)
        messages = [
            Outgoing(self._head_subject, msgspec.msgpack.encode(head)),
            *(Outgoing(self._piece(n), piece) for n, piece in enumerate(pieces)),
            *(Outgoing(self._piece(n), b"", _DELETED) for n in surplus),
        ]
        await self._write(messages)
        self._pieces = len(pieces)

    async def _write(self, messages: list[Outgoing]) -> None:
        try:
            last = await self._bus.append(messages, self._head_subject, self._revision)
        except SequenceConflict:
            # Ours, if its answer was lost: then it is what is stored now.
            found = await self._bus.last(self._stream, self._head_subject)
            if found is None or self._opened(found) != messages[0].data:
                raise
            self._revision = found.sequence
        else:
            self._revision = last - len(messages) + 1

    async def _read(self, head: _Head) -> bytes | None:
        pieces = []
        for number in range(head.pieces):
            piece = await self._bus.last(self._stream, self._piece(number))
            pieces.append(self._opened(piece) if piece else b"")
        data = b"".join(pieces)
        # Another owner may have replaced it while it was read.
        if head.version != _VERSION or _digest(data) != head.digest:
            return None
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=_MAX_STATE_BYTES)

    def _head(self, message: StoredMessage) -> _Head | None:
        """Return the head in `message`; None if it is damaged, or was deleted by somebody."""
        try:
            return msgspec.msgpack.decode(self._opened(message), type=_Head)
        except msgspec.DecodeError:
            return None

    def _opened(self, message: StoredMessage) -> bytes:
        """Return the content of `message`, nothing if it was changed since it was sealed."""
        try:
            return self._bus.content(message)
        except UnknownKey as error:
            # To fold everything anew would be wrong: the old frames may be trimmed.
            raise Retryable(f"the checkpoint of partition {self._partition}: {error}") from error
        except CannotOpen:
            return b""

    @property
    def _head_subject(self) -> str:
        return f"{self._prefix}.head"

    def _piece(self, number: int) -> str:
        return f"{self._prefix}.{number:04d}"


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()

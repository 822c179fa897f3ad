"""Sealing: content that only its readers can open, whoever carries or stores it.

Frames are sealed on the node for the aggregators' public key: HPKE (RFC 9180) with X25519,
HKDF-SHA256 and ChaCha20-Poly1305. Findings and checkpoints are sealed for the group of aggregators
and readers by a shared key: AES-256-GCM-SIV (RFC 8452) with a random nonce. What is bound to a
sealed text (a frame's header, a subject) is not hidden, but cannot be exchanged.

Must not know where content goes.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from agentsight_core.errors import CannotOpen, ConfigError, UnknownKey

if TYPE_CHECKING:
    from agentsight_core.ciphers import PrivateCipher, PublicCipher, SharedCipher

_log = logging.getLogger(__name__)

FRAMES_PUBLIC = "agentsight-frames-public-v1"
FRAMES_PRIVATE = "agentsight-frames-private-v1"
GROUP = "agentsight-group-v1"

_KEY_BYTES = 32


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Key(Generic[T]):
    """One key, ready for use; its id tells nothing about it."""

    id: str
    cipher: T


class KeyFile(Generic[T]):
    """The keys in a file, one a line, newest first; the file is read again when it has changed."""

    def __init__(self, path: Path, kind: str, load: Callable[[bytes], tuple[bytes, T]]) -> None:
        """Read the file; raises ConfigError when it holds no keys of `kind`.

        `load` makes of a key what others may know of it, and what is used.
        """
        self._path = path
        self._kind = kind
        self._load = load
        self._seen: tuple[int, int, int] | None = None
        self._keys: tuple[Key[T], ...] = ()
        self._complaint = ""
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise ConfigError(f"the key file {path} cannot be used: {error}") from error

    def keys(self) -> tuple[Key[T], ...]:
        """Return the keys as they are in the file now, or as they were if it cannot be read."""
        try:
            self._read()
        except (OSError, ValueError) as error:
            if str(error) != self._complaint:
                _log.warning("the keys in use stay, %s cannot be used: %s", self._path, error)
            self._complaint = str(error)
        return self._keys

    def _read(self) -> None:
        found = self._path.stat()
        seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        if seen == self._seen:
            return
        # Also of a file that turns out to be broken: it is reported once.
        self._seen = seen
        lines = self._path.read_text().splitlines()
        keys = tuple(
            self._parsed(line) for line in lines if line.strip() and not line.startswith("#")
        )
        if not keys:
            raise ValueError(f"it has no line that begins with {self._kind}")
        self._keys = keys
        self._complaint = ""

    def _parsed(self, line: str) -> Key[T]:
        """Return the key of a line; the text of an error never shows it."""
        found, _, text = line.strip().partition(" ")
        if found != self._kind:
            raise ValueError(f"a line begins with {found[:40]!r}, wanted is {self._kind}")
        try:
            raw = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError("a key is not base64") from error
        if len(raw) != _KEY_BYTES:
            raise ValueError(f"a key has {len(raw)} bytes, wanted are {_KEY_BYTES}")
        known, cipher = self._load(raw)
        return Key(blake2b(known, digest_size=8, person=b"agentsight-key").hexdigest(), cipher)


class Sealer:
    """Seals frames for the public key that stands first in a file."""

    def __init__(self, path: Path) -> None:
        """Read the key; raises ConfigError."""
        self._file = KeyFile(path, FRAMES_PUBLIC, _public)

    def seal(self, text: bytes, bound: bytes) -> tuple[str, bytes]:
        """Return the id of the key and the sealed `text`, 48 bytes longer."""
        key = self._file.keys()[0]
        return key.id, key.cipher.seal(text, bound)


class Opener:
    """Opens what was sealed for any of the private keys in a file."""

    def __init__(self, path: Path) -> None:
        """Read the keys; raises ConfigError."""
        self._file = KeyFile(path, FRAMES_PRIVATE, _private)

    def open(self, key_id: str, sealed: bytes, bound: bytes) -> bytes:
        """Return the text; raises CannotOpen."""
        key = _find(self._file.keys(), key_id)
        return _opened(key, sealed, bound)


class GroupKeys:
    """Seals with the first of the shared keys in a file, opens with any of them."""

    def __init__(self, path: Path) -> None:
        """Read the keys; raises ConfigError."""
        self._file = KeyFile(path, GROUP, _shared)

    def seal(self, text: bytes, bound: bytes) -> tuple[str, bytes]:
        """Return the id of the key and the sealed `text`, 28 bytes longer."""
        key = self._file.keys()[0]
        return key.id, key.cipher.seal(text, bound)

    def open(self, key_id: str, sealed: bytes, bound: bytes) -> bytes:
        """Return the text; raises CannotOpen."""
        key = _find(self._file.keys(), key_id)
        return _opened(key, sealed, bound)


def new_frames_pair() -> tuple[str, str]:
    """Return the lines of a new private key and of its public key."""
    from agentsight_core.ciphers import (  # noqa: PLC0415  see _public
        PrivateCipher,
        new_private_key,
    )

    private = new_private_key()
    return _line(FRAMES_PRIVATE, private), _line(FRAMES_PUBLIC, PrivateCipher(private).public)


def new_group_key() -> str:
    """Return the line of a new shared key."""
    return _line(GROUP, os.urandom(_KEY_BYTES))


def _line(kind: str, raw: bytes) -> str:
    return f"{kind} {base64.b64encode(raw).decode()}\n"


def _public(raw: bytes) -> tuple[bytes, PublicCipher]:
    from agentsight_core.ciphers import PublicCipher  # noqa: PLC0415  8 MB that others do not need

    return raw, PublicCipher(raw)


def _private(raw: bytes) -> tuple[bytes, PrivateCipher]:
    from agentsight_core.ciphers import PrivateCipher  # noqa: PLC0415  see _public

    private = PrivateCipher(raw)
    return private.public, private


def _shared(raw: bytes) -> tuple[bytes, SharedCipher]:
    from agentsight_core.ciphers import SharedCipher  # noqa: PLC0415  see _public

    # Of a random key a hash tells nothing.
    return raw, SharedCipher(raw)


def _find(keys: tuple[Key[T], ...], key_id: str) -> Key[T]:
    for key in keys:
        if key.id == key_id:
            return key
    have = ", ".join(key.id for key in keys)
    raise UnknownKey(f"it is sealed for key {key_id}, which is not here; here are {have}")


def _opened(key: Key[PrivateCipher] | Key[SharedCipher], sealed: bytes, bound: bytes) -> bytes:
    try:
        return key.cipher.open(sealed, bound)
    except ValueError as error:
        raise CannotOpen(f"it was changed since it was sealed for key {key.id}") from error

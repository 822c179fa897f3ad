"""The ciphers of sealing: HPKE for frames, AES-256-GCM-SIV for what is shared.

Imported only by who has a key: the library below takes 8 MB. Must not read files.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_NONCE_BYTES = 12


class PublicCipher:
    """Seals for the holder of the private key; `raw` has 32 bytes."""

    def __init__(self, raw: bytes) -> None:
        self._key = X25519PublicKey.from_public_bytes(raw)

    def seal(self, text: bytes, bound: bytes) -> bytes:
        """Return the sealed `text`, 48 bytes longer."""
        return _SUITE.encrypt(text, self._key, info=bound)


class PrivateCipher:
    """Opens what was sealed for its public key; `raw` has 32 bytes."""

    def __init__(self, raw: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(raw)

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """Return the text; raises ValueError when it or what is bound to it was changed."""
        try:
            return _SUITE.decrypt(sealed, self._key, info=bound)
        except InvalidTag as error:
            raise ValueError("the tag is wrong") from error


class SharedCipher:
    """Seals and opens with one key; `raw` has 32 bytes."""

    def __init__(self, raw: bytes) -> None:
        self._key = AESGCMSIV(raw)

    def seal(self, text: bytes, bound: bytes) -> bytes:
        """Return the sealed `text`, 28 bytes longer."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._key.encrypt(nonce, text, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """Return the text; raises ValueError when it or what is bound to it was changed."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._key.decrypt(nonce, rest, bound)
        except InvalidTag as error:
            raise ValueError("the tag is wrong") from error


def new_private_key() -> bytes:
    """Return a new private key, 32 bytes."""
    return X25519PrivateKey.generate().private_bytes_raw()

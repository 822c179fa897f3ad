"""Identifiers: always hashes of what they name, so that every replica computes the same.

Must not use randomness, clocks or anything of the replica it runs on.
"""

from __future__ import annotations

import hashlib

Part = str | bytes | int


def digest(*parts: Part, size: int) -> bytes:
    """Return `size` bytes of BLAKE2b over the length-prefixed `parts`.

    The length prefixes make ("ab", "c") and ("a", "bc") different.
    """
    state = hashlib.blake2b(digest_size=size)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.digest()


def session_id(cluster: str, boot_id: str, root_pid: int, root_start_boot_ns: int) -> int:
    """Return the 64-bit id of the process tree that began with `root_pid`; never 0."""
    key = digest("session", cluster, boot_id, root_pid, root_start_boot_ns, size=8)
    return int.from_bytes(key, "big") or 1


def session_text(session: int) -> str:
    """Return the form of a session id that people read: 16 hexadecimal digits."""
    return f"{session:016x}"


def parse_session(text: str) -> int:
    """Return the session id that `text` (1 to 16 hexadecimal digits) stands for.

    Raises ValueError when it is not one.
    """
    if not 1 <= len(text) <= 16:
        raise ValueError(f"a session id has 1 to 16 hexadecimal digits, not {text!r}")
    return int(text, 16)

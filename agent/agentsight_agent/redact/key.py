"""The key of the redaction: it makes equal secrets recognizable as equal.

Must not redact.
"""

from __future__ import annotations

import secrets
from pathlib import Path

_KEY_BYTES = 32


def redaction_key(state_dir: Path) -> bytes:
    """Return the key of this node, made on first use; raises OSError."""
    path = state_dir / "redaction.key"
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(_KEY_BYTES))
    return path.read_bytes()

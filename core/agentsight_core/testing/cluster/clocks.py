"""Clocks of single processes that are wrong: libfaketime, read anew from a file.

Reaches what calls the C library (Python, OpenSSL); nats-server and etcd do not. The monotonic clock
stays right, as it does in a machine whose clock is set. Must not touch the machine's own clock.
"""

from __future__ import annotations

from pathlib import Path

from agentsight_core.testing.cluster.member import Member


class WrongClock:
    """The clock of a member from its next start on."""

    def __init__(self, member: Member) -> None:
        self._file = member.folder / "clock"
        self.set("+0")
        member.env |= {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: str) -> None:
        """Make it wrong: `+3600` is an hour ahead; `+0 x1.0005` gains 500 ppm."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.replace(self._file)


def _library() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "faketime is not installed: run `make setup-dev`"
    return found[0]

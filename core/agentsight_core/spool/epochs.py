"""A note of what an agent is watching, so that its next run can say that it was killed.

What an agent has seen and not yet in its spool dies with it, and nobody can count it. The next run
finds the note and tells each session from when to when something may be missing. Blocks: the note
is a small file. Must not decide what is a session.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agentsight_core.pb import events_pb2 as pb

_log = logging.getLogger(__name__)

STAGE = "agent"
REASON = "killed"


class Epoch(msgspec.Struct, frozen=True):
    """One run of an agent, at one moment."""

    # Run of the kernel: boot times of another one mean nothing.
    boot_id: str
    # All that was seen before is in the spool, on the disk; boot time.
    durable_boot_ns: int
    sessions: Sequence[int]


class EpochNote:
    """The note in a file; it is there while an agent runs and watches sessions."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: Sequence[int] = ()

    def left_behind(self) -> Epoch | None:
        """Return what an earlier run was watching when it was killed; None if it ended well."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=Epoch)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("%s cannot be read: %s", self._path, error)
            return None
        self._written = found.sessions
        return found

    def write(self, epoch: Epoch) -> None:
        """Replace the note; without sessions there is none. Raises OSError."""
        if epoch.sessions:
            new = self._path.with_suffix(".new")
            with new.open("wb") as file:
                file.write(msgspec.json.encode(epoch))
                file.flush()
                # The machine may lose its power as well.
                os.fdatasync(file.fileno())
            new.replace(self._path)
        elif self._written:
            self.remove()
        self._written = epoch.sessions

    def remove(self) -> None:
        """Say that this run ends well: all that it saw is in the spool."""
        self._path.unlink(missing_ok=True)
        self._written = ()


def losses(earlier: Epoch, boot_id: str, boot_ns: int, wall_ns: int) -> list[pb.Event]:
    """Return an event for each session that `earlier` was watching: one run's end is missing.

    What is missing lies between `first_boot_ns` (0: in another run of the kernel) and the event's
    own time, `boot_ns` and `wall_ns`, that of the restart.
    """
    first_boot_ns = earlier.durable_boot_ns if earlier.boot_id == boot_id else 0
    lost = pb.Lost(stage=STAGE, reason=REASON, count=1, unit="runs", first_boot_ns=first_boot_ns)
    return [
        pb.Event(boot_ns=boot_ns, wall_ns=wall_ns, session=session, lost=lost)
        for session in earlier.sessions
    ]

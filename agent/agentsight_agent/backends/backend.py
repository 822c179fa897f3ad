"""What a capture back end gives: batches of items, in the terms of the drain.

`agentsight_agent.bpf.kernel.Kernel`, the recording proxy and the readers of other systems' traces
have this shape. Must not know any of them.
"""

from __future__ import annotations

from typing import Protocol

from agentsight_agent.bpf.records import Drained


class Backend(Protocol):
    """Whoever sees processes, plaintext and their effects on this system."""

    def drain(self, wall_offset_ns: int) -> Drained:
        """Return what was seen since the last call, each process's start before what it did.

        `wall_offset_ns` is what Unix time is ahead of boot time.
        """
        ...


class NoSwitches:
    """Switches of single connections for back ends that have none: all of it keeps coming."""

    def mute(self, connection: int) -> None:
        """Do nothing: what comes is counted as filtered."""

    def unmute(self, connection: int) -> None:
        """Do nothing."""

    def want(self, connection: int) -> None:
        """Do nothing."""

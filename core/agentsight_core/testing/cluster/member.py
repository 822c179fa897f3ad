"""One process of the cluster: started on a host, killed, paused, started again.

Must not know what the program is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from agentsight_core.testing.cluster.network import Host

_STOP_SECONDS = 40.0


class Member:
    """A program on a host; its output goes to `folder`/output.log."""

    def __init__(
        self,
        host: Host,
        folder: Path,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.host = host
        self.folder = folder
        self.env = dict(env or {})
        self._command = list(command)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def name(self) -> str:
        """The host's name: one program on each."""
        return self.host.name

    @property
    def runs(self) -> bool:
        """Whether the process is there (it may be paused)."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status of the last run; None while it runs."""
        return self._process.returncode if self._process else None

    async def start(self) -> None:
        """Start the program; it ends with this process, however this one ends."""
        assert not self.runs, f"{self.name} runs already"
        with (self.folder / "output.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.host.inside(["setpriv", "--pdeathsig", "KILL", *self._command]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.env},
                start_new_session=True,
            )

    async def kill(self) -> None:
        """Kill it (SIGKILL) and wait until it is gone."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def stop(self, seconds: float = _STOP_SECONDS) -> int:
        """Ask it to end (SIGTERM) and return its status; raises TimeoutError if it does not."""
        assert self._process is not None, f"{self.name} was never started"
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def ended(self, seconds: float) -> int:
        """Return its status when it has ended by itself; raises TimeoutError."""
        assert self._process is not None, f"{self.name} was never started"
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    def pause(self) -> None:
        """Stop it where it is (SIGSTOP): its connections stay, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def output(self) -> str:
        """Return what it has printed, in all its runs."""
        return (self.folder / "output.log").read_text(errors="replace")

"""Small disks that fill up, and disks that lose power or are slow. Needs root.

Must not know what is written to them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from agentsight_core.testing.cluster.network import run
from agentsight_core.testing.conditions import eventually


@contextlib.asynccontextmanager
async def small_disk(folder: Path, size_bytes: int, *, keep: bool = False) -> AsyncIterator[None]:
    """Put a file system of `size_bytes` in memory over a folder; `keep`: with what is there."""
    with tempfile.TemporaryDirectory() as aside:
        if keep:
            shutil.copytree(folder, Path(aside) / "kept")
        await run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder))
        try:
            if keep:
                shutil.copytree(Path(aside) / "kept", folder, dirs_exist_ok=True)
            yield
        finally:
            # Lazy: a program may still have a file open.
            await run("umount", "--lazy", str(folder))


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Take all the space that is left on the file system of `folder`."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0")
    try:
        yield
    finally:
        os.unlink(filler)  # noqa: PTH108  # as it was opened


class LazyDisk:
    """What is under `folder` survives a power failure only if it was synced; see `lazy_files`."""

    def __init__(self, folder: Path, aside: Path) -> None:
        self._folder = folder
        self._aside = aside
        self._process: asyncio.subprocess.Process | None = None

    async def insert(self) -> None:
        """Mount it over the folder, which is made."""
        for path in (self._folder, self._aside / "live", self._aside / "durable"):
            path.mkdir(parents=True, exist_ok=True)
        self.slow_down(0.0)
        await self._mount()

    def slow_down(self, seconds: float) -> None:
        """Let each sync take so long from now on."""
        new = self._aside / "delay.new"
        new.write_text(str(seconds))
        new.replace(self._aside / "delay")

    async def lose_power(self) -> None:
        """Forget what was not synced; nobody may have a file open."""
        await self.remove()
        shutil.rmtree(self._aside / "live")
        shutil.copytree(self._aside / "durable", self._aside / "live")
        await self._mount()

    async def remove(self) -> None:
        """Unmount it."""
        if self._process is not None:
            # Lazy: a program may still have a file open.
            await run("umount", "--lazy", str(self._folder))
            async with asyncio.timeout(20):
                await self._process.wait()
            self._process = None

    async def _mount(self) -> None:
        names = {name: self._aside / name for name in ("live", "durable", "delay")}
        options = [f"--{name}={path}" for name, path in {**names, "mount": self._folder}.items()]
        module = "agentsight_core.testing.cluster.lazy_files"
        with (self._aside / "output.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", module, *options),
                stdout=log,
                stderr=log,
            )
        await eventually(self._folder.is_mount, 20)

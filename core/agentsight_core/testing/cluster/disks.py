"""Small disks that fill up. Needs root.

Must not know what is written to them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from agentsight_core.testing.cluster.network import run


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

"""An exporter: how many findings of each kind there were, in a file that is replaced each time.

Option `path`: the file. A finding that comes again after a crash counts once, by its id.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agentsight_core.errors import Retryable
from agentsight_core.pb.findings_pb2 import Finding
from agentsight_core.plugins import ExporterPlugin, Options


class Counts:
    """`ports.Exporter`: what it was given is in the file when `export` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kinds: Counter[str] = Counter()
        self._last_ids: set[bytes] = set()

    async def export(self, batch: Sequence[Finding]) -> None:
        """Count `batch` and write the file; raises Retryable when the disk refuses."""
        new = {finding.id: finding for finding in batch if finding.id not in self._last_ids}
        kinds = self._kinds + Counter(one.WhichOneof("body") or "none" for one in new.values())
        if not batch or kinds == self._kinds:
            return
        try:
            await asyncio.to_thread(self._write, json.dumps(kinds, sort_keys=True))
        except OSError as error:
            raise Retryable(f"{self._path}: {error.strerror}") from error
        # Only the last batch can come again.
        self._kinds, self._last_ids = kinds, {finding.id for finding in batch}

    def _write(self, text: str) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(text + "\n")
        new.replace(self._path)


@asynccontextmanager
async def make(options: Options) -> AsyncIterator[Counts]:
    """Give an open exporter."""
    yield Counts(Path(options["path"]))


PLUGIN = ExporterPlugin(api=1, make=make)

"""A real Prometheus, from Debian, that scrapes what a test says and is asked as Grafana asks."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from agentsight_core.testing.ports import free_ports


class Prometheus:
    """A running one; what it says goes to `log`."""

    def __init__(self, port: int, process: asyncio.subprocess.Process, log: Path) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._process = process
        self._log = log
        self._client = httpx2.AsyncClient(trust_env=False)

    async def get(self, path: str) -> Any:
        """Return the data of an answer; None while it starts: there is no port, or status 503."""
        assert self._process.returncode is None, self._log.read_text()
        try:
            answer = await self._client.get(self._url + path)
        except httpx2.TransportError:
            return None
        if answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
            return None
        content = json.loads(answer.content)
        assert content["status"] == "success", content
        return content["data"]

    async def rows(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of what an instant query gives."""
        data = await self.get(f"/api/v1/query?query={quote(query)}")
        return [(row["metric"], float(row["value"][1])) for row in data["result"]] if data else []

    async def wait_for(
        self, query: str, expected: Mapping[str, float], seconds: float = 40.0
    ) -> None:
        """Wait until {partition or "": value} is `expected`; AssertionError says what it was."""
        found: dict[str, float] = {}
        try:
            async with asyncio.timeout(seconds):
                while found != expected:
                    # What changes is in another process, which tells nobody.
                    await asyncio.sleep(0.1)
                    rows = await self.rows(query)
                    found = {labels.get("partition", ""): value for labels, value in rows}
        except TimeoutError:
            raise AssertionError(f"{query} gave {found}, not {expected}") from None

    async def close(self) -> None:
        """End it."""
        await self._client.aclose()
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def running_prometheus(
    folder: Path, job: Mapping[str, object], interval: str, options: Sequence[str] = ()
) -> AsyncIterator[Prometheus]:
    """Run one in `folder` that does the scrape `job` every `interval`."""
    program = shutil.which("prometheus")
    assert program is not None, "the set-up installs Debian's prometheus"
    timing = {"scrape_interval": interval, "scrape_timeout": interval}
    config, log = folder / "prometheus.yml", folder / "prometheus.log"
    config.write_text(json.dumps({"global": timing, "scrape_configs": [dict(job)]}))
    [port] = free_ports(1)
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{port}",
            *options,
            stderr=output,
        )
    server = Prometheus(port, process, log)
    try:
        yield server
    finally:
        await server.close()

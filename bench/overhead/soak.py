"""Memory of the agent under load that goes on: 100 sessions whose models stream, again and again.

Prints the resident memory of the agent once a minute, and by how much it has grown from the end of
the first tenth of the time to the end. Needs root.

    sudo .venv/bin/python -m bench.overhead.soak [MINUTES]      60 if not said
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.testing.buses import RunningBus, running_bus

from bench.overhead.__main__ import link_to_interpreter, server
from bench.overhead.costs import SESSIONS, say_to_all, sessions
from bench.overhead.measuring import Place, Program
from bench.overhead.sources import make_sources
from bench.overhead.tracers import WATCHED, Ours, until

_LOAD = {"work": "stream", "answers": 2, "events": 50, "pause_us": 5000}
_MINUTE_S = 60.0


def soak(folder: Path, bus: RunningBus, minutes: float) -> dict[str, object]:
    """Return what was measured."""
    folder.chmod(0o755)
    make_sources(folder)
    with server(folder) as port:
        place = Place(folder, port, link_to_interpreter(folder, WATCHED), Path(sys.executable))
        ours = Ours(folder, bus)
        ours.start()
        try:
            with sessions(place) as programs:
                resident, loads = _load(ours, programs, minutes)
                dropped = {
                    name: stage["dropped"]
                    for name, stage in ours.stages().items()
                    if stage["dropped"]
                }
        finally:
            ours.stop()
    settled = resident[max(len(resident) // 10, 1) - 1]
    return {
        "sessions": SESSIONS,
        "loads": loads,
        "resident_mb": [round(size / 1e6, 1) for size in resident],
        "growth_percent": round(100 * (resident[-1] / settled - 1), 2),
        "dropped": dropped,
        "unexplained": ours.unexplained,
    }


def _load(ours: Ours, programs: list[Program], minutes: float) -> tuple[list[int], int]:
    """Return the resident bytes after each minute, and how often all sessions were loaded."""
    resident, loads = [], 0
    ends = time.monotonic() + minutes * _MINUTE_S
    while (now := time.monotonic()) < ends:
        while time.monotonic() < min(now + _MINUTE_S, ends):
            say_to_all(programs, _LOAD)
            loads += 1
        until(lambda: ours.stages()["spool"]["held"] == 0)
        resident.append(ours.settled_rss_bytes())
        print(f"{len(resident)} min: {resident[-1] / 1e6:.1f} MB", file=sys.stderr, flush=True)
    return resident, loads


async def main() -> None:
    """Measure and print."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with tempfile.TemporaryDirectory(prefix="agentsight-soak-") as name:
        folder = Path(name)
        async with running_bus(folder / "bus", BusSettings(partitions=4)) as bus:
            found = await asyncio.to_thread(soak, folder, bus, minutes)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    asyncio.run(main())

"""Who watches: nobody, or our agent; each is started and stopped for real.

A tracer says what it has captured (bytes of plaintext, events) and what CPU and memory it uses.
Must not know what is measured with it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agentsight_agent.traffic import NOT_WATCHED, SERVER_SIDE
from agentsight_core.runtime.children import end_with_parent
from agentsight_core.runtime.notes import read_ledger, read_note
from agentsight_core.testing.buses import RunningBus

# The name under which the watched program runs.
WATCHED = "benchagent"
START_S = 60.0
QUIET_S = 0.15
MOST_S = 1.0
_REFRESH_S = 1.05


@dataclass(frozen=True, slots=True)
class Seen:
    """Totals since the start; `lost` are events that the tracer says it lost, -1 if it cannot."""

    plaintext_bytes: int
    events: int
    lost: int

    def since(self, before: Seen) -> Seen:
        """Return what came after `before`."""
        return Seen(
            self.plaintext_bytes - before.plaintext_bytes,
            self.events - before.events,
            -1 if self.lost < 0 else self.lost - before.lost,
        )


class Tracer(Protocol):
    """One tracer, started and stopped many times."""

    name: str

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def seen(self) -> Seen:
        """Return the totals when everything so far has been worked off."""
        ...

    def cpu_ns(self) -> int: ...

    def rss_bytes(self) -> int: ...


def until(condition: Callable[[], object], seconds: float = START_S) -> None:
    """Wait until `condition` holds; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{condition} does not hold after {seconds:.0f} s")
        time.sleep(0.02)


def cpu_ns(pid: int) -> int:
    """Return the CPU time of a process (schedstat of its threads, in ns)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process (VmRSS)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) * 1024


class Nobody:
    """The yardstick."""

    name = "none"

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def seen(self) -> Seen:
        return Seen(0, 0, 0)

    def cpu_ns(self) -> int:
        return 0

    def rss_bytes(self) -> int:
        return 0


class Ours:
    """`python -m agentsight_agent`, publishing to a bus on the same machine."""

    name = "agentsight"

    def __init__(self, folder: Path, bus: RunningBus) -> None:
        token = folder / "bus.token"
        token.write_text(bus.server.token)
        self._state = folder / "state"
        self._config = folder / "agent.yaml"
        self._log = folder / "agent.log"
        rule = {"name": "bench", "argv": WATCHED}
        self._config.write_text(
            json.dumps(
                {
                    "node": {"state_dir": str(self._state), "telemetry_port": 0},
                    "bus": {
                        "embedded": False,
                        "servers": [bus.server.url],
                        "token_file": str(token),
                    },
                    "sessions": {"rules": [rule]},
                }
            )
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.unexplained: list[str] = []

    def start(self) -> None:
        command = [sys.executable, "-m", "agentsight_agent", "--config", str(self._config)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,  # noqa: PLW1509  one prctl
            )

        def ready() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()
            return read_note(self._state, "agent") is not None

        until(ready)

    def stop(self) -> None:
        """Stop it; what its ledger does not explain then is kept."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(START_S) == 0, self._log.read_text()
        for stage in read_ledger(self._state, "agent"):
            if stage["unexplained"]:
                self.unexplained.append(str(stage))

    def stages(self) -> dict[str, Any]:
        """Return the ledger as it is now."""
        note = read_note(self._state, "agent")
        assert note is not None
        url = f"http://127.0.0.1:{note['telemetry_port']}/ledger"
        with urllib.request.urlopen(url, timeout=10) as page:
            return {stage["stage"]: stage for stage in json.load(page)["stages"]}

    def seen(self) -> Seen:
        # The kernel's counts are read once a second.
        time.sleep(_REFRESH_S)
        before, now, most = -1, self.stages(), time.monotonic() + MOST_S
        while now["tls"]["received"] != before and time.monotonic() < most:
            time.sleep(QUIET_S)
            before, now = now["tls"]["received"], self.stages()
        tls, events = now["tls"], now["events"]
        lost = sum(sum(stage["dropped"].values()) for stage in now.values())
        others = sum(tls["filtered"].get(reason, 0) for reason in (NOT_WATCHED, SERVER_SIDE))
        plaintext = tls["received"] - sum(tls["dropped"].values()) - others
        return Seen(plaintext, events["received"], lost)

    def settled_rss_bytes(self) -> int:
        """Return the resident memory when what was freed has been given back, as each second."""
        least, ends = self.rss_bytes(), time.monotonic() + 2
        while time.monotonic() < ends:
            time.sleep(0.05)
            least = min(least, self.rss_bytes())
        return least

    def cpu_ns(self) -> int:
        assert self._process is not None
        return cpu_ns(self._process.pid)

    def rss_bytes(self) -> int:
        assert self._process is not None
        return rss_bytes(self._process.pid)

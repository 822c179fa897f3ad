"""What watching costs: the same works under no tracer, ours, upstream's and bpftrace, alternating.

    sudo .venv/bin/python -m bench.overhead [--pairs 10] [--workload NAME…] [--tracer NAME…]

UPSTREAM_SSLSNIFF and UPSTREAM_PROCESS name the programs of upstream AgentSight (a path, or a
command with its options). Writes results/overhead.md, unless only a part was measured (then say
--write).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.testing.buses import RunningBus, running_bus
from agentsight_core.testing.llm_tls_server import make_certificate

from bench.overhead.costs import measure_costs
from bench.overhead.measuring import Place, measure
from bench.overhead.printing import Bpftrace, Upstream
from bench.overhead.report import report
from bench.overhead.sources import make_sources
from bench.overhead.tracers import WATCHED, Ours, Tracer
from bench.overhead.workloads import WORKLOADS

_RESULT = Path(__file__).parents[1] / "results" / "overhead.md"
_NOBODY_UID = 65534


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--workload", nargs="*", choices=[one.name for one in WORKLOADS])
    parser.add_argument("--tracer", nargs="*", choices=["agentsight", "upstream", "bpftrace"])
    parser.add_argument("--no-costs", action="store_true", help="leave the single costs out")
    parser.add_argument("--write", action="store_true", help="write the table of a part, too")
    wanted = parser.parse_args()
    text = asyncio.run(_run(wanted))
    print(text)
    if wanted.write or not (wanted.workload or wanted.tracer or wanted.no_costs):
        _RESULT.write_text(text)


async def _run(wanted: argparse.Namespace) -> str:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="agentsight-bench-") as name:
        folder = Path(name)
        async with running_bus(folder / "bus", BusSettings(partitions=4)) as bus:
            # The tracers are waited for without giving way to the connection of this process,
            # which nothing needs any more.
            return await asyncio.to_thread(_measure, folder, bus, wanted, began)


def _measure(folder: Path, bus: RunningBus, wanted: argparse.Namespace, began: float) -> str:
    # The server runs as somebody else.
    folder.chmod(0o755)
    make_sources(folder)
    workloads = [one for one in WORKLOADS if not wanted.workload or one.name in wanted.workload]
    with server(folder) as port:
        place = Place(
            folder,
            port,
            link_to_interpreter(folder, WATCHED),
            link_to_interpreter(folder, "unwatched"),
        )
        tracers, absent = _tracers(folder, bus, wanted.tracer)
        pairs = measure(place, tracers, workloads, wanted.pairs, _say)
        costs = None if wanted.no_costs else measure_costs(place, _ours(tracers))
    return report(workloads, tracers, pairs, absent, costs, time.monotonic() - began)


def _tracers(
    folder: Path, bus: RunningBus, wanted: list[str] | None
) -> tuple[list[Tracer], dict[str, str]]:
    """Return those that are there, and why others are not."""
    found: list[Tracer] = [Ours(folder, bus)]
    absent: dict[str, str] = {}
    sslsniff, process = (os.environ.get(f"UPSTREAM_{name}", "") for name in ("SSLSNIFF", "PROCESS"))
    if sslsniff or process:
        found.append(Upstream(folder, sslsniff, process))
    else:
        absent["upstream"] = "not given (UPSTREAM_SSLSNIFF, UPSTREAM_PROCESS)"
    bpftrace = shutil.which("bpftrace")
    if bpftrace:
        found.append(Bpftrace(folder, bpftrace, _libssl()))
    else:
        absent["bpftrace"] = "not installed"
    return [one for one in found if not wanted or one.name in wanted], absent


def _ours(tracers: list[Tracer]) -> Ours | None:
    return next((one for one in tracers if isinstance(one, Ours)), None)


def _libssl() -> str:
    """Return the libssl that the drivers use."""
    code = "import _ssl, re; print(re.search(r'\\S+libssl\\S+', open('/proc/self/maps').read())[0])"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@contextmanager
def server(folder: Path) -> Iterator[int]:
    """Run the TLS server as somebody else than root; gives its port."""
    make_certificate(folder)
    pem = folder / "server.pem"
    os.chown(pem, _NOBODY_UID, _NOBODY_UID)
    program = Path(shutil.copy(Path(__file__).with_name("server.py"), folder))
    process = subprocess.Popen(
        ["/usr/bin/python3", "-I", str(program), str(pem)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        user=_NOBODY_UID,
        group=_NOBODY_UID,
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.communicate()


def link_to_interpreter(folder: Path, name: str) -> Path:
    link = folder / name
    link.symlink_to(Path(sys.executable).resolve())
    return link


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

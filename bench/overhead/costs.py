"""Costs of the agent that no workload shows: attaching, memory of many sessions and under load."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agentsight_agent.bpf.control import KernelSettings
from agentsight_agent.bpf.hooks import HookKind, TlsHook
from agentsight_agent.bpf.kernel import Kernel
from agentsight_agent.tls.elf import Elf
from agentsight_agent.tls.libraries import standard_libraries

from bench.overhead.measuring import Place, Program
from bench.overhead.tracers import Ours, until

PROBES = 40
SESSIONS = 100
_TIMES = 5
_LOADS = 4


@dataclass(frozen=True, slots=True)
class Costs:
    """`loaded_bytes`: resident memory after each of equal loads; `settled_bytes`: a bit later."""

    attach_ms: float
    detach_ms: float
    rss_bytes: int = 0
    sessions_rss_bytes: int = 0
    loaded_bytes: tuple[int, ...] = ()
    settled_bytes: tuple[int, ...] = ()


def measure_costs(place: Place, ours: Ours | None) -> Costs:
    """Return all of them; memory only when our agent is measured."""
    attach_ms, detach_ms = _attaching()
    if ours is None:
        return Costs(attach_ms, detach_ms)
    ours.start()
    try:
        idle = ours.rss_bytes()
        with sessions(place) as programs:
            stream = {"work": "stream", "answers": 1, "events": 20, "pause_us": 0}
            say_to_all(programs, stream)
            until(lambda: ours.stages()["spool"]["held"] == 0)
            many = ours.rss_bytes()
            loaded, settled = [], []
            for _ in range(_LOADS):
                say_to_all(programs, {**stream, "answers": 5, "events": 100})
                until(lambda: ours.stages()["spool"]["held"] == 0)
                loaded.append(ours.rss_bytes())
                settled.append(ours.settled_rss_bytes())
    finally:
        ours.stop()
    return Costs(attach_ms, detach_ms, idle, many, tuple(loaded), tuple(settled))


def _attaching() -> tuple[float, float]:
    """Return the shortest times to attach and detach 40 probes of one library, in ms."""
    path = next(path for path in standard_libraries() if "libssl" in path)
    listed = subprocess.run(["nm", "-D", path], check=True, capture_output=True, text=True).stdout
    names = [line.split()[2].partition("@")[0] for line in listed.splitlines() if " T SSL_" in line]
    with Elf(path) as elf:
        functions = elf.functions(names[:PROBES])
        offsets = [elf.file_offset(function.address) for function in functions.values()]
    hooks = [TlsHook(HookKind.FREE, offset) for offset in offsets if offset is not None]
    assert len(hooks) == PROBES
    best = [float("inf"), float("inf")]
    with Kernel(KernelSettings()) as kernel:
        for _ in range(_TIMES):
            began = time.perf_counter()
            link = kernel.attach_tls(path, hooks)
            attached = time.perf_counter()
            link.close()
            times = (attached - began, time.perf_counter() - attached)
            best = [min(old, new * 1000) for old, new in zip(best, times, strict=True)]
    return best[0], best[1]


@contextmanager
def sessions(place: Place) -> Iterator[list[Program]]:
    programs: list[Program] = []
    try:
        programs.extend(Program(place.watched, place.port, place.folder) for _ in range(SESSIONS))
        for program in programs:
            program.answer()
        yield programs
    finally:
        for program in programs:
            program.stop()


def say_to_all(programs: list[Program], order: dict[str, object]) -> None:
    """Have all do it, ten at a time: what 100 interpreters do at once is no load of agents."""
    for first in range(0, len(programs), 10):
        for program in programs[first : first + 10]:
            program.say(order)
        for program in programs[first : first + 10]:
            program.answer()

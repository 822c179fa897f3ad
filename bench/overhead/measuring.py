"""One run: every workload under every tracer, between two runs without one, again and again.

Must not know how a tracer works, or write anything.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.overhead.tracers import Nobody, Ours, Seen, Tracer, until

_DRIVER = Path(__file__).with_name("driver.py")


_WARMING: Sequence[Mapping[str, object]] = (
    {"work": "stream", "answers": 1, "events": 20, "pause_us": 0},
    {"work": "compile"},
)


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing to do; `watched`: by the program that the tracers look for."""

    name: str
    order: Mapping[str, object]
    watched: bool = True
    # What its overhead is held against: the mean of the paper-shaped ones, and each by itself.
    paper_shaped: bool = False
    # It is done so often in one run: once alone differs more from the next time than it may be
    # slowed down.
    repeats: int = 1

    @property
    def title(self) -> str:
        """What a row of the table is called."""
        return self.name if self.repeats == 1 else f"{self.name}, {self.repeats} times"


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one workload."""

    wall_ns: int
    cpu_ns: int
    units: int
    expected_bytes: int
    seen: Seen = field(default=Seen(0, 0, 0))
    # CPU of the tracer: while it was done, and in all, until everything had been worked off.
    tracer_cpu_ns: int = 0
    tracer_total_cpu_ns: int = 0
    tracer_rss_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """A run with a tracer, and what the runs without one before and after it took on average."""

    traced: Sample
    free_wall_ns: float
    free_cpu_ns: float


class Program:
    """A running driver; its first answer says that it is ready."""

    def __init__(self, interpreter: Path, port: int, folder: Path) -> None:
        command = [str(interpreter), "-I", str(_DRIVER), str(port), str(folder)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def say(self, order: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, int]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the driver has ended"
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def stop(self) -> None:
        self._process.communicate()


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything is."""

    folder: Path
    port: int
    # Links to the interpreter: the name decides whether a program is watched.
    watched: Path
    unwatched: Path


@contextmanager
def drivers(place: Place, tracer: Tracer) -> Iterator[Callable[[Workload], Program]]:
    """Start a watched and an unwatched driver; gives which of them does a workload."""
    watched = Program(place.watched, place.port, place.folder)
    unwatched = Program(place.unwatched, place.port, place.folder)
    try:
        watched.answer()
        unwatched.answer()
        if isinstance(tracer, Ours):
            # A session has begun when it is told; its event is in no frame before that.
            until(lambda: tracer.stages()["events"]["received"] > 0)
        yield lambda workload: watched if workload.watched else unwatched
    finally:
        watched.stop()
        unwatched.stop()


def run_all(place: Place, tracer: Tracer, workloads: Sequence[Workload]) -> dict[str, Sample]:
    """Start `tracer`, do all workloads, stop it."""
    tracer.start()
    try:
        with drivers(place, tracer) as driver:
            # What is done for the first time is not measured: neither by the program, nor by a
            # tracer that looks once at each file of a program.
            for workload in workloads[:1]:
                for warm in _WARMING:
                    driver(workload).say(warm)
                    driver(workload).answer()
            samples = {}
            before = tracer.seen()
            for workload in workloads:
                sample, before = _run(tracer, driver(workload), workload, before)
                samples[workload.name] = sample
            return samples
    finally:
        tracer.stop()


def _run(tracer: Tracer, program: Program, workload: Workload, before: Seen) -> tuple[Sample, Seen]:
    """Do one workload; return it and what the tracer had seen then."""
    used = tracer.cpu_ns()
    took: Counter[str] = Counter()
    for _ in range(workload.repeats):
        program.say(workload.order)
        took.update(program.answer())
    meanwhile = tracer.cpu_ns()
    after = tracer.seen()
    sample = Sample(
        took["wall_ns"],
        took["cpu_ns"],
        took["units"],
        took["bytes"],
        after.since(before),
        meanwhile - used,
        tracer.cpu_ns() - used,
        tracer.rss_bytes(),
    )
    return sample, after


def measure(
    place: Place,
    tracers: Sequence[Tracer],
    workloads: Sequence[Workload],
    rounds: int,
    say: Callable[[str], None],
) -> dict[tuple[str, str], list[Pair]]:
    """Return the pairs by (workload, tracer).

    A round is: nobody, a tracer, nobody, the next tracer…; the order of tracers turns.
    """
    pairs: dict[tuple[str, str], list[Pair]] = {}
    nobody = Nobody()
    free = run_all(place, nobody, workloads)
    for number in range(rounds):
        turned = [tracers[(number + at) % len(tracers)] for at in range(len(tracers))]
        for tracer in turned:
            say(f"round {number + 1}: {tracer.name}")
            traced = run_all(place, tracer, workloads)
            again = run_all(place, nobody, workloads)
            for name, sample in traced.items():
                wall_ns = (free[name].wall_ns + again[name].wall_ns) / 2
                cpu_ns = (free[name].cpu_ns + again[name].cpu_ns) / 2
                pairs.setdefault((name, tracer.name), []).append(Pair(sample, wall_ns, cpu_ns))
            free = again
    return pairs

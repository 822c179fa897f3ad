"""What the pipeline relies on, whichever back end it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentsight_agent.backends.backend import Backend
from agentsight_agent.backends.proxy.backend import ProxyBackend
from agentsight_agent.backends.traces.backend import TraceBackend
from agentsight_agent.backends.traces.formats import FORMATS
from agentsight_agent.bpf.records import Drained, Item, ProcessEffect, ProcessRecord, TlsRun
from agentsight_agent.enrich.boot import wall_offset_ns
from agentsight_core.clocks import boot_ns
from agentsight_core.pb import events_pb2 as pb

TRACES = Path(__file__).resolve().parents[1] / "golden" / "traces"


def trace(name: str, file: str) -> TraceBackend:
    data = (TRACES / file).read_bytes()
    pieces = (data[at : at + 1000] for at in range(0, len(data), 1000))
    return TraceBackend(FORMATS[name].reader(None), pieces)


def ended_proxy() -> ProxyBackend:
    """Return the back end behind the proxy, after a command that has ended."""
    command = [sys.executable, "-c", "pass"]
    child = subprocess.Popen(command)
    backend = ProxyBackend(child.pid, wall_offset_ns=wall_offset_ns())
    backend.begin(tuple(command), sys.executable, str(Path.cwd()), boot_ns())
    backend.end(child.wait(), boot_ns())
    return backend


@pytest.fixture(params=["dtrace", "etw", "proxy"])
def backend(request: pytest.FixtureRequest) -> Backend:
    match request.param:
        case "dtrace":
            return trace("dtrace", "session.dtrace")
        case "etw":
            return trace("etw", "session.etw.xml")
    return ended_proxy()


def batches(backend: Backend) -> Iterator[Drained]:
    more = True
    while more:
        drained = backend.drain(wall_offset_ns())
        more = drained.more
        yield drained


def items(backend: Backend) -> list[Item]:
    return [item for drained in batches(backend) for item in drained.items]


def test_it_counts_what_it_gives_and_ends(backend: Backend) -> None:
    found = list(batches(backend))
    assert sum(len(drained.items) for drained in found) > 0
    assert all(drained.records == len(drained.items) for drained in found)
    again = backend.drain(0)
    assert (again.items, again.records, again.lost_records, again.more) == ([], 0, 0, False)


def test_a_process_is_introduced_before_what_it_does(backend: Backend) -> None:
    known: set[int] = set()
    for item in items(backend):
        if isinstance(item, ProcessRecord) and item.kind != "exited":
            known.add(item.pid)
        else:
            assert item.pid in known  # type: ignore[union-attr]  # no segments: sessions are not known


def test_events_are_whole_and_in_order(backend: Backend) -> None:
    last_ns = 0
    for item in items(backend):
        if isinstance(item, ProcessRecord | ProcessEffect):
            event = pb.Event.FromString(item.event)
            assert event.WhichOneof("body")
            assert (event.pid, event.session) == (item.pid, 0)
            assert last_ns <= event.boot_ns <= event.wall_ns
            last_ns = event.boot_ns


def test_a_run_has_a_time_for_each_piece(backend: Backend) -> None:
    for item in items(backend):
        if isinstance(item, TlsRun):
            assert len(item.offsets) == len(item.times_ns) >= 1
            assert item.offsets[0] == 0
            assert item.lost_bytes >= 0


def test_the_root_ends_with_its_status(backend: Backend) -> None:
    ended = [item for item in items(backend) if isinstance(item, ProcessRecord)][::-1]
    last = next(item for item in ended if item.kind == "exited")
    assert not pb.Event.FromString(last.event).process_exited.status_unknown
    assert last.pid != os.getpid()

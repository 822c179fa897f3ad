"""Builds items of a drain in Python, for back ends that have no drain in C.

Pure: must not know where they come from.
"""

from __future__ import annotations

from array import array
from typing import Literal

from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.bpf.records import PayloadSource, ProcessEffect, ProcessRecord, TlsRun


def process_record(kind: Literal["forked", "executed", "exited"], event: pb.Event) -> ProcessRecord:
    """Return the item of a process' `event`, whose body is of that kind."""
    return ProcessRecord(kind, 0, event.pid, event.boot_ns, 0, event.SerializeToString())


def process_effect(event: pb.Event) -> ProcessEffect:
    """Return the item of a file or network `event`."""
    return ProcessEffect(event.pid, event.SerializeToString())


def one_piece(
    connection: int,
    pid: int,
    written: bool,
    data: bytes,
    time_ns: int,
    *,
    tid: int = 0,
    lost_bytes: int = 0,
    source: PayloadSource = PayloadSource.TLS,
) -> TlsRun:
    """Return a run that was moved at once; `tid` 0: the first thread of the process."""
    offsets, times = memoryview(array("I", [0])), memoryview(array("Q", [time_ns]))
    return TlsRun(
        connection, 0, pid, tid or pid, 0, written, data, offsets, times, lost_bytes, source
    )

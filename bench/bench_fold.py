"""Events per second and core of the fold of a partition, and what a snapshot costs.

.venv/bin/python bench/bench_fold.py [--sessions N]
"""

import argparse
import random
import time

from agentsight_aggregator.fold import PartitionFold, build_fold
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.ports import END_OF_TIME_NS
from agentsight_core.testing.agent_log import (
    AgentLog,
    Json,
    assistant,
    results,
    text,
    tool_result,
    tool_use,
    user,
)

STEPS = 20


def session_log(number: int) -> list[pb.Event]:
    """A session of one turn: 20 tool calls, each a shell with two children and ten files."""
    log = AgentLog(session=number)
    start = random.Random(number).random() * 60
    log.start(start)
    history: list[Json] = [user(f"Task {number}: " + "make it work. " * 20)]
    at = start + 1
    for step in range(STEPS):
        command = f"grep -r word{step} src | sort"
        asked = [text("I look. " * 20), tool_use(f"t{step}", "bash", command=command)]
        log.call(at, at + 2, history, asked)
        pid = 1000 + step * 3
        log.run(at + 2.1, at + 2.9, pid, ["sh", "-c", command])
        log.run(at + 2.2, at + 2.8, pid + 1, ["grep", "-r", f"word{step}", "src"], parent=pid)
        log.run(at + 2.2, at + 2.8, pid + 2, ["sort"], parent=pid)
        for index in range(10):
            log.file(at + 2.3, at + 2.4, pid + 1, f"src/file{index}.py")
        result = tool_result(f"t{step}", "src/file.py: a line of text\n" * 40)
        history += [assistant(*asked), results(result)]
        at += 3
    log.call(at, at + 2, history, [text("Done.")])
    log.end(at + 3)
    return log.events


def fold_all(events: list[pb.Event]) -> tuple[PartitionFold, int, float]:
    """Return fold, number of findings and seconds of processor time."""
    fold = build_fold()
    count = 0
    begun = time.process_time()
    for event in events:
        count += len(fold.observe(event))
    count += len(fold.advance(END_OF_TIME_NS))
    return fold, count, time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=60)
    sessions = parser.parse_args().sessions
    logs = [session_log(number + 1) for number in range(sessions)]
    events = sorted((event for log in logs for event in log), key=lambda event: event.wall_ns)
    fold_all(events[: len(events) // 10])
    _, found, seconds = fold_all(events)
    size = sum(event.ByteSize() for event in events)
    print(f"mixed agent traffic, {sessions} sessions: {len(events)} events, {size / 1e6:.1f} MB")
    print(f"  {len(events) / seconds:,.0f} events/s and core, {size / seconds / 1e6:.0f} MB/s")
    print(f"  {found / seconds:,.0f} findings/s, {found / len(events):.2f} findings an event")
    effects = [event for event in events if not str(event.WhichOneof("body")).startswith("http")]
    _, _, seconds = fold_all(effects)
    print(f"processes and files alone: {len(effects) / seconds:,.0f} events/s and core")
    half = build_fold()
    for event in events[: len(events) // 2]:
        half.observe(event)
    begun = time.process_time()
    state = half.snapshot()
    saved = time.process_time()
    build_fold().restore(state)
    restored = time.process_time()
    print(
        f"snapshot with {sessions} open sessions: {len(state) / 1e6:.2f} MB, "
        f"{(saved - begun) * 1e3:.1f} ms to save, {(restored - saved) * 1e3:.1f} ms to restore"
    )


if __name__ == "__main__":
    main()

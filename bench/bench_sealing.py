"""What sealing costs: `python bench/bench_sealing.py`.

Frames (HPKE) as ratios to encoding and decoding the same frame without a key, findings
(AES-256-GCM-SIV) to serializing and parsing the same finding. Both sides of a ratio are measured in
turns within the same run.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agentsight_core import sealing, wire
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb.findings_pb2 import Attribute, Finding, Span
from agentsight_core.sealing import GroupKeys, Opener, Sealer

ROUNDS = 7
REPEATS = 60
# From a frame that the clock closed to one that is full.
FRAME_BYTES = (1 << 10, 16 << 10, 256 << 10)


def best_seconds(*works: Callable[[], object]) -> list[float]:
    """Return the shortest of ROUNDS runs of each work, measured in turns."""
    best = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for number, work in enumerate(works):
            start = time.perf_counter()
            for _ in range(REPEATS):
                work()
            best[number] = min(best[number], (time.perf_counter() - start) / REPEATS)
    return best


def frame_of(size: int) -> tuple[pb.FrameHeader, bytes]:
    """Return a header and a batch of about `size` bytes of JSON-like bodies."""
    words = random.Random(20261122)
    events = []
    for seq in range(max(1, size // 4096)):
        text = json.dumps([words.randrange(10**9) for _ in range(min(size, 4096) // 11)])
        body = pb.HttpBody(exchange=1, data=text.encode())
        events.append(pb.Event(wall_ns=seq, session=7, http_body=body))
    header = pb.FrameHeader(
        agent_id="agent", epoch_ns=5, session=7, seq=1, event_count=len(events), node="n"
    )
    return header, wire.encode_events(events)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in ("public", "private", "group")}
        private, public = sealing.new_frames_pair()
        files["private"].write_text(private)
        files["public"].write_text(public)
        files["group"].write_text(sealing.new_group_key())
        frames(Sealer(files["public"]), Opener(files["private"]))
        findings(GroupKeys(files["group"]))


def frames(sealer: Sealer, opener: Opener) -> None:
    print("frame        write µs  sealed µs  ratio    read µs  opened µs  ratio   bytes")
    for size in FRAME_BYTES:
        frame(size, sealer, opener)


def frame(size: int, sealer: Sealer, opener: Opener) -> None:
    header, batch = frame_of(size)
    plain = wire.encode_frame(header, batch)
    sealed = wire.encode_frame(header, batch, sealer)
    write, seal, read, opened = best_seconds(
        lambda: wire.encode_frame(header, batch),
        lambda: wire.encode_frame(header, batch, sealer),
        lambda: wire.decode_frame(plain),
        lambda: wire.decode_frame(sealed, opener),
    )
    print(
        f"{len(batch):>8} B {write * 1e6:>9.0f} {seal * 1e6:>10.0f} {seal / write:>6.2f}"
        f" {read * 1e6:>10.0f} {opened * 1e6:>10.0f} {opened / read:>6.2f}"
        f" {len(sealed) / len(plain):>7.3f}"
    )


def findings(keys: GroupKeys) -> None:
    span = Span(
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        name="chat model",
        attributes=[Attribute(key=f"gen_ai.key.{n}", string_value="x" * 40) for n in range(20)],
    )
    finding = Finding(id=b"i" * 16, session=7, time_ns=5, span=span)
    data = finding.SerializeToString(deterministic=True)
    place = b"findings.1.0000000000000007.span"
    key_id, sealed = keys.seal(data, place)
    write, seal, read, opened = best_seconds(
        lambda: finding.SerializeToString(deterministic=True),
        lambda: keys.seal(finding.SerializeToString(deterministic=True), place),
        lambda: Finding.FromString(data),
        lambda: Finding.FromString(keys.open(key_id, sealed, place)),
    )
    print("finding      write µs  sealed µs  ratio    read µs  opened µs  ratio   bytes")
    print(
        f"{len(data):>8} B {write * 1e6:>9.1f} {seal * 1e6:>10.1f} {seal / write:>6.2f}"
        f" {read * 1e6:>10.1f} {opened * 1e6:>10.1f} {opened / read:>6.2f}"
        f" {len(sealed) / len(data):>7.3f}"
    )


if __name__ == "__main__":
    main()

"""How many MB/s the redactor takes: `python bench/bench_redact.py`.

The text is made of words, so that the patterns find what they find in prose and JSON: nothing, or
a key now and then. The ratio is to a bare copy of the same bytes.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable

from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_core.parsers.messages import BodyPart
from agentsight_core.pb import events_pb2 as pb

SIZE_BYTES = 4 * 1024 * 1024
ROUNDS = 5
WORDS = [
    "the",
    "task",
    "of",
    "a",
    "risk",
    "is",
    "basic",
    "authorization",
    "secret",
    "password",
    "disk",
    "key",
    "token",
    "http://h/x",
]


def best_seconds(work: Callable[[], object]) -> float:
    """Return the shortest of ROUNDS runs."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def redact(data: bytes, part_bytes: int) -> Callable[[], object]:
    """Return work that redacts `data` in parts."""

    def work() -> None:
        redactor = Redactor(CaptureMode.REDACTED, b"bench")
        for start in range(0, len(data), part_bytes):
            part = data[start : start + part_bytes]
            redactor.message(1, BodyPart(0, pb.DIRECTION_RESPONSE, part, (0,), (1,)))

    return work


def main() -> None:
    words = random.Random(1)
    prose = " ".join(words.choices(WORDS, k=SIZE_BYTES // 8))
    document = json.dumps({"messages": [{"role": "user", "content": prose}]}).encode()
    key = b"sk-" + b"ant-api03-" + b"a1B2c3D4" * 6
    keys = document.replace(b"key", b"key " + key + b" ", 200)
    event = b'data: {"type":"content_block_delta","delta":{"text":" and so it goes"}}\n\n'
    events = event * (SIZE_BYTES // len(event))
    image = b'{"data": "' + b"iVBORw0KGgoAAAANSUhEUgAA" * (SIZE_BYTES // 24) + b'"}'
    copy = best_seconds(lambda: bytearray(document)) / len(document)
    for name, data, part_bytes in (
        ("prose in JSON, parts of 256 KiB", document, 256 * 1024),
        ("prose in JSON, parts of 16 KiB", document, 16 * 1024),
        ("prose with 200 keys, 256 KiB", keys, 256 * 1024),
        ("base64, parts of 256 KiB", image, 256 * 1024),
        ("event stream, parts of 64 KiB", events, 64 * 1024),
        ("event stream, a part an event", events, len(event)),
    ):
        seconds = best_seconds(redact(data, part_bytes))
        ratio = seconds / len(data) / copy
        print(f"{name:34} {len(data) / seconds / 1e6:9.1f} MB/s  {ratio:8.1f} x a copy")


if __name__ == "__main__":
    main()

import json
import time

import pytest
import zstandard
from agentsight_core import wire
from agentsight_core.bus.connection import Outgoing
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.cluster.units import unit_events

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

_SESSION = 0xBAD
_FORGED = "ev.test.forged.0000000000000bad"


def header(seq: int, events: int = 1) -> pb.FrameHeader:
    return pb.FrameHeader(
        agent_id="forged", epoch_ns=1, session=_SESSION, seq=seq, event_count=events
    )


def frame(seq: int, body: bytes, codec: int = pb.CODEC_ZSTD) -> bytes:
    return pb.Frame(header=header(seq), codec=codec, body=body).SerializeToString()


def unreadable() -> list[bytes]:
    """Return frames that must end as dead letters."""
    bomb = zstandard.ZstdCompressor().compress(b"\0" * (128 << 20))
    return [
        b"\xff\xff\xff no protobuf",
        b"",
        frame(1, b"not zstd"),
        frame(2, b"", codec=77),
        frame(3, bomb),
        frame(4, zstandard.ZstdCompressor().compress(b"\xff\xff no batch")),
    ]


def hard_to_read() -> list[bytes]:
    """Return frames that are valid and unpleasant."""
    bodies = [
        b"[" * 200_000,
        b"\0\xff\xfe not UTF-8" * 1000,
        json.dumps({"model": "a" * 1_000_000, "messages": ["\u0000"]}).encode(),
        b'{"messages": [{"role": "user", "content": "' + b"a" * (5 << 20) + b'"}]}',
    ]
    frames = []
    for number, body in enumerate(bodies, start=5):
        events = unit_events(_SESSION, number, time.time_ns())
        for event in events:
            if event.HasField("http_body"):
                event.http_body.data = body
        frames.append(wire.encode_frame(header(number, len(events)), wire.encode_events(events)))
    return frames


async def test_poison_becomes_dead_letters_and_its_neighbours_go_on(run):
    async with run("poison") as it:
        it.happens()
        poison = unreadable()
        async with it.cluster.bus() as bus:
            for number, data in enumerate([*poison, *hard_to_read()]):
                await bus.publish(Outgoing(_FORGED, data, {"Nats-Msg-Id": f"forged-{number}"}))
        await it.cluster.flows()
        verdict = await it.finish()
        it.note(dead_letters=len(it.evidence.letters))
        assert len(it.evidence.letters) == len(poison)
        # The forged session is in no ledger, and its calls are not those of units.
        assert not verdict.lost
        assert not verdict.twice
        assert not verdict.disorder
        assert not verdict.replay

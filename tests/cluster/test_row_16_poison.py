import json
import time

import pytest
import zstandard
from agentsight_core import wire
from agentsight_core.bus.connection import Outgoing
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.cluster.units import unit_events

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

# The frames that nobody can read have a session of their own: the oracle, which cannot read their
# numbers either, would take them for missing before the readable ones.
_UNREADABLE = 0xBAD
_READABLE = 0xBAE


def header(session: int, seq: int, events: int = 1) -> pb.FrameHeader:
    return pb.FrameHeader(
        agent_id="forged", epoch_ns=1, session=session, seq=seq, event_count=events
    )


def frame(seq: int, body: bytes, codec: int = pb.CODEC_ZSTD) -> bytes:
    return pb.Frame(header=header(_UNREADABLE, seq), codec=codec, body=body).SerializeToString()


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
    for number, body in enumerate(bodies, start=1):
        events = unit_events(_READABLE, number, time.time_ns())
        for event in events:
            if event.HasField("http_body"):
                event.http_body.data = body
        head = header(_READABLE, number, len(events))
        frames.append(wire.encode_frame(head, wire.encode_events(events)))
    return frames


async def test_poison_becomes_dead_letters_and_its_neighbours_go_on(run):
    async with run("poison") as it:
        it.happens()
        poison = unreadable()
        async with it.cluster.bus() as bus:
            frames = [(_UNREADABLE, data) for data in poison]
            frames += [(_READABLE, data) for data in hard_to_read()]
            for number, (session, data) in enumerate(frames):
                subject = f"ev.test.forged.{session:016x}"
                await bus.publish(Outgoing(subject, data, {"Nats-Msg-Id": f"forged-{number}"}))
        await it.cluster.flows()
        verdict = await it.finish()
        it.note(dead_letters=len(it.evidence.letters))
        assert len(it.evidence.letters) == len(poison)
        # The forged session is in no ledger, and its calls are not those of units.
        assert not verdict.lost
        assert not verdict.twice
        assert not verdict.disorder
        assert not verdict.replay

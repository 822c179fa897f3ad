"""Folding gives the same findings whatever comes twice and wherever it is saved and restored."""

from agentsight_aggregator.worker.folding import Folding, Outcome
from agentsight_core import wire
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.counting_fold import POISON_PATH, CountingFold
from agentsight_core.testing.numbered_frames import AGENT, EPOCH_NS, numbered_frame
from hypothesis import given
from hypothesis import strategies as st


def poison(session: int, seq: int) -> bytes:
    header = pb.FrameHeader(
        agent_id=AGENT, epoch_ns=EPOCH_NS, session=session, seq=seq, event_count=2
    )
    good = pb.Event(session=session, file_opened=pb.FileOpened(path="/fine"))
    bad = pb.Event(session=session, file_opened=pb.FileOpened(path=POISON_PATH))
    return wire.encode_frame(header, wire.encode_events([good, bad]))


def tick(wall_ns: int) -> bytes:
    header = pb.FrameHeader(agent_id="tick", epoch_ns=wall_ns, seq=1, event_count=1)
    event = pb.Event(wall_ns=wall_ns, tick=pb.Tick())
    return wire.encode_frame(header, wire.encode_events([event]))


INPUT = st.one_of(
    st.builds(
        lambda session, seq: ("frame", numbered_frame(session, seq, events=2)[1]),
        st.integers(1, 3),
        st.integers(1, 12),
    ),
    st.builds(lambda s, n: ("frame", poison(s, n)), st.integers(1, 3), st.integers(1, 12)),
    st.builds(lambda wall: ("tick", tick(wall)), st.integers(1, 1 << 60)),
    st.builds(lambda junk: ("frame", junk), st.binary(max_size=40)),
)


def fold(log: list[tuple[str, bytes]], save_after: set[int]) -> list[bytes]:
    folding = Folding(0, CountingFold())
    findings = []
    for sequence, (kind, data) in enumerate(log, start=1):
        take = folding.tick if kind == "tick" else folding.frame
        found = take(sequence, data).findings
        findings += [finding.SerializeToString(deterministic=True) for finding in found]
        if sequence in save_after:
            state = folding.snapshot()
            folding = Folding(0, CountingFold())
            folding.restore(state)
            assert folding.position == sequence
            assert folding.snapshot() == state
    return findings


@given(st.lists(INPUT, max_size=30), st.sets(st.integers(1, 30)))
def test_saving_anywhere_changes_nothing(log: list[tuple[str, bytes]], saves: set[int]) -> None:
    assert fold(log, saves) == fold(log, set())


@given(st.lists(st.integers(1, 3), max_size=20), st.data())
def test_resent_frames_change_nothing(sessions: list[int], data: st.DataObject) -> None:
    log, seqs = [], dict.fromkeys((1, 2, 3), 0)
    for session in sessions:
        seqs[session] += 1
        log.append(("frame", numbered_frame(session, seqs[session])[1]))
    resent = list(log)
    for _ in range(data.draw(st.integers(0, 10)) if log else 0):
        which = data.draw(st.integers(0, len(log) - 1))
        frame = log[which]
        resent.insert(data.draw(st.integers(resent.index(frame) + 1, len(resent))), frame)
    assert fold(resent, set()) == fold(log, set())


@given(st.binary(max_size=200))
def test_garbage_is_a_dead_letter(junk: bytes) -> None:
    result = Folding(0, CountingFold()).frame(1, junk)
    assert result.outcome is Outcome.DEAD
    assert result.stage == "decode"
    assert result.findings[0].loss.reason == "dead_letter"

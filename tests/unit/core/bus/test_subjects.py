from agentsight_core.bus import subjects
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb.findings_pb2 import Edge, Finding


def test_names_with_dots_and_wildcards_stay_one_token() -> None:
    header = pb.FrameHeader(cluster="eu.west *", node="host.example.com", session=0xAB)
    assert subjects.event_subject(header) == "ev.eu_west__.host_example_com.00000000000000ab"
    header = pb.FrameHeader(session=1)
    assert subjects.event_subject(header) == "ev._._.0000000000000001"


def test_message_id_tells_runs_and_sessions_apart() -> None:
    headers = [
        pb.FrameHeader(agent_id="a", epoch_ns=epoch, session=session, seq=1)
        for epoch in (1, 2)
        for session in (1, 2)
    ]
    assert len({subjects.message_id(header) for header in headers}) == 4


def test_finding_subject_has_partition_session_and_kind() -> None:
    finding = Finding(session=0xAB, edge=Edge())
    assert subjects.finding_subject(7, finding) == "findings.7.00000000000000ab.edge"


def test_dead_letter_subject_keeps_stages_apart() -> None:
    assert subjects.dead_letter_subject(3, "export:my sink", 9) == "dlq.3.export:my_sink.9"

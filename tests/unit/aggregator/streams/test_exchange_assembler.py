import pytest
from agentsight_aggregator.exchange import Exchange
from agentsight_aggregator.streams.exchanges import ExchangeAssembler, ExchangeSettings
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.agent_log import AGENT_PID, AgentLog, wall_ns

HTTP = {"http_request_started", "http_response_started", "http_body", "http_finished"}


def run(log: AgentLog, assembler: ExchangeAssembler) -> list[Exchange]:
    found = []
    for event in log.events:
        kind = event.WhichOneof("body")
        if kind in HTTP:
            found += assembler.observe(kind, event)
    return found


def request(connection: int, index: int = 0) -> pb.HttpRequestStarted:
    return pb.HttpRequestStarted(connection=connection, exchange=index, method="POST", target="/x")


def body(connection: int, data: bytes, direction: pb.Direction, **pieces: list[int]) -> pb.HttpBody:
    return pb.HttpBody(connection=connection, direction=direction, data=data, **pieces)


def test_bodies_of_interleaved_connections_stay_apart():
    log = AgentLog()
    for connection in (1, 2):
        log.add(connection, AGENT_PID, http_request_started=request(connection))
    for at, connection, data in ((3, 1, b"a"), (4, 2, b"b"), (5, 1, b"A"), (6, 2, b"B")):
        log.add(at, AGENT_PID, http_body=body(connection, data, pb.DIRECTION_RESPONSE))
    for connection in (1, 2):
        finished = pb.HttpFinished(connection=connection, outcome=pb.HTTP_OUTCOME_COMPLETE)
        log.add(7, AGENT_PID, http_finished=finished)
    first, second = run(log, ExchangeAssembler())
    assert (first.response_body, second.response_body) == (b"aA", b"bB")
    assert first.complete
    assert (first.start_ns, first.end_ns) == (wall_ns(1), wall_ns(7))


def test_pieces_keep_their_arrival_across_events():
    log = AgentLog()
    log.add(1, AGENT_PID, http_request_started=request(1))
    boot_of = 5_000 * 10**9
    for at, data in ((3.0, b"abcd"), (4.0, b"ef")):
        pieces = {
            "piece_offsets": [0, 1],
            "piece_boot_ns": [boot_of + round((at - 0.5) * 1e9), boot_of + round(at * 1e9)],
        }
        log.add(at, AGENT_PID, http_body=body(1, data, pb.DIRECTION_RESPONSE, **pieces))
    end = pb.HttpFinished(
        connection=1, outcome=pb.HTTP_OUTCOME_COMPLETE, request_end_boot_ns=boot_of + 2 * 10**9
    )
    log.add(5, AGENT_PID, http_finished=end)
    (exchange,) = run(log, ExchangeAssembler())
    times = (2.5, 3.0, 3.5, 4.0)
    assert exchange.response_pieces == tuple(
        zip((0, 1, 4, 5), [wall_ns(at) for at in times], strict=True)
    )
    assert exchange.request_end_ns == wall_ns(2)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (pb.HttpFinished(outcome=pb.HTTP_OUTCOME_ABORTED), "connection closed"),
        (pb.HttpFinished(outcome=pb.HTTP_OUTCOME_GAP, lost_bytes=7), "7 bytes are missing"),
        (pb.HttpFinished(outcome=pb.HTTP_OUTCOME_MALFORMED, error="bad chunk"), "bad chunk"),
        (
            pb.HttpFinished(outcome=pb.HTTP_OUTCOME_COMPLETE, response_truncated=True),
            "response body is cut",
        ),
    ],
)
def test_what_is_not_whole_says_why(end: pb.HttpFinished, words: str):
    log = AgentLog()
    log.add(1, AGENT_PID, http_request_started=request(1))
    end.connection = 1
    log.add(2, AGENT_PID, http_finished=end)
    (exchange,) = run(log, ExchangeAssembler())
    assert not exchange.complete
    assert words in exchange.problem


def test_end_of_session_and_silence_close_what_is_open():
    log = AgentLog()
    log.add(1, AGENT_PID, http_request_started=request(1))
    log.add(2, AGENT_PID, http_request_started=request(2))
    assembler = ExchangeAssembler(ExchangeSettings(idle_ns=10 * 10**9))
    assert run(log, assembler) == []
    (idle,) = assembler.advance(wall_ns(11.5))
    assert (idle.connection, idle.complete) == (1, False)
    (left,) = assembler.close_session(log.session)
    assert (left.connection, left.end_ns) == (2, wall_ns(2))
    assert (assembler.state.count, assembler.state.held_bytes, assembler.state.open) == (0, 0, {})


def test_memory_is_bounded_and_the_oldest_of_the_same_session_pays():
    assembler = ExchangeAssembler(ExchangeSettings(max_open_bytes=100_000))
    other = AgentLog(session=2)
    other.add(0, AGENT_PID, http_request_started=request(9))
    run(other, assembler)
    log = AgentLog()
    for number in range(1, 5):
        log.add(number, AGENT_PID, http_request_started=request(number))
        big = body(number, bytes(40_000), pb.DIRECTION_REQUEST)
        log.add(number, AGENT_PID, http_body=big)
    closed = run(log, assembler)
    assert [exchange.connection for exchange in closed] == [1, 2]
    assert all("too much is open" in exchange.problem for exchange in closed)
    assert assembler.state.evicted == 2
    assert assembler.state.held_bytes <= 100_000
    assert 2 in assembler.state.open


def test_events_without_a_request_are_counted():
    log = AgentLog()
    log.add(1, AGENT_PID, http_body=body(5, b"x", pb.DIRECTION_RESPONSE))
    log.add(2, AGENT_PID, http_finished=pb.HttpFinished(connection=5))
    assembler = ExchangeAssembler()
    assert run(log, assembler) == []
    assert assembler.state.orphans == {"http_body": 1, "http_finished": 1}

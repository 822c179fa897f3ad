"""What HTTP/2 has beyond requests and answers: resets, GOAWAY, pushes, tunnels, bounds."""

from __future__ import annotations

from collections.abc import Iterable

import h2.config
import h2.connection
import h2.events
import pytest
from agentsight_core.parsers.accounts import HttpSettings
from agentsight_core.parsers.conversation import Conversation
from agentsight_core.parsers.messages import (
    BodyPart,
    ExchangeFinished,
    HttpMessage,
    RequestStarted,
    ResponseStarted,
    Role,
    WebSocketKind,
    WebSocketMessage,
)
from agentsight_core.pb import events_pb2 as pb
from h2.settings import SettingCodes
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage

Pairs = list[tuple[str, str]]
ASK: Pairs = [(":method", "POST"), (":path", "/v1"), (":scheme", "https"), (":authority", "h")]


class Wire:
    """A client and a server of the `h2` library, watched from the client's end."""

    def __init__(self, settings: HttpSettings | None = None) -> None:
        self.http = Conversation(settings or HttpSettings())
        self.out: list[HttpMessage] = []
        self.client, self.server = (
            h2.connection.H2Connection(
                h2.config.H2Configuration(client_side=side, header_encoding=None)
            )
            for side in (True, False)
        )
        self.server.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
        self.client.initiate_connection()
        self.server.initiate_connection()
        self.pass_on()

    def pass_on(self, *, lost: bool | None = None) -> None:
        """Bring over what both have written; what the direction `lost` has is not captured."""
        for _ in range(2):
            for written, one, other in (
                (True, self.client, self.server),
                (False, self.server, self.client),
            ):
                data = one.data_to_send()
                other.receive_data(data)
                if data and lost is not written:
                    self.out += self.http.feed(written, data, (0,), (1,))
                elif data:
                    self.out += self.http.feed(written, b"", (), (), lost=len(data))

    def ask(self, stream: int = 1, body: bytes = b"{}", *, end: bool = True) -> None:
        self.client.send_headers(stream, ASK)
        self.client.send_data(stream, body, end_stream=end)
        self.pass_on()

    def answer(self, stream: int = 1, fields: Iterable[tuple[str, str]] = ()) -> None:
        self.server.send_headers(stream, [(":status", "200"), *fields])
        self.server.send_data(stream, b"hello", end_stream=True)
        self.pass_on()

    @property
    def ends(self) -> list[ExchangeFinished]:
        return [message for message in self.out if isinstance(message, ExchangeFinished)]


def test_a_reset_ends_the_exchange() -> None:
    wire = Wire()
    wire.ask()
    wire.server.send_headers(1, [(":status", "200")])
    wire.server.send_data(1, b"half")
    wire.pass_on()
    wire.client.reset_stream(1, error_code=8)
    wire.pass_on()
    (end,) = wire.ends
    assert end.outcome == pb.HTTP_OUTCOME_ABORTED
    assert end.error == "the client reset the stream: CANCEL"


def test_a_reset_behind_the_answer_means_that_the_rest_of_the_request_is_not_needed() -> None:
    wire = Wire()
    wire.ask(end=False)
    wire.answer()
    assert wire.ends == []
    wire.server.reset_stream(1, error_code=0)
    wire.pass_on()
    (end,) = wire.ends
    assert (end.outcome, end.error) == (pb.HTTP_OUTCOME_COMPLETE, "")


def test_goaway_ends_what_the_server_did_not_process() -> None:
    wire = Wire()
    wire.ask(1)
    wire.ask(3)
    wire.server.close_connection(error_code=11, last_stream_id=1)
    wire.pass_on()
    (end,) = wire.ends
    assert (end.exchange, end.outcome) == (1, pb.HTTP_OUTCOME_ABORTED)
    assert end.error == "the server did not process the request (GOAWAY: ENHANCE_YOUR_CALM)"


def test_a_push_keeps_the_header_table_in_step() -> None:
    wire = Wire()
    wire.ask()
    pushed = [(":method", "GET"), (":path", "/p"), (":scheme", "https"), (":authority", "h")]
    wire.server.push_stream(1, 2, [*pushed, ("x-long", "value of the push")])
    wire.answer(2, [("x-long", "value of the push")])
    wire.answer(1, [("x-long", "value of the push")])
    (response,) = [message for message in wire.out if isinstance(message, ResponseStarted)]
    assert response.headers == (("x-long", "value of the push"),)
    assert len(wire.ends) == 1


def test_what_an_unseen_header_block_has_said_is_not_guessed() -> None:
    wire = Wire()
    wire.client.send_headers(1, [*ASK, ("x-secret", "of the first request")], end_stream=True)
    wire.pass_on(lost=True)
    wire.client.send_headers(3, [*ASK, ("x-secret", "of the first request")], end_stream=True)
    wire.pass_on()
    wire.answer(3)
    (request,) = [message for message in wire.out if isinstance(message, RequestStarted)]
    assert (request.method, request.headers) == ("POST", ())
    (end,) = wire.ends
    assert end.outcome == pb.HTTP_OUTCOME_GAP
    assert "header fields refer to what was not seen" in end.error


def test_a_gap_within_data_leaves_the_other_streams_whole() -> None:
    wire = Wire()
    wire.ask(1)
    wire.ask(3)
    wire.server.send_headers(1, [(":status", "200")])
    wire.pass_on()
    wire.server.send_data(1, b"a" * 1000, end_stream=True)
    data = wire.server.data_to_send()
    wire.out += wire.http.feed(False, data[:300], (0,), (1,))
    wire.out += wire.http.feed(False, data[500:], (0,), (1,), lost=200)
    wire.answer(3, [("x-after", "the gap")])
    torn, whole = wire.ends
    assert (torn.outcome, torn.lost_bytes) == (pb.HTTP_OUTCOME_GAP, 200)
    assert (whole.outcome, whole.error) == (pb.HTTP_OUTCOME_COMPLETE, "")


def test_an_answer_that_is_fed_before_its_request_waits_for_it() -> None:
    wire = Wire()
    wire.client.send_headers(1, ASK, end_stream=True)
    asked = wire.client.data_to_send()
    wire.server.receive_data(asked)
    wire.server.send_headers(1, [(":status", "200")], end_stream=True)
    wire.out += wire.http.feed(False, wire.server.data_to_send(), (0,), (2,))
    assert wire.http.held_bytes > 0
    wire.out += wire.http.feed(True, asked, (0,), (1,))
    assert [type(message) for message in wire.out] == [
        RequestStarted,
        ResponseStarted,
        ExchangeFinished,
    ]


def test_a_header_block_beyond_the_bound_is_skipped_and_the_next_stream_is_read() -> None:
    wire = Wire(HttpSettings(max_head_bytes=2000))
    wire.client.send_headers(1, [*ASK, ("x-long", "é" * 9000)], end_stream=True)
    wire.pass_on()
    wire.ask(3)
    wire.answer(3)
    requests = [message for message in wire.out if isinstance(message, RequestStarted)]
    assert [request.method for request in requests] == ["POST"]
    assert wire.http.skipped["head_limit"] > 9000
    http = wire.http
    assert http.bytes_in == http.bytes_parsed + sum(http.skipped.values()) + http.held_bytes


def test_the_server_end_is_told_from_the_client_end() -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    settings = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
    for written, data, role in (
        (True, preface, Role.CLIENT),
        (False, preface, Role.SERVER),
        (True, settings, Role.SERVER),
        (False, settings, Role.CLIENT),
    ):
        http = Conversation()
        http.feed(written, data, (0,), (0,))
        assert (http.role, http.is_http2) == (role, True)


@pytest.mark.parametrize("frame_bytes", [1, 7, 10_000])
def test_websocket_over_http2(frame_bytes: int) -> None:
    wire = Wire()
    wire.client.send_headers(1, [(":method", "CONNECT"), (":protocol", "websocket"), *ASK[1:]])
    wire.pass_on()
    wire.server.send_headers(1, [(":status", "200")])
    wire.pass_on()
    client, server = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)
    for written, peer, said in (
        (True, client, [TextMessage(data="question")]),
        (False, server, [BytesMessage(data=b"answer"), CloseConnection(code=1001)]),
    ):
        sender = wire.client if written else wire.server
        for event in said:
            data = peer.send(event)
            for start in range(0, len(data), frame_bytes):
                sender.send_data(1, data[start : start + frame_bytes])
                wire.pass_on()
    wire.client.end_stream(1)
    wire.server.end_stream(1)
    wire.pass_on()
    found = [message for message in wire.out if isinstance(message, WebSocketMessage)]
    assert [(message.kind, message.data, message.close_code) for message in found] == [
        (WebSocketKind.TEXT, b"question", 0),
        (WebSocketKind.BINARY, b"answer", 0),
        (WebSocketKind.CLOSE, b"", 1001),
    ]
    assert not [message for message in wire.out if isinstance(message, BodyPart)]
    (end,) = wire.ends
    assert (end.outcome, end.error) == (pb.HTTP_OUTCOME_UPGRADED, "")
    assert (end.request_messages, end.response_messages) == (1, 1)
    assert wire.http.skipped == {}

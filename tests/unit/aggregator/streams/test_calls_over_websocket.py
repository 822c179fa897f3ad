"""Messages of a WebSocket become calls of a model, through the whole fold."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from agentsight_aggregator.call import LlmCall
from agentsight_aggregator.exchange import Exchange
from agentsight_aggregator.fold import FoldSettings, PartitionFold
from agentsight_aggregator.providers import read_call
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.ports import END_OF_TIME_NS
from agentsight_core.testing.agent_log import AGENT_PID, AgentLog, wall_ns

MS = 1_000_000


class Socket:
    """A log with one WebSocket in it."""

    def __init__(self, target: str, authority: str = "api.openai.com") -> None:
        self.log = AgentLog()
        self.log.start()
        head = pb.HttpRequestStarted(
            connection=1,
            method="GET",
            target=target,
            scheme="https",
            authority=authority,
            headers=[pb.Header(name="upgrade", value="websocket")],
        )
        self.log.add(1.0, AGENT_PID, http_request_started=head)
        reply = pb.HttpResponseStarted(connection=1, status=101)
        self.log.add(1.1, AGENT_PID, http_response_started=reply)

    def say(self, at_s: float, *, client: bool = False, cut: int = 0, **value: Any) -> None:
        """Add a message, in two events if it is to be cut."""
        data = json.dumps(value).encode()
        parts = [data[:cut], data[cut:]] if cut else [data]
        start_boot_ns = self.log.events[0].boot_ns + round(at_s * 1e9)
        for number, part in enumerate(parts):
            message = pb.WebSocketMessage(
                connection=1,
                direction=pb.DIRECTION_REQUEST if client else pb.DIRECTION_RESPONSE,
                kind=pb.WEB_SOCKET_KIND_TEXT,
                data=part,
                start_boot_ns=start_boot_ns,
                continues=number + 1 < len(parts),
            )
            self.log.add(at_s, AGENT_PID, websocket_message=message)

    def close(self, at_s: float) -> None:
        end = pb.HttpFinished(connection=1, outcome=pb.HTTP_OUTCOME_UPGRADED)
        self.log.add(at_s, AGENT_PID, http_finished=end)

    def calls(self, *, checkpoints: bool = False) -> list[LlmCall]:
        """Fold the log, with a snapshot and a restart between any two events if wanted."""
        calls: list[LlmCall] = []

        def read(exchange: Exchange) -> LlmCall | None:
            call = read_call(exchange)
            calls.extend([call] if call else [])
            return call

        fold = PartitionFold(read, FoldSettings())
        for event in self.log.events:
            fold.observe(event)
            if checkpoints:
                state, fold = fold.snapshot(), PartitionFold(read, FoldSettings())
                fold.restore(state)
        fold.advance(END_OF_TIME_NS)
        return calls


def answer(number: int) -> dict[str, Any]:
    usage = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}
    content = [{"type": "output_text", "text": f"answer {number}"}]
    item = {"type": "message", "role": "assistant", "content": content}
    head = {"id": f"resp_{number}", "model": "gpt-test", "status": "completed"}
    return {**head, "output": [item], "usage": usage}


TOOL_CALL = {"type": "function_call", "id": "item_2", "call_id": "call_1", "name": "weather"}
TOOL_CALL["arguments"] = '{"city":"Bern"}'


def realtime_answer(answer_id: str, item: dict[str, Any]) -> dict[str, Any]:
    usage = {"input_tokens": 30, "output_tokens": 9, "input_token_details": {"cached_tokens": 10}}
    return {"id": answer_id, "status": "completed", "output": [item], "usage": usage}


@pytest.mark.parametrize("checkpoints", [False, True])
def test_each_response_of_a_responses_socket_is_a_call(checkpoints: bool) -> None:
    socket = Socket("/v1/responses")
    for number, at_s in enumerate((2.0, 4.0)):
        ask = {"model": "gpt-test", "input": f"question {number}", "instructions": "You help."}
        socket.say(at_s, client=True, cut=20, type="response.create", **ask)
        created = {"id": f"resp_{number}", "status": "in_progress"}
        socket.say(at_s + 0.1, type="response.created", response=created)
        socket.say(at_s + 0.5, type="response.output_text.delta", delta="answer")
        socket.say(at_s + 0.6, type="response.output_text.delta", delta=f" {number}")
        socket.say(at_s + 0.9, type="response.completed", response=answer(number))
    socket.close(6.0)

    first, second = socket.calls(checkpoints=checkpoints)
    assert [first.input[0].text, second.input[0].text] == ["question 0", "question 1"]
    assert [first.output[0].text, second.output[0].text] == ["answer 0", "answer 1"]
    assert (first.api, first.provider, first.response_model) == (
        "openai.responses",
        "openai",
        "gpt-test",
    )
    assert (first.usage.input_tokens, first.usage.output_tokens) == (20, 5)
    assert (first.stream, first.chunks, first.finish_reasons) == (True, 2, ("completed",))
    assert (first.start_ns, first.end_ns) == (wall_ns(2.0), wall_ns(2.9))
    assert first.first_chunk_ns == wall_ns(2.5)
    assert (first.error_type, first.problems) == ("", ())


def test_a_failed_response_and_one_without_an_end() -> None:
    socket = Socket("/v1/responses")
    socket.say(2.0, client=True, type="response.create", model="gpt-test", input="a")
    error = {"type": "invalid_request_error", "code": "previous_response_not_found"}
    socket.say(2.1, type="error", status=400, error={**error, "message": "no"})
    socket.say(3.0, client=True, type="response.create", model="gpt-test", input="b")
    socket.say(3.1, type="response.created", response={"id": "resp_b"})
    socket.close(4.0)

    failed, unfinished = socket.calls()
    assert (failed.error_type, failed.error_message) == ("previous_response_not_found", "no")
    assert unfinished.error_type == "aborted"
    assert unfinished.problems == ("the connection closed before the exchange ended",)


def test_a_warm_up_is_no_call() -> None:
    socket = Socket("/v1/responses")
    socket.say(2.0, client=True, type="response.create", model="gpt-test", generate=False)
    socket.say(2.1, type="response.completed", response=answer(0))
    socket.close(3.0)
    assert socket.calls() == []


@pytest.mark.parametrize("checkpoints", [False, True])
def test_realtime_asks_with_what_was_said_before(checkpoints: bool) -> None:
    socket = Socket("/v1/realtime?model=gpt-realtime")
    tool = {"type": "function", "name": "weather", "parameters": {}}
    session = {"model": "gpt-realtime", "instructions": "Be brief.", "tools": [tool]}
    socket.say(1.2, type="session.created", session=session)
    asked = {"type": "message", "role": "user"}
    item = {**asked, "content": [{"type": "input_text", "text": "Rain?"}]}
    socket.say(2.0, client=True, type="conversation.item.create", item=item)
    socket.say(2.0, client=True, type="response.create")
    socket.say(2.1, type="conversation.item.added", item={**item, "id": "item_1"})
    socket.say(2.2, type="response.created", response={"id": "resp_1"})
    socket.say(2.3, type="response.function_call_arguments.delta", response_id="resp_1", delta="{")
    socket.say(2.5, type="response.done", response=realtime_answer("resp_1", TOOL_CALL))
    # Then a sentence is heard, and the server answers by itself, in sound.
    heard = {**asked, "id": "item_3", "content": [{"type": "input_audio"}]}
    socket.say(3.0, type="conversation.item.added", item=heard)
    transcribed = "conversation.item.input_audio_transcription.completed"
    socket.say(3.1, type=transcribed, item_id="item_3", transcript="And tomorrow?")
    socket.say(3.2, type="response.created", response={"id": "resp_2"})
    socket.say(3.3, type="response.output_audio.delta", response_id="resp_2", delta="AAAA" * 99)
    said = {"type": "output_audio", "transcript": "Sunny."}
    item = {"type": "message", "role": "assistant", "content": [said]}
    socket.say(3.5, type="response.done", response=realtime_answer("resp_2", item))
    socket.close(4.0)

    first, second = socket.calls(checkpoints=checkpoints)
    assert (first.api, first.request_model) == ("openai.realtime", "gpt-realtime")
    assert first.system is not None
    assert first.system.text == "Be brief."
    assert [json.loads(tool)["name"] for tool in first.tool_definitions] == ["weather"]
    assert [message.text for message in first.input] == ["Rain?"]
    assert [(call.name, call.arguments) for call in first.tool_calls] == [
        ("weather", '{"city":"Bern"}')
    ]
    assert (first.usage.input_tokens, first.usage.cache_read_tokens) == (30, 10)
    assert first.first_chunk_ns == wall_ns(2.3)
    assert [message.role for message in second.input] == ["user", "assistant", "user"]
    assert second.input[-1].text == "And tomorrow?"
    assert second.output[0].text == "Sunny."
    assert (second.start_ns, second.first_chunk_ns) == (wall_ns(3.2), wall_ns(3.3))
    assert first.problems == second.problems == ()


LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


@pytest.mark.parametrize("checkpoints", [False, True])
def test_turns_of_gemini_live_are_calls(checkpoints: bool) -> None:
    socket = Socket(LIVE, "generativelanguage.googleapis.com")
    tools = [{"functionDeclarations": [{"name": "weather"}]}]
    socket.say(1.2, client=True, setup={"model": "models/gemini-live", "tools": tools})
    socket.say(1.3, setupComplete={})
    turn = {"role": "user", "parts": [{"text": "Rain?"}]}
    socket.say(2.0, client=True, clientContent={"turns": [turn], "turnComplete": True})
    function = {"id": "f1", "name": "weather", "args": {"city": "Bern"}}
    socket.say(2.2, toolCall={"functionCalls": [function]})
    result = {"id": "f1", "name": "weather", "response": {"rain": False}}
    socket.say(2.5, client=True, tool_response={"function_responses": [result]})
    socket.say(2.7, serverContent={"modelTurn": {"parts": [{"text": "It is "}]}})
    socket.say(2.8, serverContent={"modelTurn": {"parts": [{"text": "dry."}]}})
    usage = {"promptTokenCount": 12, "responseTokenCount": 4, "totalTokenCount": 16}
    socket.say(2.9, serverContent={"turnComplete": True}, usageMetadata=usage)
    socket.say(3.0, client=True, clientContent={"turns": [turn]})
    socket.say(3.1, serverContent={"turnComplete": True})
    socket.close(3.2)

    first, second, third = socket.calls(checkpoints=checkpoints)
    assert [message.text for message in third.input] == ["Rain?", "", "", "It is dry.", "Rain?"]
    assert (first.api, first.provider, first.request_model) == (
        "gemini.live",
        "gcp.gemini",
        "gemini-live",
    )
    assert [(call.id, call.name) for call in first.tool_calls] == [("f1", "weather")]
    assert [message.text for message in first.input] == ["Rain?"]
    assert second.output[0].text == "It is dry."
    assert second.input[-1].tool_results[0].id == "f1"
    assert (second.usage.input_tokens, second.usage.output_tokens) == (12, 4)
    assert (second.start_ns, second.first_chunk_ns) == (wall_ns(2.5), wall_ns(2.7))
    assert second.finish_reasons == ("STOP",)
    assert first.problems == second.problems == ()


def test_an_open_socket_does_not_hold_up_its_session() -> None:
    socket = Socket("/v1/realtime?model=gpt-realtime")
    fold = PartitionFold(read_call, FoldSettings())
    for event in socket.log.events:
        fold.observe(event)
    state = msgspec.msgpack.decode(fold.snapshot()[1:])
    assert state["exchanges"]["count"] == 1
    assert fold._assembler.oldest_start_ns(socket.log.session) == 0


def test_other_sockets_give_no_calls() -> None:
    socket = Socket("/chat", "example.org")
    socket.say(2.0, client=True, type="response.create", model="gpt-test", input="a")
    socket.say(2.1, type="response.completed", response=answer(0))
    socket.close(3.0)
    assert socket.calls() == []

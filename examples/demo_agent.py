#!/usr/bin/env python3
"""An ordinary AI agent: asks a model, runs the tools that it asks for, until it is done.

It uses the official `anthropic` and `openai` packages and nothing else. Each JOB is a JSON file
with `api` (anthropic.messages, openai.chat, openai.responses), `model`, `stream`, `system` and
`task`; further keys are not read. The SDKs find the servers by their usual variables
(ANTHROPIC_BASE_URL, OPENAI_BASE_URL, SSL_CERT_FILE and the API keys).

    demo_agent.py --log agent.jsonl --folder /tmp/work JOB…
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import anthropic
import openai
from agent_tools import TOOLS, Toolbox, ToolUse

MAX_TOKENS = 1024
MAX_ANSWERS = 20


class Conversation(Protocol):
    """A conversation with a model, whatever its API."""

    def ask(self) -> tuple[str, list[ToolUse]]:
        """Send the conversation; return the answer's text and the tools that it asks for."""

    def add_results(self, uses: list[ToolUse]) -> None:
        """Add what the tools gave."""


class AnthropicConversation:
    """Anthropic Messages, streamed or not."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._client = anthropic.Anthropic()
        self._job = job
        self._messages: list[Any] = [{"role": "user", "content": job["task"]}]
        self._tools = [
            {"name": name, "description": tool.description, "input_schema": tool.schema}
            for name, tool in TOOLS.items()
        ]

    def ask(self) -> tuple[str, list[ToolUse]]:
        """See Conversation."""
        request: dict[str, Any] = {
            "model": self._job["model"],
            "max_tokens": MAX_TOKENS,
            "system": self._job["system"],
            "messages": self._messages,
            "tools": self._tools,
        }
        if self._job["stream"]:
            with self._client.messages.stream(**request) as stream:
                answer = stream.get_final_message()
        else:
            answer = self._client.messages.create(**request)
        content = [block.model_dump(exclude_none=True) for block in answer.content]
        self._messages.append({"role": "assistant", "content": content})
        text = "".join(block.text for block in answer.content if block.type == "text")
        uses = [
            ToolUse(block.id, block.name, dict(block.input))
            for block in answer.content
            if block.type == "tool_use"
        ]
        return text, uses

    def add_results(self, uses: list[ToolUse]) -> None:
        """See Conversation."""
        content = [
            {
                "type": "tool_result",
                "tool_use_id": use.id,
                "content": use.result,
                "is_error": use.failed,
            }
            for use in uses
        ]
        self._messages.append({"role": "user", "content": content})


class ChatConversation:
    """OpenAI Chat Completions, streamed."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._client = openai.OpenAI()
        self._job = job
        self._messages: list[Any] = [
            {"role": "system", "content": job["system"]},
            {"role": "user", "content": job["task"]},
        ]
        self._tools: list[Any] = [
            {
                "type": "function",
                "function": {
                    "name": name,
                    "description": tool.description,
                    "parameters": tool.schema,
                },
            }
            for name, tool in TOOLS.items()
        ]

    def ask(self) -> tuple[str, list[ToolUse]]:
        """See Conversation."""
        with self._client.chat.completions.stream(
            model=self._job["model"],
            messages=self._messages,
            tools=self._tools,
            stream_options={"include_usage": True},
        ) as stream:
            message = stream.get_final_completion().choices[0].message
        calls: list[dict[str, Any]] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in message.tool_calls or []
        ]
        answer: dict[str, Any] = {"role": "assistant", "content": message.content}
        self._messages.append({**answer, "tool_calls": calls} if calls else answer)
        uses = [
            ToolUse(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in calls
        ]
        return message.content or "", uses

    def add_results(self, uses: list[ToolUse]) -> None:
        """See Conversation."""
        self._messages += [
            {"role": "tool", "tool_call_id": use.id, "content": use.result} for use in uses
        ]


class ResponsesConversation:
    """OpenAI Responses, streamed; the history is sent each time (`store` is off)."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._client = openai.OpenAI()
        self._job = job
        self._items: list[Any] = [{"role": "user", "content": job["task"]}]
        self._tools: list[Any] = [
            {
                "type": "function",
                "name": name,
                "description": tool.description,
                "parameters": tool.schema,
                "strict": False,
            }
            for name, tool in TOOLS.items()
        ]

    def ask(self) -> tuple[str, list[ToolUse]]:
        """See Conversation."""
        with self._client.responses.stream(
            model=self._job["model"],
            instructions=self._job["system"],
            input=self._items,
            tools=self._tools,
            store=False,
        ) as stream:
            response = stream.get_final_response()
        uses = []
        for item in response.output:
            if item.type == "function_call":
                call = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
                self._items.append({"type": "function_call", **call})
                uses.append(ToolUse(item.call_id, item.name, json.loads(item.arguments)))
            elif item.type == "message":
                self._items.append({"role": "assistant", "content": response.output_text})
        return response.output_text, uses

    def add_results(self, uses: list[ToolUse]) -> None:
        """See Conversation."""
        self._items += [
            {"type": "function_call_output", "call_id": use.id, "output": use.result}
            for use in uses
        ]


APIS: dict[str, type[AnthropicConversation | ChatConversation | ResponsesConversation]] = {
    "anthropic.messages": AnthropicConversation,
    "openai.chat": ChatConversation,
    "openai.responses": ResponsesConversation,
}


def work(job: dict[str, Any], toolbox: Toolbox) -> None:
    """Do one job: ask, run tools (those of one answer at the same time), ask again."""
    print(f"user: {job['task']}", flush=True)
    conversation: Conversation = APIS[job["api"]](job)
    for _ in range(MAX_ANSWERS):
        text, uses = conversation.ask()
        if text:
            print(f"model: {text}", flush=True)
        if not uses:
            return
        with ThreadPoolExecutor(max_workers=len(uses)) as pool:
            list(pool.map(toolbox.run, uses))
        for use in uses:
            print(f"tool: {use.name} {json.dumps(use.arguments)[:70]}", flush=True)
        conversation.add_results(uses)
    raise RuntimeError(f"no end after {MAX_ANSWERS} answers")


def main() -> int:
    """Do all jobs; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="+", type=Path, metavar="JOB", help="JSON file of a job")
    parser.add_argument("--folder", type=Path, required=True, help="folder that the tools work in")
    parser.add_argument("--log", type=Path, required=True, help="where tool runs are logged")
    arguments = parser.parse_args()
    with arguments.log.open("a", encoding="utf-8") as log:
        toolbox = Toolbox(arguments.folder, log)
        for path in arguments.jobs:
            work(json.loads(path.read_text(encoding="utf-8")), toolbox)
    return 0


if __name__ == "__main__":
    sys.exit(main())

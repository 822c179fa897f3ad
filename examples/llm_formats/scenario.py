"""Scenarios: what a pretended model says in a conversation, read from JSON files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Pieces of text and of JSON arguments as a model would stream them.
_WORDS = re.compile(r"\s*\S+\s*")
_ARGUMENT_CHARS = 12


@dataclass(frozen=True)
class ToolCall:
    """A tool call that the model asks for."""

    id: str
    name: str
    arguments: dict[str, Any]

    @property
    def json(self) -> str:
        """The arguments as the model writes them."""
        return json.dumps(self.arguments)


@dataclass(frozen=True)
class Usage:
    """Tokens of one call; `input` includes what came from the cache, `output` the reasoning."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Failure:
    """An answer that is an error; the client may try again after `retry_after_ms`."""

    status: int
    type: str
    message: str
    retry_after_ms: int = 0


@dataclass(frozen=True)
class Step:
    """One answer of the model, and the failures that its first requests meet."""

    text: str
    usage: Usage
    tool_calls: tuple[ToolCall, ...] = ()
    failures: tuple[Failure, ...] = ()
    first_token_ms: int = 120
    token_ms: int = 8


@dataclass(frozen=True)
class Scenario:
    """One conversation: what the user asks and what the model answers, step by step."""

    name: str
    # "anthropic.messages", "openai.chat", "openai.responses"
    api: str
    model: str
    response_model: str
    stream: bool
    system: str
    task: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Request:
    """What a client asks, as far as the server has to know."""

    model: str
    stream: bool
    # Text of the first message of the user.
    task: str
    # Answers of the model that the request repeats: which step comes next.
    answers: int
    # Chat Completions: the client wants usage at the end of the stream.
    include_usage: bool = True


@dataclass(frozen=True)
class Answer:
    """A step of a scenario as the answer to one request."""

    id: str
    model: str
    step: Step
    created_s: int
    include_usage: bool = True


@dataclass(frozen=True)
class Piece:
    """Bytes of a stream that are sent after a pause of `pause_ms`."""

    data: bytes
    pause_ms: int = 0


@dataclass
class Scenarios:
    """All scenarios of a folder."""

    all: list[Scenario] = field(default_factory=list)

    def find(self, api: str, request: Request) -> Scenario | None:
        """Return the scenario of a conversation, None if nobody wrote one."""
        return next(
            (
                scenario
                for scenario in self.all
                if (scenario.api, scenario.model, scenario.task)
                == (api, request.model, request.task)
            ),
            None,
        )


def read_scenarios(folder: Path) -> Scenarios:
    """Return the scenarios in the `*.json` files of `folder`, in the order of their names."""
    return Scenarios([read_scenario(path) for path in sorted(folder.glob("*.json"))])


def read_scenario(path: Path) -> Scenario:
    """Return the scenario in a file; KeyError and TypeError say what is missing or unknown."""
    data = json.loads(path.read_text(encoding="utf-8"))
    steps = tuple(_step(step) for step in data.pop("steps"))
    return Scenario(**data, steps=steps)


def _step(data: dict[str, Any]) -> Step:
    return Step(
        text=data.pop("text"),
        usage=Usage(**data.pop("usage")),
        tool_calls=tuple(ToolCall(**call) for call in data.pop("tool_calls", [])),
        failures=tuple(Failure(**failure) for failure in data.pop("failures", [])),
        **data,
    )


def words(text: str) -> Iterable[str]:
    """Return `text` in the pieces in which a model would stream it."""
    return _WORDS.findall(text)


def fragments(arguments: str) -> Iterable[str]:
    """Return JSON `arguments` in the pieces in which a model would stream them."""
    return [
        arguments[start : start + _ARGUMENT_CHARS]
        for start in range(0, len(arguments), _ARGUMENT_CHARS)
    ]

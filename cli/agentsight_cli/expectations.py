"""What the demo must have captured, and what of it is not there.

Computed from the scenario files (what the server answers) and from the example agent's own log
(what it ran). Must not know how anything was captured.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from agentsight_aggregator.exporters.attributes import plain

from agentsight_cli.spans import Kind, SessionSpans, SpanNode

Item = TypeVar("Item", "Call", "Tool")

_WRITERS = ("write_file", "edit_file")


class Call(NamedTuple):
    """One call of a model, as the server answered it."""

    model: str
    response_model: str
    stream: bool
    input_tokens: int
    output_tokens: int
    tools: tuple[str, ...]
    # Failed attempts before it.
    retries: int
    # "" for a call that went well, as all of them do in the end.
    error: str = ""


class Tool(NamedTuple):
    """One tool call that a model asked for."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command that the agent ran for a tool call."""

    pid: int
    exit_code: int
    tool_id: str


@dataclass(slots=True)
class Expected:
    """Everything that must have been captured."""

    calls: Counter[Call] = field(default_factory=Counter)
    tools: Counter[Tool] = field(default_factory=Counter)
    commands: list[Command] = field(default_factory=list)
    # Paths that a tool wrote, relative to the agent's folder.
    written: list[str] = field(default_factory=list)
    # The port of the server that the agent talks to.
    port: int = 0

    def counts(self) -> dict[str, int]:
        """Return how many of each there are."""
        return {
            "llm_calls": self.calls.total(),
            "tool_calls": self.tools.total(),
            "commands": len(self.commands),
            "written_files": len(self.written),
        }


def expect(scenarios: Iterable[Path], log: Path, port: int) -> Expected:
    """Return what the scenarios, and the agent's log of what it ran for them, make necessary."""
    expected = Expected(port=port)
    for path in scenarios:
        _add_scenario(expected, json.loads(path.read_text(encoding="utf-8")))
    for line in log.read_text(encoding="utf-8").splitlines():
        _add_tool_run(expected, json.loads(line))
    return expected


def compare(expected: Expected, session: SessionSpans) -> list[str]:
    """Return one sentence for each thing that is missing, or there without a reason."""
    problems = _differences("call", expected.calls, Counter(map(_call, session.of_kind(Kind.CALL))))
    problems += _differences(
        "tool call", expected.tools, Counter(map(_tool, session.of_kind(Kind.TOOL)))
    )
    by_id = {node.span.span_id: node for node in session.nodes}
    processes = {node.integer("process.pid"): node for node in session.of_kind(Kind.PROCESS)}
    for command in expected.commands:
        problems += _check_command(command, processes.get(command.pid), by_id)
    effects = [
        (event.name, plain(event.attributes))
        for node in session.nodes
        for event in node.span.events
    ]
    for path in expected.written:
        if not any(name == "file" and _wrote(attributes, path) for name, attributes in effects):
            problems.append(f"missing: writing of the file {path}")
    ports = {attributes.get("network.peer.port") for name, attributes in effects}
    if expected.port not in ports:
        problems.append(f"missing: a connection to the server's port {expected.port}")
    return problems


def _add_scenario(expected: Expected, scenario: dict[str, Any]) -> None:
    for step in scenario["steps"]:
        tools = step.get("tool_calls", [])
        expected.calls[
            Call(
                model=scenario["model"],
                response_model=scenario["response_model"],
                stream=scenario["stream"],
                input_tokens=step["usage"]["input"],
                output_tokens=step["usage"]["output"],
                tools=tuple(tool["name"] for tool in tools),
                retries=len(step.get("failures", [])),
            )
        ] += 1
        expected.tools.update(Tool(tool["id"], tool["name"]) for tool in tools)


def _add_tool_run(expected: Expected, run: dict[str, Any]) -> None:
    if run["pid"] is not None:
        expected.commands.append(Command(run["pid"], run["exit_code"], run["id"]))
    if run["tool"] in _WRITERS and not run["failed"]:
        expected.written.append(run["arguments"]["path"])


def _call(node: SpanNode) -> Call:
    attributes = node.attributes
    tools = attributes.get("agentsight.response.tool_names")
    return Call(
        model=str(attributes.get("gen_ai.request.model")),
        response_model=str(attributes.get("gen_ai.response.model")),
        stream=attributes.get("gen_ai.request.stream") is True,
        input_tokens=node.integer("gen_ai.usage.input_tokens"),
        output_tokens=node.integer("gen_ai.usage.output_tokens"),
        tools=tuple(tools) if isinstance(tools, list) else (),
        retries=node.integer("agentsight.retries"),
        error=str(node.attributes.get("error.type", "")),
    )


def _tool(node: SpanNode) -> Tool:
    return Tool(
        str(node.attributes.get("gen_ai.tool.call.id")),
        str(node.attributes.get("gen_ai.tool.name")),
    )


def _differences(noun: str, expected: Counter[Item], found: Counter[Item]) -> list[str]:
    missing = [f"missing: {noun} {_shown(item)}" for item in (expected - found).elements()]
    extra = [f"not expected: {noun} {_shown(item)}" for item in (found - expected).elements()]
    return missing + extra


def _shown(item: Call | Tool) -> str:
    return ", ".join(f"{key} {value}" for key, value in item._asdict().items())


def _check_command(
    command: Command, node: SpanNode | None, by_id: dict[bytes, SpanNode]
) -> Sequence[str]:
    if node is None:
        return [f"missing: process {command.pid}, which ran for tool call {command.tool_id}"]
    problems = []
    exit_code = node.attributes.get("process.exit.code")
    if exit_code != command.exit_code:
        problems.append(
            f"process {command.pid} ended with {command.exit_code}, captured as {exit_code}"
        )
    cause = by_id.get(node.span.parent_span_id)
    cause_id = cause.attributes.get("gen_ai.tool.call.id") if cause else None
    if cause_id != command.tool_id:
        problems.append(
            f"process {command.pid} was caused by tool call {command.tool_id}, "
            f"captured as caused by {cause_id or (cause.span.name if cause else 'nothing')}"
        )
    return problems


def _wrote(attributes: dict[str, Any], path: str) -> bool:
    name = str(attributes.get("file.path"))
    return name.endswith(path) and bool(attributes.get("agentsight.file.written_bytes"))

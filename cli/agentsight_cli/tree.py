"""Findings as a tree that people read: session → turns → calls → tools → processes → effects.

One neutral tree, drawn by rich with colour or as plain text. Must not leave out anything without
saying how much.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentsight_aggregator.exporters.attributes import plain
from agentsight_core.ids import session_text
from agentsight_core.pb import findings_pb2 as pb

from agentsight_cli import labels
from agentsight_cli.spans import Kind, SessionSpans, SpanNode, by_session

if TYPE_CHECKING:
    from rich.tree import Tree

# Effects shown of one span; the rest is one line that counts them.
MAX_EFFECTS = 8

_STYLES = {
    "session": "bold",
    "turn": "bold cyan",
    "call": "green",
    "tool": "yellow",
    "process": "magenta",
    "effect": "dim",
    "loss": "bold red",
    "failed": "red",
}


@dataclass(slots=True)
class Line:
    """One line of the tree and what is under it."""

    style: str
    text: str
    children: list[Line] = field(default_factory=list)


def build_tree(findings: Iterable[pb.Finding]) -> list[Line]:
    """Return one line a session, everything else under it."""
    return [_session(session) for session in by_session(findings) if _has_content(session)]


def to_rich(line: Line) -> Tree:
    """Return the tree under `line` for a rich console."""
    from rich.text import Text  # noqa: PLC0415  rich is not needed for plain output
    from rich.tree import Tree  # noqa: PLC0415  the same

    tree = Tree(Text(line.text, style=_STYLES[line.style]), guide_style="dim")
    for child in line.children:
        tree.add(to_rich(child))
    return tree


def to_text(lines: Sequence[Line]) -> str:
    """Return the trees as plain text, one line an entry, with a newline at the end."""
    return "".join(f"{row}\n" for line in lines for row in (line.text, *_rows(line, "")))


def _rows(line: Line, indent: str) -> Iterator[str]:
    for position, child in enumerate(line.children):
        last = position == len(line.children) - 1
        yield f"{indent}{'└── ' if last else '├── '}{child.text}"
        yield from _rows(child, f"{indent}{'    ' if last else '│   '}")


def _has_content(session: SessionSpans) -> bool:
    return bool(session.nodes or session.losses or session.summary)


def _session(session: SessionSpans) -> Line:
    if session.session == 0 and not session.nodes:
        line = Line("session", "node")
    else:
        line = Line("session", labels.session(session_text(session.session), session))
    line.children += [_span(node) for node in _below_session(session.roots)]
    line.children += [Line("loss", labels.loss(loss)) for loss in session.losses]
    return line


def _below_session(roots: Sequence[SpanNode]) -> Iterator[SpanNode]:
    """Yield what stands under a session; its own span says what its line says already."""
    for node in roots:
        if node.kind is Kind.OTHER and node.span.name.startswith("session "):
            yield from node.children
        else:
            yield node


def _span(node: SpanNode) -> Line:
    style = "failed" if node.failed else node.kind.value
    line = Line(style if style in _STYLES else "effect", labels.span(node))
    line.children += [
        Line("failed", labels.attempt(plain(event.attributes)))
        for event in node.span.events
        if event.name == "agentsight.attempt"
    ]
    line.children += [_span(child) for child in node.children]
    line.children += _effects(node)
    return line


def _effects(node: SpanNode) -> list[Line]:
    """Return files and connections: what was changed first, what was not there last.

    Files of the system and of installed packages that were only read are counted, not listed.
    """
    effects = [
        (event.name, plain(event.attributes))
        for event in node.span.events
        if event.name in labels.EFFECTS
    ]
    telling = [effect for effect in effects if not labels.is_background(*effect)]
    telling.sort(key=lambda effect: (not labels.is_change(*effect), labels.is_missing(*effect)))
    lines = [Line("effect", labels.effect(*effect)) for effect in telling[:MAX_EFFECTS]]
    hidden = {
        kind: sum(name == kind for name, _ in telling[MAX_EFFECTS:])
        + node.integer(f"agentsight.{kind}s.omitted")
        for kind in labels.EFFECTS
    }
    hidden["effect"] = node.integer("agentsight.effects.omitted")
    hidden["file of the system"] = len(effects) - len(telling)
    lines += [Line("effect", labels.more(count, noun)) for noun, count in hidden.items() if count]
    return lines

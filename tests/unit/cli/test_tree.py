"""The tree: what stands under what, and that nothing is left out without a word."""

from __future__ import annotations

import io
import re

from agentsight_aggregator.analyzers.findings import event, to_attributes
from agentsight_cli import output, tree
from agentsight_cli.tree import Line, build_tree, to_text
from agentsight_core.pb import findings_pb2 as pb
from rich.console import Console


def paths(lines: list[Line]) -> list[str]:
    """Return each line with the first words of all lines above it."""
    found: list[str] = []

    def walk(line: Line, above: str) -> None:
        here = f"{above}/{line.text.partition(' · ')[0]}"
        found.append(here)
        for child in line.children:
            walk(child, here)

    for line in lines:
        walk(line, "")
    return found


def test_effects_stand_under_processes_under_tools_under_calls_under_turns(
    findings: list[pb.Finding],
) -> None:
    found = "\n".join(paths(build_tree(findings)))
    tool = "tool  run command"
    call = r"session \w{16}  [\w-]+/turn  [\w-]+/chat  [\w.-]+"
    for path in (
        rf"{call}/{tool}=wc -l list/process  sh -c wc -l list/process  wc -l list/file list$",
        rf"{call}/{tool}=cat \[31mlist/process  cat \[31mlist/connection \S+ port 8080$",
        rf"{call}/attempt$",
        rf"{call}/tool  edit new=d, path=list/file /srv/list$",
        r"\n/session [^/]*/LOST 2 records at kernel: ring full$",
    ):
        assert re.search(path, found, re.MULTILINE), f"{path}\n{found}"


def test_lines_say_what_happened(findings: list[pb.Finding]) -> None:
    text = to_text(build_tree(findings))
    assert "process  wc -l list · pid 202 · exit 1 · 200 ms" in text
    assert "2.0 KiB written" in text
    assert "attempt · status 529 · failed: overloaded_error" in text
    assert re.search(r"tool  edit new=d, path=list · failed: tool_error", text)
    assert re.search(r"1 retry", text)
    assert re.search(r"^session \w{16} .* · 1 turn · 3 calls · 3 tools · ", text)


def test_text_of_watched_programs_cannot_move_the_cursor(findings: list[pb.Finding]) -> None:
    assert "\x1b" not in to_text(build_tree(findings))


def test_colour_and_plain_text_say_the_same(findings: list[pb.Finding]) -> None:
    lines = build_tree(findings)
    console = Console(file=io.StringIO(), width=500, no_color=True)
    for line in lines:
        console.print(tree.to_rich(line))
    assert isinstance(console.file, io.StringIO)
    drawn = [row.rstrip() for row in console.file.getvalue().splitlines()]
    assert drawn == [row.rstrip() for row in to_text(lines).splitlines()]


def test_effects_that_are_not_shown_are_counted() -> None:
    paths_read = [*(f"/f{number}" for number in range(20)), "/usr/lib/a.so", "/etc/passwd"]
    paths_read += ["/srv/venv/lib/python3.11/site-packages/b.py"]
    written = ("/etc/written", "/w")
    effects = [
        event(
            at, "file", {"file.path": path, "agentsight.file.written_bytes": 5 * (path in written)}
        )
        for at, path in enumerate([*paths_read, *written])
    ]
    effects.append(event(99, "connection", {"network.peer.address": "::1"}))
    span = pb.Span(
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        name="sh",
        attributes=to_attributes({"process.pid": 3, "agentsight.files.omitted": 4}),
        events=effects,
    )
    lines = build_tree([pb.Finding(session=1, span=span)])[0].children[0].children
    assert [line.text.split()[1] for line in lines] == [
        *("/etc/written", "/w", "::1"),
        *(f"/f{number}" for number in range(5)),
        str(20 - 5 + 4),
        "3",
    ]
    assert [line.text for line in lines[-2:]] == ["… 19 files more", "… 3 files of the system more"]


def test_a_span_whose_parent_is_not_there_is_shown(findings: list[pb.Finding]) -> None:
    orphan = pb.Span(trace_id=b"t" * 16, span_id=b"o" * 8, parent_span_id=b"x" * 8, name="orphan")
    text = to_text(build_tree([*findings, pb.Finding(session=findings[0].session, span=orphan)]))
    assert "orphan" in text


def test_every_span_is_in_the_tree(findings: list[pb.Finding]) -> None:
    spans = [item.span for item in findings if item.WhichOneof("body") == "span"]
    own = sum(span.name.startswith("session ") for span in spans)
    count = sum(
        bool(re.match(r"(turn|chat|tool|process)  ", path.rpartition("/")[2]))
        for path in paths(build_tree(findings))
    )
    assert count == len(spans) - own > 8


def test_files_and_pipes_get_no_colour(findings: list[pb.Finding]) -> None:
    out = io.StringIO()
    output.print_tree(build_tree(findings), out)
    assert out.getvalue() == to_text(build_tree(findings))

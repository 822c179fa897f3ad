"""Findings as JSON lines: one object a finding, keys always in the same order.

A finding that comes again, after a crash between the write and the record of the position, is not
written again if it is among the last lines of the file. Must not leave out any kind of finding:
this is the complete record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from agentsight_core.ids import session_text
from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.exporters.attributes import plain
from agentsight_aggregator.exporters.rotating_file import RotatingFile

_KINDS = {
    pb.SPAN_KIND_INTERNAL: "internal",
    pb.SPAN_KIND_SERVER: "server",
    pb.SPAN_KIND_CLIENT: "client",
}
_STATUSES = {
    pb.SPAN_STATUS_OK: "ok",
    pb.SPAN_STATUS_ERROR: "error",
}


def span_to_json(span: pb.Span) -> dict[str, object]:
    """Return `span` as plain values: ids in hexadecimal, times in Unix ns, attributes flat.

    `kind` is internal, client, server or unspecified; `status` is unset, ok or error.
    """
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex(),
        "name": span.name,
        "kind": _KINDS.get(span.kind, "unspecified"),
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "status": _STATUSES.get(span.status, "unset"),
        "status_message": span.status_message,
        "attributes": plain(span.attributes),
        "events": [
            {"time_ns": event.time_ns, "name": event.name, "attributes": plain(event.attributes)}
            for event in span.events
        ],
        "links": [
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "attributes": plain(link.attributes),
            }
            for link in span.links
        ],
        "resource": plain(span.resource),
    }


def finding_to_json(finding: pb.Finding) -> dict[str, object]:
    """Return `finding` as plain values; its body stands under the name of its kind.

    `{"id", "session", "time_ns", "kind": "span", "span": {…}}`, likewise edge, message,
    session_summary and loss.
    """
    kind = finding.WhichOneof("body")
    result: dict[str, object] = {
        "id": finding.id.hex(),
        "session": session_text(finding.session),
        "time_ns": finding.time_ns,
        "kind": kind,
    }
    if kind == "span":
        result[kind] = span_to_json(finding.span)
    elif kind is not None:
        result[kind] = _body_to_json(getattr(finding, kind))
    return result


def _body_to_json(
    body: pb.Edge | pb.ConversationMessage | pb.SessionSummary | pb.LossRecord,
) -> dict[str, object]:
    """Return every field of `body` under its own name in the order of the schema."""
    return {field.name: _plain_field(getattr(body, field.name)) for field in body.DESCRIPTOR.fields}


def _plain_field(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str | int | float):
        return value
    assert isinstance(value, Sequence)
    return list(value)


# What can come again is the batch under way of each partition.
_TAIL_BYTES = 8 << 20


class _Line(msgspec.Struct):
    id: str


class JsonLinesExporter:
    """Appends findings to a rotating file; they are on disk when `export` returns."""

    def __init__(self, file: RotatingFile) -> None:
        self._file = file
        # Ids at the end of the file as it was found.
        self._written = {
            line_id for line in file.tail(_TAIL_BYTES) if (line_id := _id_of(line)) is not None
        }

    async def export(self, batch: Sequence[pb.Finding]) -> None:
        """Write `batch` and fsync, off the event loop; raises Retryable when the disk refuses."""
        lines = [
            msgspec.json.encode(finding_to_json(finding))
            for finding in batch
            if finding.id not in self._written
        ]
        if lines:
            await asyncio.to_thread(self._file.append, lines)


def _id_of(line: bytes) -> bytes | None:
    """Return the id of the finding in `line`; None if it is no line of ours."""
    try:
        return bytes.fromhex(msgspec.json.decode(line, type=_Line).id) or None
    except (msgspec.DecodeError, ValueError):
        return None

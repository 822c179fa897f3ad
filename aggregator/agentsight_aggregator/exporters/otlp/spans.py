"""Findings to OTLP trace requests: pure, deterministic, bounded in size.

Must not add anything that is not in the finding: no clock, no replica name, no version. Copies of a
span that two replicas send must be identical for Jaeger to merge them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from agentsight_core.pb import findings_pb2 as pb
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2 as otlp_common
from opentelemetry.proto.resource.v1 import resource_pb2 as otlp_resource
from opentelemetry.proto.trace.v1 import trace_pb2 as otlp

SCOPE_NAME = "agentsight"
# Receivers take 4 MiB by default (grpc-go); attributes are cut well below by the analyzers.
MAX_REQUEST_BYTES = 2 * 1024 * 1024
# Tags and lengths around a span and around a resource, in bytes, at most.
_SPAN_OVERHEAD_BYTES = 8
_GROUP_OVERHEAD_BYTES = 64

_KINDS = {
    pb.SPAN_KIND_INTERNAL: otlp.Span.SPAN_KIND_INTERNAL,
    pb.SPAN_KIND_SERVER: otlp.Span.SPAN_KIND_SERVER,
    pb.SPAN_KIND_CLIENT: otlp.Span.SPAN_KIND_CLIENT,
}
_STATUSES = {
    pb.SPAN_STATUS_OK: otlp.Status.STATUS_CODE_OK,
    pb.SPAN_STATUS_ERROR: otlp.Status.STATUS_CODE_ERROR,
}


def key_values(attributes: Iterable[pb.Attribute]) -> list[otlp_common.KeyValue]:
    """Return `attributes` in their order; one without a value stays, with an empty value."""
    return [
        otlp_common.KeyValue(key=attribute.key, value=_any_value(attribute))
        for attribute in attributes
    ]


def _any_value(attribute: pb.Attribute) -> otlp_common.AnyValue:
    match attribute.WhichOneof("value"):
        case "string_value":
            return otlp_common.AnyValue(string_value=attribute.string_value)
        case "int_value":
            return otlp_common.AnyValue(int_value=attribute.int_value)
        case "double_value":
            return otlp_common.AnyValue(double_value=attribute.double_value)
        case "bool_value":
            return otlp_common.AnyValue(bool_value=attribute.bool_value)
        case "strings_value":
            values = [
                otlp_common.AnyValue(string_value=text) for text in attribute.strings_value.values
            ]
            return otlp_common.AnyValue(array_value=otlp_common.ArrayValue(values=values))
        case _:
            return otlp_common.AnyValue()


def otlp_span(span: pb.Span) -> otlp.Span:
    """Return `span` in OTLP form."""
    return otlp.Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        name=span.name,
        kind=_KINDS.get(span.kind, otlp.Span.SPAN_KIND_UNSPECIFIED),
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=key_values(span.attributes),
        events=[
            otlp.Span.Event(
                time_unix_nano=event.time_ns,
                name=event.name,
                attributes=key_values(event.attributes),
            )
            for event in span.events
        ],
        links=[
            otlp.Span.Link(
                trace_id=link.trace_id,
                span_id=link.span_id,
                attributes=key_values(link.attributes),
            )
            for link in span.links
        ],
        status=otlp.Status(
            code=_STATUSES.get(span.status, otlp.Status.STATUS_CODE_UNSET),
            message=span.status_message,
        ),
    )


def trace_requests(
    findings: Sequence[pb.Finding], *, max_bytes: int = MAX_REQUEST_BYTES
) -> Iterator[tuple[bytes, int]]:
    """Yield (serialized ExportTraceServiceRequest, spans in it) for the spans among `findings`.

    Spans are grouped by resource, resources sorted, spans in their order. A request is at most
    `max_bytes` long, except when one span alone is longer.
    """
    request = _Request()
    for resource, spans in _by_resource(findings):
        for span in spans:
            if request.spans and request.size_with(resource, span) > max_bytes:
                yield request.serialize(), request.spans
                request = _Request()
            request.add(resource, span)
    if request.spans:
        yield request.serialize(), request.spans


def _by_resource(findings: Iterable[pb.Finding]) -> list[tuple[bytes, list[otlp.Span]]]:
    """Return the spans of each serialized resource, resources sorted."""
    groups: dict[bytes, list[otlp.Span]] = defaultdict(list)
    for finding in findings:
        if finding.WhichOneof("body") == "span":
            resource = otlp_resource.Resource(attributes=key_values(finding.span.resource))
            groups[resource.SerializeToString(deterministic=True)].append(otlp_span(finding.span))
    return sorted(groups.items(), key=lambda group: group[0])


class _Request:
    """A request in the making, which knows an upper bound of its size in bytes."""

    def __init__(self) -> None:
        self.spans = 0
        self._size_bytes = 0
        self._message = ExportTraceServiceRequest()
        self._resource: bytes | None = None
        self._scope: otlp.ScopeSpans | None = None

    def size_with(self, resource: bytes, span: otlp.Span) -> int:
        """Return the size after `add(resource, span)`."""
        group_bytes = 0 if resource == self._resource else len(resource) + _GROUP_OVERHEAD_BYTES
        return self._size_bytes + group_bytes + int(span.ByteSize()) + _SPAN_OVERHEAD_BYTES

    def add(self, resource: bytes, span: otlp.Span) -> None:
        """Append `span`; spans of one resource come one after the other."""
        self._size_bytes = self.size_with(resource, span)
        if self._scope is None or resource != self._resource:
            group = self._message.resource_spans.add()
            group.resource.ParseFromString(resource)
            self._scope = group.scope_spans.add()
            self._scope.scope.name = SCOPE_NAME
            self._resource = resource
        self._scope.spans.append(span)
        self.spans += 1

    def serialize(self) -> bytes:
        """Return the request as it goes over the wire."""
        return bytes(self._message.SerializeToString(deterministic=True))

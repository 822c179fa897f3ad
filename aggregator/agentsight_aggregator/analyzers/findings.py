"""Makes findings: spans, edges, messages, summaries, losses, all with ids that follow from content.

Must not decide anything: what is said about a session is decided elsewhere, here it gets its form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from agentsight_core.ids import Part, digest, session_text
from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.analyzers.metrics import Meter
from agentsight_aggregator.analyzers.settings import FoldSettings
from agentsight_aggregator.analyzers.state import SessionState
from agentsight_aggregator.call import AttributeValue

Attributes = dict[str, AttributeValue]
_INT64 = range(-(2**63), 2**63)


class Output:
    """Where the analyzers of one fold put what they find and count."""

    def __init__(self, settings: FoldSettings, meter: Meter) -> None:
        self.settings = settings
        self.meter = meter
        self._findings: list[pb.Finding] = []

    def take(self) -> list[pb.Finding]:
        """Return what was found since the last call."""
        found, self._findings = self._findings, []
        return found

    def span(
        self,
        session: SessionState,
        span: pb.Span,
        attributes: Attributes,
        events: Iterable[pb.SpanEvent] = (),
        links: Iterable[pb.SpanLink] = (),
    ) -> None:
        """Finish `span` with attributes, events, links and the resource of its session."""
        attributes["session.id"] = session_text(session.id)
        span.attributes.extend(to_attributes(attributes))
        span.resource.extend(_resource(session))
        span.events.extend(sorted(events, key=lambda item: (item.time_ns, item.name)))
        span.links.extend(links)
        finding = self._finding(session.id, span.end_ns, "span", span.trace_id, span.span_id)
        finding.span.CopyFrom(span)

    def edge(
        self, session: SessionState, time_ns: int, cause: bytes, effect: bytes, edge: pb.Edge
    ) -> None:
        """Say that span `cause` led to span `effect`; `edge` says how that is known."""
        edge.cause_span_id = cause
        edge.effect_span_id = effect
        finding = self._finding(session.id, time_ns, "edge", edge.trace_id, cause, effect)
        finding.edge.CopyFrom(edge)

    def message(self, session: SessionState, time_ns: int, message: pb.ConversationMessage) -> None:
        """Keep a message of a conversation."""
        finding = self._finding(session.id, time_ns, "message", session.id, message.hash)
        finding.message.CopyFrom(message)

    def summary(self, session: SessionState, summary: pb.SessionSummary) -> None:
        """Say where the session stands; each revision is a finding of its own."""
        session.revision += 1
        finding = self._finding(
            session.id, summary.last_activity_ns, "summary", session.id, session.revision
        )
        finding.session_summary.CopyFrom(summary)

    def loss(self, session: int, time_ns: int, number: int, loss: pb.LossRecord) -> None:
        """Hand on what a node said to have lost; `number` counts the losses of the session."""
        finding = self._finding(session, time_ns, "loss", session, number, time_ns)
        finding.loss.CopyFrom(loss)

    def _finding(self, session: int, time_ns: int, *about: Part) -> pb.Finding:
        finding = pb.Finding(id=digest(*about, size=16), session=session, time_ns=time_ns)
        self._findings.append(finding)
        return finding


def trace_id(*about: Part) -> bytes:
    """Return a trace id; never all zeros, which OTel forbids."""
    key = digest("trace", *about, size=16)
    return key if any(key) else b"\1" * 16


def span_id(*about: Part) -> bytes:
    """Return a span id; never all zeros, which OTel forbids."""
    key = digest("span", *about, size=8)
    return key if any(key) else b"\1" * 8


def to_attributes(values: Mapping[str, AttributeValue]) -> Iterable[pb.Attribute]:
    """Return `values` as messages, sorted by key."""
    return [_attribute(key, values[key]) for key in sorted(values)]


def event(time_ns: int, name: str, attributes: Attributes) -> pb.SpanEvent:
    """Return a span event."""
    return pb.SpanEvent(time_ns=time_ns, name=name, attributes=to_attributes(attributes))


def cut(text: str, max_bytes: int) -> str:
    """Return the head of `text` that fits into `max_bytes` of UTF-8, at a character's border."""
    if len(text) * 4 <= max_bytes:
        return text
    data = text.encode("utf-8", "replace")
    return text if len(data) <= max_bytes else data[:max_bytes].decode("utf-8", "ignore")


def put_content(attributes: Attributes, key: str, text: str, max_bytes: int) -> None:
    """Set `key` to `text`; when that has to be cut, also say its whole length and hash."""
    short = cut(text, max_bytes)
    attributes[key] = short
    if short != text:
        data = text.encode("utf-8", "replace")
        attributes[f"agentsight.cut.{key}.bytes"] = len(data)
        attributes[f"agentsight.cut.{key}.hash"] = digest(data, size=16).hex()


def _attribute(key: str, value: AttributeValue) -> pb.Attribute:
    if isinstance(value, bool):
        return pb.Attribute(key=key, bool_value=value)
    if isinstance(value, int):
        # A number of the watched program may be of any size; OTel has 64 bits.
        return (
            pb.Attribute(key=key, int_value=value)
            if value in _INT64
            else pb.Attribute(key=key, string_value=str(value))
        )
    if isinstance(value, float):
        return pb.Attribute(key=key, double_value=value)
    if isinstance(value, str):
        return pb.Attribute(key=key, string_value=storable(value))
    return pb.Attribute(
        key=key, strings_value=pb.StringList(values=[storable(item) for item in value])
    )


def storable(text: str) -> str:
    """Return `text` with lone surrogates replaced: JSON can escape them, protobuf refuses them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _resource(session: SessionState) -> tuple[pb.Attribute, ...]:
    """Return what the observed agent is; nothing about the observer."""
    return _resource_of(
        session.agent_name, session.node, session.container_id, session.cluster, session.place
    )


@lru_cache(maxsize=1024)
def _resource_of(
    agent_name: str, node: str, container_id: str, cluster: str, place: tuple[tuple[str, str], ...]
) -> tuple[pb.Attribute, ...]:
    values: dict[str, AttributeValue] = {
        "service.name": agent_name,
        "host.name": node,
        "container.id": container_id,
        "agentsight.cluster": cluster,
        **{key: (text,) if key == "container.image.tags" else text for key, text in place},
    }
    return tuple(to_attributes({key: value for key, value in values.items() if value}))

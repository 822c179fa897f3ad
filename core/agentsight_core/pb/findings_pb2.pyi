from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SpanKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPAN_KIND_UNSPECIFIED: _ClassVar[SpanKind]
    SPAN_KIND_INTERNAL: _ClassVar[SpanKind]
    SPAN_KIND_SERVER: _ClassVar[SpanKind]
    SPAN_KIND_CLIENT: _ClassVar[SpanKind]

class SpanStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPAN_STATUS_UNSET: _ClassVar[SpanStatus]
    SPAN_STATUS_OK: _ClassVar[SpanStatus]
    SPAN_STATUS_ERROR: _ClassVar[SpanStatus]
SPAN_KIND_UNSPECIFIED: SpanKind
SPAN_KIND_INTERNAL: SpanKind
SPAN_KIND_SERVER: SpanKind
SPAN_KIND_CLIENT: SpanKind
SPAN_STATUS_UNSET: SpanStatus
SPAN_STATUS_OK: SpanStatus
SPAN_STATUS_ERROR: SpanStatus

class Finding(_message.Message):
    __slots__ = ("id", "session", "time_ns", "span", "edge", "message", "session_summary", "loss")
    ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    EDGE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SESSION_SUMMARY_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    session: int
    time_ns: int
    span: Span
    edge: Edge
    message: ConversationMessage
    session_summary: SessionSummary
    loss: LossRecord
    def __init__(self, id: _Optional[bytes] = ..., session: _Optional[int] = ..., time_ns: _Optional[int] = ..., span: _Optional[_Union[Span, _Mapping]] = ..., edge: _Optional[_Union[Edge, _Mapping]] = ..., message: _Optional[_Union[ConversationMessage, _Mapping]] = ..., session_summary: _Optional[_Union[SessionSummary, _Mapping]] = ..., loss: _Optional[_Union[LossRecord, _Mapping]] = ...) -> None: ...

class Attribute(_message.Message):
    __slots__ = ("key", "string_value", "int_value", "double_value", "bool_value", "strings_value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRINGS_VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    string_value: str
    int_value: int
    double_value: float
    bool_value: bool
    strings_value: StringList
    def __init__(self, key: _Optional[str] = ..., string_value: _Optional[str] = ..., int_value: _Optional[int] = ..., double_value: _Optional[float] = ..., bool_value: _Optional[bool] = ..., strings_value: _Optional[_Union[StringList, _Mapping]] = ...) -> None: ...

class StringList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class Span(_message.Message):
    __slots__ = ("trace_id", "span_id", "parent_span_id", "name", "kind", "start_ns", "end_ns", "status", "status_message", "attributes", "events", "resource", "links")
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    START_NS_FIELD_NUMBER: _ClassVar[int]
    END_NS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STATUS_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: str
    kind: SpanKind
    start_ns: int
    end_ns: int
    status: SpanStatus
    status_message: str
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    events: _containers.RepeatedCompositeFieldContainer[SpanEvent]
    resource: _containers.RepeatedCompositeFieldContainer[Attribute]
    links: _containers.RepeatedCompositeFieldContainer[SpanLink]
    def __init__(self, trace_id: _Optional[bytes] = ..., span_id: _Optional[bytes] = ..., parent_span_id: _Optional[bytes] = ..., name: _Optional[str] = ..., kind: _Optional[_Union[SpanKind, str]] = ..., start_ns: _Optional[int] = ..., end_ns: _Optional[int] = ..., status: _Optional[_Union[SpanStatus, str]] = ..., status_message: _Optional[str] = ..., attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ..., events: _Optional[_Iterable[_Union[SpanEvent, _Mapping]]] = ..., resource: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ..., links: _Optional[_Iterable[_Union[SpanLink, _Mapping]]] = ...) -> None: ...

class SpanLink(_message.Message):
    __slots__ = ("trace_id", "span_id", "attributes")
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    trace_id: bytes
    span_id: bytes
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    def __init__(self, trace_id: _Optional[bytes] = ..., span_id: _Optional[bytes] = ..., attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ...) -> None: ...

class SpanEvent(_message.Message):
    __slots__ = ("time_ns", "name", "attributes")
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    time_ns: int
    name: str
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    def __init__(self, time_ns: _Optional[int] = ..., name: _Optional[str] = ..., attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ...) -> None: ...

class Edge(_message.Message):
    __slots__ = ("cause_span_id", "effect_span_id", "trace_id", "method", "confidence")
    CAUSE_SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    EFFECT_SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    cause_span_id: bytes
    effect_span_id: bytes
    trace_id: bytes
    method: str
    confidence: float
    def __init__(self, cause_span_id: _Optional[bytes] = ..., effect_span_id: _Optional[bytes] = ..., trace_id: _Optional[bytes] = ..., method: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...

class ConversationMessage(_message.Message):
    __slots__ = ("hash", "role", "parts_json", "truncated")
    HASH_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PARTS_JSON_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    role: str
    parts_json: str
    truncated: bool
    def __init__(self, hash: _Optional[bytes] = ..., role: _Optional[str] = ..., parts_json: _Optional[str] = ..., truncated: _Optional[bool] = ...) -> None: ...

class SessionSummary(_message.Message):
    __slots__ = ("agent_name", "node", "start_ns", "last_activity_ns", "ended", "turns", "llm_calls", "failed_llm_calls", "tool_calls", "failed_tool_calls", "processes", "files", "connections", "input_tokens", "output_tokens", "cost_usd", "unpriced_calls", "argv", "container_id", "cwd", "exit_code", "models", "failed_connections", "sent_bytes", "received_bytes", "sent_segments", "retransmitted_segments", "lost_segments", "round_trip_us", "least_round_trip_us")
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    START_NS_FIELD_NUMBER: _ClassVar[int]
    LAST_ACTIVITY_NS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    LLM_CALLS_FIELD_NUMBER: _ClassVar[int]
    FAILED_LLM_CALLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    FAILED_TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_CALLS_FIELD_NUMBER: _ClassVar[int]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    CWD_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    FAILED_CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    RETRANSMITTED_SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LOST_SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_US_FIELD_NUMBER: _ClassVar[int]
    LEAST_ROUND_TRIP_US_FIELD_NUMBER: _ClassVar[int]
    agent_name: str
    node: str
    start_ns: int
    last_activity_ns: int
    ended: bool
    turns: int
    llm_calls: int
    failed_llm_calls: int
    tool_calls: int
    failed_tool_calls: int
    processes: int
    files: int
    connections: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    unpriced_calls: int
    argv: _containers.RepeatedScalarFieldContainer[str]
    container_id: str
    cwd: str
    exit_code: int
    models: _containers.RepeatedScalarFieldContainer[str]
    failed_connections: int
    sent_bytes: int
    received_bytes: int
    sent_segments: int
    retransmitted_segments: int
    lost_segments: int
    round_trip_us: int
    least_round_trip_us: int
    def __init__(self, agent_name: _Optional[str] = ..., node: _Optional[str] = ..., start_ns: _Optional[int] = ..., last_activity_ns: _Optional[int] = ..., ended: _Optional[bool] = ..., turns: _Optional[int] = ..., llm_calls: _Optional[int] = ..., failed_llm_calls: _Optional[int] = ..., tool_calls: _Optional[int] = ..., failed_tool_calls: _Optional[int] = ..., processes: _Optional[int] = ..., files: _Optional[int] = ..., connections: _Optional[int] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cost_usd: _Optional[float] = ..., unpriced_calls: _Optional[int] = ..., argv: _Optional[_Iterable[str]] = ..., container_id: _Optional[str] = ..., cwd: _Optional[str] = ..., exit_code: _Optional[int] = ..., models: _Optional[_Iterable[str]] = ..., failed_connections: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., received_bytes: _Optional[int] = ..., sent_segments: _Optional[int] = ..., retransmitted_segments: _Optional[int] = ..., lost_segments: _Optional[int] = ..., round_trip_us: _Optional[int] = ..., least_round_trip_us: _Optional[int] = ...) -> None: ...

class LossRecord(_message.Message):
    __slots__ = ("stage", "reason", "count", "unit")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    stage: str
    reason: str
    count: int
    unit: str
    def __init__(self, stage: _Optional[str] = ..., reason: _Optional[str] = ..., count: _Optional[int] = ..., unit: _Optional[str] = ...) -> None: ...

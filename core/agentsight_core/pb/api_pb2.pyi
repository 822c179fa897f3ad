from agentsight_core.pb import findings_pb2 as _findings_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListSessionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "agent_name", "node", "only_running", "active_since_ns")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    ONLY_RUNNING_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_SINCE_NS_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    agent_name: str
    node: str
    only_running: bool
    active_since_ns: int
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., agent_name: _Optional[str] = ..., node: _Optional[str] = ..., only_running: _Optional[bool] = ..., active_since_ns: _Optional[int] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[_findings_pb2.Finding]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[_findings_pb2.Finding, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class FindingsFilter(_message.Message):
    __slots__ = ("session", "kinds", "since_ns", "until_ns")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    SINCE_NS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_NS_FIELD_NUMBER: _ClassVar[int]
    session: str
    kinds: _containers.RepeatedScalarFieldContainer[str]
    since_ns: int
    until_ns: int
    def __init__(self, session: _Optional[str] = ..., kinds: _Optional[_Iterable[str]] = ..., since_ns: _Optional[int] = ..., until_ns: _Optional[int] = ...) -> None: ...

class QueryFindingsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: FindingsFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[FindingsFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class QueryFindingsResponse(_message.Message):
    __slots__ = ("findings", "next_page_token")
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[_findings_pb2.Finding]
    next_page_token: str
    def __init__(self, findings: _Optional[_Iterable[_Union[_findings_pb2.Finding, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class StreamFindingsRequest(_message.Message):
    __slots__ = ("filter", "from_beginning", "lateness_ms")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FROM_BEGINNING_FIELD_NUMBER: _ClassVar[int]
    LATENESS_MS_FIELD_NUMBER: _ClassVar[int]
    filter: FindingsFilter
    from_beginning: bool
    lateness_ms: int
    def __init__(self, filter: _Optional[_Union[FindingsFilter, _Mapping]] = ..., from_beginning: _Optional[bool] = ..., lateness_ms: _Optional[int] = ...) -> None: ...

class StreamFindingsResponse(_message.Message):
    __slots__ = ("findings", "order")
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[_findings_pb2.Finding]
    order: MergeAccount
    def __init__(self, findings: _Optional[_Iterable[_Union[_findings_pb2.Finding, _Mapping]]] = ..., order: _Optional[_Union[MergeAccount, _Mapping]] = ...) -> None: ...

class MergeAccount(_message.Message):
    __slots__ = ("received", "late", "max_late_ns", "early")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    MAX_LATE_NS_FIELD_NUMBER: _ClassVar[int]
    EARLY_FIELD_NUMBER: _ClassVar[int]
    received: int
    late: int
    max_late_ns: int
    early: int
    def __init__(self, received: _Optional[int] = ..., late: _Optional[int] = ..., max_late_ns: _Optional[int] = ..., early: _Optional[int] = ...) -> None: ...

class Letter(_message.Message):
    __slots__ = ("number", "stage", "error", "attempts", "time_ns", "partition", "subject", "sequence", "size_bytes", "is_cut", "data")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    IS_CUT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    number: int
    stage: str
    error: str
    attempts: int
    time_ns: int
    partition: int
    subject: str
    sequence: int
    size_bytes: int
    is_cut: bool
    data: bytes
    def __init__(self, number: _Optional[int] = ..., stage: _Optional[str] = ..., error: _Optional[str] = ..., attempts: _Optional[int] = ..., time_ns: _Optional[int] = ..., partition: _Optional[int] = ..., subject: _Optional[str] = ..., sequence: _Optional[int] = ..., size_bytes: _Optional[int] = ..., is_cut: _Optional[bool] = ..., data: _Optional[bytes] = ...) -> None: ...

class ListLettersRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "stage")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    stage: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., stage: _Optional[str] = ...) -> None: ...

class ListLettersResponse(_message.Message):
    __slots__ = ("letters", "next_page_token")
    LETTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    letters: _containers.RepeatedCompositeFieldContainer[Letter]
    next_page_token: str
    def __init__(self, letters: _Optional[_Iterable[_Union[Letter, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetLetterRequest(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class ReplayLetterRequest(_message.Message):
    __slots__ = ("number", "frame")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    number: int
    frame: bytes
    def __init__(self, number: _Optional[int] = ..., frame: _Optional[bytes] = ...) -> None: ...

class ReplayLetterResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PurgeLettersRequest(_message.Message):
    __slots__ = ("stage",)
    STAGE_FIELD_NUMBER: _ClassVar[int]
    stage: str
    def __init__(self, stage: _Optional[str] = ...) -> None: ...

class PurgeLettersResponse(_message.Message):
    __slots__ = ("purged",)
    PURGED_FIELD_NUMBER: _ClassVar[int]
    purged: int
    def __init__(self, purged: _Optional[int] = ...) -> None: ...

class MemberStatus(_message.Message):
    __slots__ = ("kind", "name", "version", "started_ns", "time_ns", "config_generation", "config_error", "partitions", "ledger", "api_address", "exports", "coordination")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTED_NS_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    CONFIG_GENERATION_FIELD_NUMBER: _ClassVar[int]
    CONFIG_ERROR_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    LEDGER_FIELD_NUMBER: _ClassVar[int]
    API_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    EXPORTS_FIELD_NUMBER: _ClassVar[int]
    COORDINATION_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    version: str
    started_ns: int
    time_ns: int
    config_generation: int
    config_error: str
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionStatus]
    ledger: _containers.RepeatedCompositeFieldContainer[LedgerStage]
    api_address: str
    exports: _containers.RepeatedCompositeFieldContainer[ExportStatus]
    coordination: CoordinationStatus
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[str] = ..., started_ns: _Optional[int] = ..., time_ns: _Optional[int] = ..., config_generation: _Optional[int] = ..., config_error: _Optional[str] = ..., partitions: _Optional[_Iterable[_Union[PartitionStatus, _Mapping]]] = ..., ledger: _Optional[_Iterable[_Union[LedgerStage, _Mapping]]] = ..., api_address: _Optional[str] = ..., exports: _Optional[_Iterable[_Union[ExportStatus, _Mapping]]] = ..., coordination: _Optional[_Union[CoordinationStatus, _Mapping]] = ...) -> None: ...

class ExportStatus(_message.Message):
    __slots__ = ("exporter", "partitions", "behind", "retries", "is_off")
    EXPORTER_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    IS_OFF_FIELD_NUMBER: _ClassVar[int]
    exporter: str
    partitions: int
    behind: int
    retries: int
    is_off: bool
    def __init__(self, exporter: _Optional[str] = ..., partitions: _Optional[int] = ..., behind: _Optional[int] = ..., retries: _Optional[int] = ..., is_off: _Optional[bool] = ...) -> None: ...

class CoordinationStatus(_message.Message):
    __slots__ = ("is_leader", "lease_left_ms", "assignments", "takeovers", "etcd_errors")
    IS_LEADER_FIELD_NUMBER: _ClassVar[int]
    LEASE_LEFT_MS_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    TAKEOVERS_FIELD_NUMBER: _ClassVar[int]
    ETCD_ERRORS_FIELD_NUMBER: _ClassVar[int]
    is_leader: bool
    lease_left_ms: int
    assignments: int
    takeovers: int
    etcd_errors: int
    def __init__(self, is_leader: _Optional[bool] = ..., lease_left_ms: _Optional[int] = ..., assignments: _Optional[int] = ..., takeovers: _Optional[int] = ..., etcd_errors: _Optional[int] = ...) -> None: ...

class PartitionStatus(_message.Message):
    __slots__ = ("partition", "owner", "fence", "position")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    partition: int
    owner: str
    fence: int
    position: int
    def __init__(self, partition: _Optional[int] = ..., owner: _Optional[str] = ..., fence: _Optional[int] = ..., position: _Optional[int] = ...) -> None: ...

class LedgerStage(_message.Message):
    __slots__ = ("stage", "unit", "received", "emitted", "held", "filtered", "dropped", "unexplained")
    class FilteredEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class DroppedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    STAGE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    EMITTED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    FILTERED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    UNEXPLAINED_FIELD_NUMBER: _ClassVar[int]
    stage: str
    unit: str
    received: int
    emitted: int
    held: int
    filtered: _containers.ScalarMap[str, int]
    dropped: _containers.ScalarMap[str, int]
    unexplained: int
    def __init__(self, stage: _Optional[str] = ..., unit: _Optional[str] = ..., received: _Optional[int] = ..., emitted: _Optional[int] = ..., held: _Optional[int] = ..., filtered: _Optional[_Mapping[str, int]] = ..., dropped: _Optional[_Mapping[str, int]] = ..., unexplained: _Optional[int] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("members", "partitions", "streams")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[MemberStatus]
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionStatus]
    streams: _containers.RepeatedCompositeFieldContainer[StreamStatus]
    def __init__(self, members: _Optional[_Iterable[_Union[MemberStatus, _Mapping]]] = ..., partitions: _Optional[_Iterable[_Union[PartitionStatus, _Mapping]]] = ..., streams: _Optional[_Iterable[_Union[StreamStatus, _Mapping]]] = ...) -> None: ...

class StreamStatus(_message.Message):
    __slots__ = ("name", "messages", "bytes", "first_sequence", "last_sequence")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    messages: int
    bytes: int
    first_sequence: int
    last_sequence: int
    def __init__(self, name: _Optional[str] = ..., messages: _Optional[int] = ..., bytes: _Optional[int] = ..., first_sequence: _Optional[int] = ..., last_sequence: _Optional[int] = ...) -> None: ...

class GetLedgerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetLedgerResponse(_message.Message):
    __slots__ = ("members",)
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[MemberLedger]
    def __init__(self, members: _Optional[_Iterable[_Union[MemberLedger, _Mapping]]] = ...) -> None: ...

class MemberLedger(_message.Message):
    __slots__ = ("kind", "name", "time_ns", "stages")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    time_ns: int
    stages: _containers.RepeatedCompositeFieldContainer[LedgerStage]
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., time_ns: _Optional[int] = ..., stages: _Optional[_Iterable[_Union[LedgerStage, _Mapping]]] = ...) -> None: ...

class ConfigGeneration(_message.Message):
    __slots__ = ("generation", "time_ns", "author", "comment", "yaml")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    generation: int
    time_ns: int
    author: str
    comment: str
    yaml: str
    def __init__(self, generation: _Optional[int] = ..., time_ns: _Optional[int] = ..., author: _Optional[str] = ..., comment: _Optional[str] = ..., yaml: _Optional[str] = ...) -> None: ...

class GetConfigRequest(_message.Message):
    __slots__ = ("generation",)
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    generation: int
    def __init__(self, generation: _Optional[int] = ...) -> None: ...

class ApplyConfigRequest(_message.Message):
    __slots__ = ("yaml", "base", "author", "comment", "dry_run")
    YAML_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    yaml: str
    base: int
    author: str
    comment: str
    dry_run: bool
    def __init__(self, yaml: _Optional[str] = ..., base: _Optional[int] = ..., author: _Optional[str] = ..., comment: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class ListGenerationsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListGenerationsResponse(_message.Message):
    __slots__ = ("generations", "next_page_token")
    GENERATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    generations: _containers.RepeatedCompositeFieldContainer[ConfigGeneration]
    next_page_token: str
    def __init__(self, generations: _Optional[_Iterable[_Union[ConfigGeneration, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RollbackConfigRequest(_message.Message):
    __slots__ = ("generation", "author")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    generation: int
    author: str
    def __init__(self, generation: _Optional[int] = ..., author: _Optional[str] = ...) -> None: ...

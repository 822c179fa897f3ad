from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Codec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CODEC_UNSPECIFIED: _ClassVar[Codec]
    CODEC_ZSTD: _ClassVar[Codec]

class SessionOrigin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_ORIGIN_UNSPECIFIED: _ClassVar[SessionOrigin]
    SESSION_ORIGIN_RULE: _ClassVar[SessionOrigin]
    SESSION_ORIGIN_PROMOTION: _ClassVar[SessionOrigin]
    SESSION_ORIGIN_IMPORT: _ClassVar[SessionOrigin]

class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIRECTION_UNSPECIFIED: _ClassVar[Direction]
    DIRECTION_REQUEST: _ClassVar[Direction]
    DIRECTION_RESPONSE: _ClassVar[Direction]

class HttpOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HTTP_OUTCOME_UNSPECIFIED: _ClassVar[HttpOutcome]
    HTTP_OUTCOME_COMPLETE: _ClassVar[HttpOutcome]
    HTTP_OUTCOME_ABORTED: _ClassVar[HttpOutcome]
    HTTP_OUTCOME_MALFORMED: _ClassVar[HttpOutcome]
    HTTP_OUTCOME_GAP: _ClassVar[HttpOutcome]
    HTTP_OUTCOME_UPGRADED: _ClassVar[HttpOutcome]
    HTTP_OUTCOME_UNFINISHED: _ClassVar[HttpOutcome]

class WebSocketKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WEB_SOCKET_KIND_UNSPECIFIED: _ClassVar[WebSocketKind]
    WEB_SOCKET_KIND_TEXT: _ClassVar[WebSocketKind]
    WEB_SOCKET_KIND_BINARY: _ClassVar[WebSocketKind]
    WEB_SOCKET_KIND_CLOSE: _ClassVar[WebSocketKind]

class FileOperation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_OPERATION_UNSPECIFIED: _ClassVar[FileOperation]
    FILE_OPERATION_RENAMED: _ClassVar[FileOperation]
    FILE_OPERATION_UNLINKED: _ClassVar[FileOperation]
    FILE_OPERATION_DIRECTORY_MADE: _ClassVar[FileOperation]
    FILE_OPERATION_DIRECTORY_REMOVED: _ClassVar[FileOperation]
    FILE_OPERATION_MODE_CHANGED: _ClassVar[FileOperation]
    FILE_OPERATION_OWNER_CHANGED: _ClassVar[FileOperation]
    FILE_OPERATION_SYMLINK_MADE: _ClassVar[FileOperation]
    FILE_OPERATION_LINK_MADE: _ClassVar[FileOperation]
    FILE_OPERATION_TRUNCATED: _ClassVar[FileOperation]
    FILE_OPERATION_DIRECTORY_ENTERED: _ClassVar[FileOperation]

class Transport(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSPORT_TCP: _ClassVar[Transport]
    TRANSPORT_UDP: _ClassVar[Transport]

class SignalResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SIGNAL_RESULT_DELIVERED: _ClassVar[SignalResult]
    SIGNAL_RESULT_IGNORED: _ClassVar[SignalResult]
    SIGNAL_RESULT_ALREADY_PENDING: _ClassVar[SignalResult]
    SIGNAL_RESULT_NO_ROOM: _ClassVar[SignalResult]
    SIGNAL_RESULT_INFO_LOST: _ClassVar[SignalResult]
CODEC_UNSPECIFIED: Codec
CODEC_ZSTD: Codec
SESSION_ORIGIN_UNSPECIFIED: SessionOrigin
SESSION_ORIGIN_RULE: SessionOrigin
SESSION_ORIGIN_PROMOTION: SessionOrigin
SESSION_ORIGIN_IMPORT: SessionOrigin
DIRECTION_UNSPECIFIED: Direction
DIRECTION_REQUEST: Direction
DIRECTION_RESPONSE: Direction
HTTP_OUTCOME_UNSPECIFIED: HttpOutcome
HTTP_OUTCOME_COMPLETE: HttpOutcome
HTTP_OUTCOME_ABORTED: HttpOutcome
HTTP_OUTCOME_MALFORMED: HttpOutcome
HTTP_OUTCOME_GAP: HttpOutcome
HTTP_OUTCOME_UPGRADED: HttpOutcome
HTTP_OUTCOME_UNFINISHED: HttpOutcome
WEB_SOCKET_KIND_UNSPECIFIED: WebSocketKind
WEB_SOCKET_KIND_TEXT: WebSocketKind
WEB_SOCKET_KIND_BINARY: WebSocketKind
WEB_SOCKET_KIND_CLOSE: WebSocketKind
FILE_OPERATION_UNSPECIFIED: FileOperation
FILE_OPERATION_RENAMED: FileOperation
FILE_OPERATION_UNLINKED: FileOperation
FILE_OPERATION_DIRECTORY_MADE: FileOperation
FILE_OPERATION_DIRECTORY_REMOVED: FileOperation
FILE_OPERATION_MODE_CHANGED: FileOperation
FILE_OPERATION_OWNER_CHANGED: FileOperation
FILE_OPERATION_SYMLINK_MADE: FileOperation
FILE_OPERATION_LINK_MADE: FileOperation
FILE_OPERATION_TRUNCATED: FileOperation
FILE_OPERATION_DIRECTORY_ENTERED: FileOperation
TRANSPORT_TCP: Transport
TRANSPORT_UDP: Transport
SIGNAL_RESULT_DELIVERED: SignalResult
SIGNAL_RESULT_IGNORED: SignalResult
SIGNAL_RESULT_ALREADY_PENDING: SignalResult
SIGNAL_RESULT_NO_ROOM: SignalResult
SIGNAL_RESULT_INFO_LOST: SignalResult

class Frame(_message.Message):
    __slots__ = ("header", "codec", "body", "key_id")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    header: FrameHeader
    codec: Codec
    body: bytes
    key_id: str
    def __init__(self, header: _Optional[_Union[FrameHeader, _Mapping]] = ..., codec: _Optional[_Union[Codec, str]] = ..., body: _Optional[bytes] = ..., key_id: _Optional[str] = ...) -> None: ...

class FrameHeader(_message.Message):
    __slots__ = ("agent_id", "epoch_ns", "session", "seq", "event_count", "node", "cluster")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_NS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    epoch_ns: int
    session: int
    seq: int
    event_count: int
    node: str
    cluster: str
    def __init__(self, agent_id: _Optional[str] = ..., epoch_ns: _Optional[int] = ..., session: _Optional[int] = ..., seq: _Optional[int] = ..., event_count: _Optional[int] = ..., node: _Optional[str] = ..., cluster: _Optional[str] = ...) -> None: ...

class EventBatch(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("boot_ns", "wall_ns", "session", "pid", "tid", "session_started", "session_ended", "process_forked", "process_executed", "process_exited", "http_request_started", "http_response_started", "http_body", "http_finished", "file_opened", "file_closed", "net_connected", "net_closed", "lost", "tick", "json_rpc_message", "process_output", "shell_input", "websocket_message", "file_changed", "net_sampled", "signal_sent", "limit_hit", "oom_killed", "gpu_used", "dns_answered", "gpu_sampled", "capture_limited", "container_mounts")
    BOOT_NS_FIELD_NUMBER: _ClassVar[int]
    WALL_NS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    TID_FIELD_NUMBER: _ClassVar[int]
    SESSION_STARTED_FIELD_NUMBER: _ClassVar[int]
    SESSION_ENDED_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FORKED_FIELD_NUMBER: _ClassVar[int]
    PROCESS_EXECUTED_FIELD_NUMBER: _ClassVar[int]
    PROCESS_EXITED_FIELD_NUMBER: _ClassVar[int]
    HTTP_REQUEST_STARTED_FIELD_NUMBER: _ClassVar[int]
    HTTP_RESPONSE_STARTED_FIELD_NUMBER: _ClassVar[int]
    HTTP_BODY_FIELD_NUMBER: _ClassVar[int]
    HTTP_FINISHED_FIELD_NUMBER: _ClassVar[int]
    FILE_OPENED_FIELD_NUMBER: _ClassVar[int]
    FILE_CLOSED_FIELD_NUMBER: _ClassVar[int]
    NET_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    NET_CLOSED_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    TICK_FIELD_NUMBER: _ClassVar[int]
    JSON_RPC_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PROCESS_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SHELL_INPUT_FIELD_NUMBER: _ClassVar[int]
    WEBSOCKET_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FILE_CHANGED_FIELD_NUMBER: _ClassVar[int]
    NET_SAMPLED_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_SENT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_HIT_FIELD_NUMBER: _ClassVar[int]
    OOM_KILLED_FIELD_NUMBER: _ClassVar[int]
    GPU_USED_FIELD_NUMBER: _ClassVar[int]
    DNS_ANSWERED_FIELD_NUMBER: _ClassVar[int]
    GPU_SAMPLED_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_LIMITED_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_MOUNTS_FIELD_NUMBER: _ClassVar[int]
    boot_ns: int
    wall_ns: int
    session: int
    pid: int
    tid: int
    session_started: SessionStarted
    session_ended: SessionEnded
    process_forked: ProcessForked
    process_executed: ProcessExecuted
    process_exited: ProcessExited
    http_request_started: HttpRequestStarted
    http_response_started: HttpResponseStarted
    http_body: HttpBody
    http_finished: HttpFinished
    file_opened: FileOpened
    file_closed: FileClosed
    net_connected: NetConnected
    net_closed: NetClosed
    lost: Lost
    tick: Tick
    json_rpc_message: JsonRpcMessage
    process_output: ProcessOutput
    shell_input: ShellInput
    websocket_message: WebSocketMessage
    file_changed: FileChanged
    net_sampled: NetClosed
    signal_sent: SignalSent
    limit_hit: LimitHit
    oom_killed: OomKilled
    gpu_used: GpuUsed
    dns_answered: DnsAnswered
    gpu_sampled: GpuSampled
    capture_limited: CaptureLimited
    container_mounts: ContainerMounts
    def __init__(self, boot_ns: _Optional[int] = ..., wall_ns: _Optional[int] = ..., session: _Optional[int] = ..., pid: _Optional[int] = ..., tid: _Optional[int] = ..., session_started: _Optional[_Union[SessionStarted, _Mapping]] = ..., session_ended: _Optional[_Union[SessionEnded, _Mapping]] = ..., process_forked: _Optional[_Union[ProcessForked, _Mapping]] = ..., process_executed: _Optional[_Union[ProcessExecuted, _Mapping]] = ..., process_exited: _Optional[_Union[ProcessExited, _Mapping]] = ..., http_request_started: _Optional[_Union[HttpRequestStarted, _Mapping]] = ..., http_response_started: _Optional[_Union[HttpResponseStarted, _Mapping]] = ..., http_body: _Optional[_Union[HttpBody, _Mapping]] = ..., http_finished: _Optional[_Union[HttpFinished, _Mapping]] = ..., file_opened: _Optional[_Union[FileOpened, _Mapping]] = ..., file_closed: _Optional[_Union[FileClosed, _Mapping]] = ..., net_connected: _Optional[_Union[NetConnected, _Mapping]] = ..., net_closed: _Optional[_Union[NetClosed, _Mapping]] = ..., lost: _Optional[_Union[Lost, _Mapping]] = ..., tick: _Optional[_Union[Tick, _Mapping]] = ..., json_rpc_message: _Optional[_Union[JsonRpcMessage, _Mapping]] = ..., process_output: _Optional[_Union[ProcessOutput, _Mapping]] = ..., shell_input: _Optional[_Union[ShellInput, _Mapping]] = ..., websocket_message: _Optional[_Union[WebSocketMessage, _Mapping]] = ..., file_changed: _Optional[_Union[FileChanged, _Mapping]] = ..., net_sampled: _Optional[_Union[NetClosed, _Mapping]] = ..., signal_sent: _Optional[_Union[SignalSent, _Mapping]] = ..., limit_hit: _Optional[_Union[LimitHit, _Mapping]] = ..., oom_killed: _Optional[_Union[OomKilled, _Mapping]] = ..., gpu_used: _Optional[_Union[GpuUsed, _Mapping]] = ..., dns_answered: _Optional[_Union[DnsAnswered, _Mapping]] = ..., gpu_sampled: _Optional[_Union[GpuSampled, _Mapping]] = ..., capture_limited: _Optional[_Union[CaptureLimited, _Mapping]] = ..., container_mounts: _Optional[_Union[ContainerMounts, _Mapping]] = ...) -> None: ...

class SessionStarted(_message.Message):
    __slots__ = ("root_pid", "root_start_boot_ns", "origin", "rule", "agent_name", "argv", "cwd", "exe", "uid", "container_id", "node", "cluster", "container")
    ROOT_PID_FIELD_NUMBER: _ClassVar[int]
    ROOT_START_BOOT_NS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    CWD_FIELD_NUMBER: _ClassVar[int]
    EXE_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    root_pid: int
    root_start_boot_ns: int
    origin: SessionOrigin
    rule: str
    agent_name: str
    argv: _containers.RepeatedScalarFieldContainer[str]
    cwd: str
    exe: str
    uid: int
    container_id: str
    node: str
    cluster: str
    container: Container
    def __init__(self, root_pid: _Optional[int] = ..., root_start_boot_ns: _Optional[int] = ..., origin: _Optional[_Union[SessionOrigin, str]] = ..., rule: _Optional[str] = ..., agent_name: _Optional[str] = ..., argv: _Optional[_Iterable[str]] = ..., cwd: _Optional[str] = ..., exe: _Optional[str] = ..., uid: _Optional[int] = ..., container_id: _Optional[str] = ..., node: _Optional[str] = ..., cluster: _Optional[str] = ..., container: _Optional[_Union[Container, _Mapping]] = ...) -> None: ...

class Container(_message.Message):
    __slots__ = ("id", "runtime", "name", "image", "pod", "pod_uid", "namespace", "labels")
    ID_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    id: str
    runtime: str
    name: str
    image: str
    pod: str
    pod_uid: str
    namespace: str
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    def __init__(self, id: _Optional[str] = ..., runtime: _Optional[str] = ..., name: _Optional[str] = ..., image: _Optional[str] = ..., pod: _Optional[str] = ..., pod_uid: _Optional[str] = ..., namespace: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ...) -> None: ...

class ContainerMounts(_message.Message):
    __slots__ = ("container_id", "places")
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    container_id: str
    places: _containers.RepeatedCompositeFieldContainer[MountPlace]
    def __init__(self, container_id: _Optional[str] = ..., places: _Optional[_Iterable[_Union[MountPlace, _Mapping]]] = ...) -> None: ...

class MountPlace(_message.Message):
    __slots__ = ("path", "host_path")
    PATH_FIELD_NUMBER: _ClassVar[int]
    HOST_PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    host_path: str
    def __init__(self, path: _Optional[str] = ..., host_path: _Optional[str] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class SessionEnded(_message.Message):
    __slots__ = ("exit_code", "exit_signal", "watcher_stopped")
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    EXIT_SIGNAL_FIELD_NUMBER: _ClassVar[int]
    WATCHER_STOPPED_FIELD_NUMBER: _ClassVar[int]
    exit_code: int
    exit_signal: int
    watcher_stopped: bool
    def __init__(self, exit_code: _Optional[int] = ..., exit_signal: _Optional[int] = ..., watcher_stopped: _Optional[bool] = ...) -> None: ...

class ProcessForked(_message.Message):
    __slots__ = ("parent_pid", "start_boot_ns")
    PARENT_PID_FIELD_NUMBER: _ClassVar[int]
    START_BOOT_NS_FIELD_NUMBER: _ClassVar[int]
    parent_pid: int
    start_boot_ns: int
    def __init__(self, parent_pid: _Optional[int] = ..., start_boot_ns: _Optional[int] = ...) -> None: ...

class ProcessExecuted(_message.Message):
    __slots__ = ("parent_pid", "start_boot_ns", "argv", "argv_truncated", "exe", "cwd", "uid", "comm", "container_id", "already_running")
    PARENT_PID_FIELD_NUMBER: _ClassVar[int]
    START_BOOT_NS_FIELD_NUMBER: _ClassVar[int]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    ARGV_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    EXE_FIELD_NUMBER: _ClassVar[int]
    CWD_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    COMM_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    ALREADY_RUNNING_FIELD_NUMBER: _ClassVar[int]
    parent_pid: int
    start_boot_ns: int
    argv: _containers.RepeatedScalarFieldContainer[str]
    argv_truncated: bool
    exe: str
    cwd: str
    uid: int
    comm: str
    container_id: str
    already_running: bool
    def __init__(self, parent_pid: _Optional[int] = ..., start_boot_ns: _Optional[int] = ..., argv: _Optional[_Iterable[str]] = ..., argv_truncated: _Optional[bool] = ..., exe: _Optional[str] = ..., cwd: _Optional[str] = ..., uid: _Optional[int] = ..., comm: _Optional[str] = ..., container_id: _Optional[str] = ..., already_running: _Optional[bool] = ...) -> None: ...

class ProcessExited(_message.Message):
    __slots__ = ("exit_code", "exit_signal", "duration_ns", "status_unknown")
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    EXIT_SIGNAL_FIELD_NUMBER: _ClassVar[int]
    DURATION_NS_FIELD_NUMBER: _ClassVar[int]
    STATUS_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    exit_code: int
    exit_signal: int
    duration_ns: int
    status_unknown: bool
    def __init__(self, exit_code: _Optional[int] = ..., exit_signal: _Optional[int] = ..., duration_ns: _Optional[int] = ..., status_unknown: _Optional[bool] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class HttpRequestStarted(_message.Message):
    __slots__ = ("connection", "exchange", "method", "target", "scheme", "authority", "headers", "version", "peer_address", "peer_port")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_PORT_FIELD_NUMBER: _ClassVar[int]
    connection: int
    exchange: int
    method: str
    target: str
    scheme: str
    authority: str
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    version: str
    peer_address: str
    peer_port: int
    def __init__(self, connection: _Optional[int] = ..., exchange: _Optional[int] = ..., method: _Optional[str] = ..., target: _Optional[str] = ..., scheme: _Optional[str] = ..., authority: _Optional[str] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., version: _Optional[str] = ..., peer_address: _Optional[str] = ..., peer_port: _Optional[int] = ...) -> None: ...

class HttpResponseStarted(_message.Message):
    __slots__ = ("connection", "exchange", "status", "headers")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    connection: int
    exchange: int
    status: int
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    def __init__(self, connection: _Optional[int] = ..., exchange: _Optional[int] = ..., status: _Optional[int] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ...) -> None: ...

class HttpBody(_message.Message):
    __slots__ = ("connection", "exchange", "direction", "data", "piece_offsets", "piece_boot_ns")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PIECE_OFFSETS_FIELD_NUMBER: _ClassVar[int]
    PIECE_BOOT_NS_FIELD_NUMBER: _ClassVar[int]
    connection: int
    exchange: int
    direction: Direction
    data: bytes
    piece_offsets: _containers.RepeatedScalarFieldContainer[int]
    piece_boot_ns: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, connection: _Optional[int] = ..., exchange: _Optional[int] = ..., direction: _Optional[_Union[Direction, str]] = ..., data: _Optional[bytes] = ..., piece_offsets: _Optional[_Iterable[int]] = ..., piece_boot_ns: _Optional[_Iterable[int]] = ...) -> None: ...

class HttpFinished(_message.Message):
    __slots__ = ("connection", "exchange", "outcome", "error", "request_bytes", "response_bytes", "lost_bytes", "request_truncated", "response_truncated", "request_end_boot_ns", "trailers", "request_messages", "response_messages")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOST_BYTES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_END_BOOT_NS_FIELD_NUMBER: _ClassVar[int]
    TRAILERS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    connection: int
    exchange: int
    outcome: HttpOutcome
    error: str
    request_bytes: int
    response_bytes: int
    lost_bytes: int
    request_truncated: bool
    response_truncated: bool
    request_end_boot_ns: int
    trailers: _containers.RepeatedCompositeFieldContainer[Header]
    request_messages: int
    response_messages: int
    def __init__(self, connection: _Optional[int] = ..., exchange: _Optional[int] = ..., outcome: _Optional[_Union[HttpOutcome, str]] = ..., error: _Optional[str] = ..., request_bytes: _Optional[int] = ..., response_bytes: _Optional[int] = ..., lost_bytes: _Optional[int] = ..., request_truncated: _Optional[bool] = ..., response_truncated: _Optional[bool] = ..., request_end_boot_ns: _Optional[int] = ..., trailers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., request_messages: _Optional[int] = ..., response_messages: _Optional[int] = ...) -> None: ...

class WebSocketMessage(_message.Message):
    __slots__ = ("connection", "exchange", "direction", "kind", "data", "start_boot_ns", "close_code", "continues", "problem")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    START_BOOT_NS_FIELD_NUMBER: _ClassVar[int]
    CLOSE_CODE_FIELD_NUMBER: _ClassVar[int]
    CONTINUES_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    connection: int
    exchange: int
    direction: Direction
    kind: WebSocketKind
    data: bytes
    start_boot_ns: int
    close_code: int
    continues: bool
    problem: str
    def __init__(self, connection: _Optional[int] = ..., exchange: _Optional[int] = ..., direction: _Optional[_Union[Direction, str]] = ..., kind: _Optional[_Union[WebSocketKind, str]] = ..., data: _Optional[bytes] = ..., start_boot_ns: _Optional[int] = ..., close_code: _Optional[int] = ..., continues: _Optional[bool] = ..., problem: _Optional[str] = ...) -> None: ...

class JsonRpcMessage(_message.Message):
    __slots__ = ("connection", "to_server", "data", "bytes", "lost_bytes")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TO_SERVER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    LOST_BYTES_FIELD_NUMBER: _ClassVar[int]
    connection: int
    to_server: bool
    data: bytes
    bytes: int
    lost_bytes: int
    def __init__(self, connection: _Optional[int] = ..., to_server: _Optional[bool] = ..., data: _Optional[bytes] = ..., bytes: _Optional[int] = ..., lost_bytes: _Optional[int] = ...) -> None: ...

class ShellInput(_message.Message):
    __slots__ = ("line",)
    LINE_FIELD_NUMBER: _ClassVar[int]
    line: str
    def __init__(self, line: _Optional[str] = ...) -> None: ...

class ProcessOutput(_message.Message):
    __slots__ = ("fd", "data")
    FD_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    fd: int
    data: bytes
    def __init__(self, fd: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class FileOpened(_message.Message):
    __slots__ = ("path", "flags", "result", "directory")
    PATH_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    path: str
    flags: int
    result: int
    directory: str
    def __init__(self, path: _Optional[str] = ..., flags: _Optional[int] = ..., result: _Optional[int] = ..., directory: _Optional[str] = ...) -> None: ...

class FileClosed(_message.Message):
    __slots__ = ("path", "fd", "read_bytes", "written_bytes", "reads", "writes", "opened_boot_ns", "still_open", "mapped_for_writing")
    PATH_FIELD_NUMBER: _ClassVar[int]
    FD_FIELD_NUMBER: _ClassVar[int]
    READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    WRITES_FIELD_NUMBER: _ClassVar[int]
    OPENED_BOOT_NS_FIELD_NUMBER: _ClassVar[int]
    STILL_OPEN_FIELD_NUMBER: _ClassVar[int]
    MAPPED_FOR_WRITING_FIELD_NUMBER: _ClassVar[int]
    path: str
    fd: int
    read_bytes: int
    written_bytes: int
    reads: int
    writes: int
    opened_boot_ns: int
    still_open: bool
    mapped_for_writing: bool
    def __init__(self, path: _Optional[str] = ..., fd: _Optional[int] = ..., read_bytes: _Optional[int] = ..., written_bytes: _Optional[int] = ..., reads: _Optional[int] = ..., writes: _Optional[int] = ..., opened_boot_ns: _Optional[int] = ..., still_open: _Optional[bool] = ..., mapped_for_writing: _Optional[bool] = ...) -> None: ...

class FileChanged(_message.Message):
    __slots__ = ("operation", "result", "path", "directory", "new_path", "new_directory", "mode", "uid", "gid", "length_bytes")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    NEW_PATH_FIELD_NUMBER: _ClassVar[int]
    NEW_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    GID_FIELD_NUMBER: _ClassVar[int]
    LENGTH_BYTES_FIELD_NUMBER: _ClassVar[int]
    operation: FileOperation
    result: int
    path: str
    directory: str
    new_path: str
    new_directory: str
    mode: int
    uid: int
    gid: int
    length_bytes: int
    def __init__(self, operation: _Optional[_Union[FileOperation, str]] = ..., result: _Optional[int] = ..., path: _Optional[str] = ..., directory: _Optional[str] = ..., new_path: _Optional[str] = ..., new_directory: _Optional[str] = ..., mode: _Optional[int] = ..., uid: _Optional[int] = ..., gid: _Optional[int] = ..., length_bytes: _Optional[int] = ...) -> None: ...

class NetConnected(_message.Message):
    __slots__ = ("socket", "peer_address", "peer_port", "local_address", "local_port", "error", "duration_ns", "accepted", "transport", "quic_version")
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_PORT_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_PORT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DURATION_NS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    QUIC_VERSION_FIELD_NUMBER: _ClassVar[int]
    socket: int
    peer_address: str
    peer_port: int
    local_address: str
    local_port: int
    error: int
    duration_ns: int
    accepted: bool
    transport: Transport
    quic_version: int
    def __init__(self, socket: _Optional[int] = ..., peer_address: _Optional[str] = ..., peer_port: _Optional[int] = ..., local_address: _Optional[str] = ..., local_port: _Optional[int] = ..., error: _Optional[int] = ..., duration_ns: _Optional[int] = ..., accepted: _Optional[bool] = ..., transport: _Optional[_Union[Transport, str]] = ..., quic_version: _Optional[int] = ...) -> None: ...

class NetClosed(_message.Message):
    __slots__ = ("socket", "peer_address", "peer_port", "sent_bytes", "received_bytes", "duration_ns", "error", "retransmitted_bytes", "round_trip_us", "round_trip_deviation_us", "least_round_trip_us", "congestion_window", "sent_segments", "retransmitted_segments", "lost_segments", "transport", "sent_datagrams", "received_datagrams", "several_peers")
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_PORT_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DURATION_NS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RETRANSMITTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_US_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_DEVIATION_US_FIELD_NUMBER: _ClassVar[int]
    LEAST_ROUND_TRIP_US_FIELD_NUMBER: _ClassVar[int]
    CONGESTION_WINDOW_FIELD_NUMBER: _ClassVar[int]
    SENT_SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    RETRANSMITTED_SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LOST_SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    SENT_DATAGRAMS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_DATAGRAMS_FIELD_NUMBER: _ClassVar[int]
    SEVERAL_PEERS_FIELD_NUMBER: _ClassVar[int]
    socket: int
    peer_address: str
    peer_port: int
    sent_bytes: int
    received_bytes: int
    duration_ns: int
    error: int
    retransmitted_bytes: int
    round_trip_us: int
    round_trip_deviation_us: int
    least_round_trip_us: int
    congestion_window: int
    sent_segments: int
    retransmitted_segments: int
    lost_segments: int
    transport: Transport
    sent_datagrams: int
    received_datagrams: int
    several_peers: bool
    def __init__(self, socket: _Optional[int] = ..., peer_address: _Optional[str] = ..., peer_port: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., received_bytes: _Optional[int] = ..., duration_ns: _Optional[int] = ..., error: _Optional[int] = ..., retransmitted_bytes: _Optional[int] = ..., round_trip_us: _Optional[int] = ..., round_trip_deviation_us: _Optional[int] = ..., least_round_trip_us: _Optional[int] = ..., congestion_window: _Optional[int] = ..., sent_segments: _Optional[int] = ..., retransmitted_segments: _Optional[int] = ..., lost_segments: _Optional[int] = ..., transport: _Optional[_Union[Transport, str]] = ..., sent_datagrams: _Optional[int] = ..., received_datagrams: _Optional[int] = ..., several_peers: _Optional[bool] = ...) -> None: ...

class DnsAnswered(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: bytes
    def __init__(self, message: _Optional[bytes] = ...) -> None: ...

class SignalSent(_message.Message):
    __slots__ = ("sender_pid", "target_pid", "signal", "result")
    SENDER_PID_FIELD_NUMBER: _ClassVar[int]
    TARGET_PID_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    sender_pid: int
    target_pid: int
    signal: int
    result: SignalResult
    def __init__(self, sender_pid: _Optional[int] = ..., target_pid: _Optional[int] = ..., signal: _Optional[int] = ..., result: _Optional[_Union[SignalResult, str]] = ...) -> None: ...

class LimitHit(_message.Message):
    __slots__ = ("call", "error", "count")
    CALL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    call: int
    error: int
    count: int
    def __init__(self, call: _Optional[int] = ..., error: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class OomKilled(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GpuUsed(_message.Message):
    __slots__ = ("launches", "copies", "copied_bytes", "allocations", "allocated_bytes", "frees", "synchronisations", "synchronised_ns", "runtime")
    LAUNCHES_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    COPIED_BYTES_FIELD_NUMBER: _ClassVar[int]
    ALLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    ALLOCATED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FREES_FIELD_NUMBER: _ClassVar[int]
    SYNCHRONISATIONS_FIELD_NUMBER: _ClassVar[int]
    SYNCHRONISED_NS_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    launches: int
    copies: int
    copied_bytes: int
    allocations: int
    allocated_bytes: int
    frees: int
    synchronisations: int
    synchronised_ns: int
    runtime: bool
    def __init__(self, launches: _Optional[int] = ..., copies: _Optional[int] = ..., copied_bytes: _Optional[int] = ..., allocations: _Optional[int] = ..., allocated_bytes: _Optional[int] = ..., frees: _Optional[int] = ..., synchronisations: _Optional[int] = ..., synchronised_ns: _Optional[int] = ..., runtime: _Optional[bool] = ...) -> None: ...

class GpuSampled(_message.Message):
    __slots__ = ("shares", "interval_ns")
    SHARES_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_NS_FIELD_NUMBER: _ClassVar[int]
    shares: _containers.RepeatedCompositeFieldContainer[GpuShare]
    interval_ns: int
    def __init__(self, shares: _Optional[_Iterable[_Union[GpuShare, _Mapping]]] = ..., interval_ns: _Optional[int] = ...) -> None: ...

class GpuShare(_message.Message):
    __slots__ = ("device_uuid", "device_name", "memory_bytes", "utilisation_percent", "device_memory_bytes", "device_utilisation_percent")
    DEVICE_UUID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    UTILISATION_PERCENT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_UTILISATION_PERCENT_FIELD_NUMBER: _ClassVar[int]
    device_uuid: str
    device_name: str
    memory_bytes: int
    utilisation_percent: int
    device_memory_bytes: int
    device_utilisation_percent: int
    def __init__(self, device_uuid: _Optional[str] = ..., device_name: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., utilisation_percent: _Optional[int] = ..., device_memory_bytes: _Optional[int] = ..., device_utilisation_percent: _Optional[int] = ...) -> None: ...

class CaptureLimited(_message.Message):
    __slots__ = ("limit", "ended", "since_boot_ns", "over_rate", "not_sampled")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    SINCE_BOOT_NS_FIELD_NUMBER: _ClassVar[int]
    OVER_RATE_FIELD_NUMBER: _ClassVar[int]
    NOT_SAMPLED_FIELD_NUMBER: _ClassVar[int]
    limit: str
    ended: bool
    since_boot_ns: int
    over_rate: int
    not_sampled: int
    def __init__(self, limit: _Optional[str] = ..., ended: _Optional[bool] = ..., since_boot_ns: _Optional[int] = ..., over_rate: _Optional[int] = ..., not_sampled: _Optional[int] = ...) -> None: ...

class Lost(_message.Message):
    __slots__ = ("stage", "reason", "count", "unit", "first_boot_ns", "place")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    FIRST_BOOT_NS_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    stage: str
    reason: str
    count: int
    unit: str
    first_boot_ns: int
    place: str
    def __init__(self, stage: _Optional[str] = ..., reason: _Optional[str] = ..., count: _Optional[int] = ..., unit: _Optional[str] = ..., first_boot_ns: _Optional[int] = ..., place: _Optional[str] = ...) -> None: ...

class Tick(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: FoldSettings
    def __init__(self, settings: _Optional[_Union[FoldSettings, _Mapping]] = ...) -> None: ...

class FoldSettings(_message.Message):
    __slots__ = ("content_on_spans", "session_idle_ns", "analyzers")
    CONTENT_ON_SPANS_FIELD_NUMBER: _ClassVar[int]
    SESSION_IDLE_NS_FIELD_NUMBER: _ClassVar[int]
    ANALYZERS_FIELD_NUMBER: _ClassVar[int]
    content_on_spans: bool
    session_idle_ns: int
    analyzers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, content_on_spans: _Optional[bool] = ..., session_idle_ns: _Optional[int] = ..., analyzers: _Optional[_Iterable[str]] = ...) -> None: ...

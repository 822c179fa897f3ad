"""What is known of a session between two events. Holds data only, no behaviour.

Everything here is part of a checkpoint: a new field needs a default, so that older ones still load.
Times are Unix ns, 0 where something has not happened.
"""

from __future__ import annotations

import msgspec

from agentsight_aggregator.analyzers.effect_state import Effect
from agentsight_aggregator.analyzers.network_totals import NetworkTotals
from agentsight_aggregator.call import LlmCall
from agentsight_aggregator.streams.mcp import McpCall, McpPeer


class Cause(msgspec.Struct, frozen=True):
    """Where a process hangs in a trace, and why."""

    trace_id: bytes
    parent_span_id: bytes
    # How it was found; "" when there is nothing but the session itself.
    method: str
    # 0…1
    confidence: float
    # True when a tool call is above it, at whatever distance.
    by_tool: bool = False
    # The name of that tool.
    tool_name: str = ""


class SpanRef(msgspec.Struct, frozen=True):
    """Where a span is."""

    trace_id: bytes
    span_id: bytes


class GpuShares(msgspec.Struct):
    """What a process had of the GPUs, in the samples of it."""

    # Name by unique id.
    devices: dict[str, str] = {}
    # On all of them at one moment.
    peak_memory_bytes: int = 0
    # Each of a GPU, in percent: how many there were, their sum, the largest.
    samples: int = 0
    utilisation_sum: int = 0
    peak_utilisation: int = 0
    # The same of the GPUs as a whole.
    device_samples: int = 0
    device_utilisation_sum: int = 0


class ProcessState(msgspec.Struct):
    """A process, from its fork or exec until its span is written and no child needs it."""

    pid: int
    # Serial of the parent in SessionState.processes; 0 = not watched.
    parent: int
    parent_pid: int
    start_boot_ns: int
    start_ns: int
    span_id: bytes
    # The beginning was never seen: the start is that of its first event.
    guessed: bool = False
    exe: str = ""
    comm: str = ""
    argv: tuple[str, ...] = ()
    argv_truncated: bool = False
    cwd: str = ""
    uid: int = -1
    container_id: str = ""
    # (time, argv) of the programs it was before: `sh -c` that became its command.
    earlier: list[tuple[int, tuple[str, ...]]] = []
    executed: bool = False
    already_running: bool = False
    exit_ns: int = 0
    exit_code: int = 0
    exit_signal: int = 0
    exited: bool = False
    cause: Cause | None = None
    written: bool = False
    children: int = 0
    # True when it talks to models: its effects may belong to a tool that runs inside it.
    talks: bool = False
    # The beginning of what it wrote to pipes, by descriptor (1 or 2), and how much there was of it.
    output: dict[int, bytes] = {}
    output_bytes: dict[int, int] = {}
    # (time, line) that people typed into it, a shell.
    typed: list[tuple[int, str]] = []
    # True when it is an MCP server: its effects may belong to a tool call that it serves.
    serves: bool = False
    # Effects of a talking process that are not yet placed (on it or on a tool).
    unplaced: list[Effect] = []
    effects: list[Effect] = []
    # Effects beyond the bound, by kind.
    omitted: dict[str, int] = {}
    # There is no place any more that another effect could take.
    is_crowded: bool = False
    files: int = 0
    changes: int = 0
    connections: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    sent_segments: int = 0
    retransmitted_segments: int = 0
    oom_killed: bool = False
    # Calls of CUDA by name of the sum; [0] of the driver, [1] of the runtime above it.
    gpu: dict[str, tuple[int, int]] = {}
    gpu_shares: GpuShares | None = None


class McpUse(msgspec.Struct):
    """The MCP call that a tool call of a model led to."""

    call: McpCall
    peer: McpPeer
    # How they were found to belong together.
    method: str
    confidence: float


class ToolState(msgspec.Struct):
    """A tool call that an answer asked for."""

    id: str
    name: str
    arguments: str
    # What identifies it in arguments: every string in them, longest first.
    needles: tuple[str, ...]
    trace_id: bytes
    span_id: bytes
    turn_span_id: bytes
    # The span above its turn: the tool call or process that started a subagent; b"" = none.
    above_span_id: bytes
    thread: int
    # The process that talks to the model.
    pid: int
    # Agents may start a tool while the answer still streams.
    window_start_ns: int
    start_ns: int
    end_ns: int = 0
    closed: bool = False
    # "" while open; "result", or why there is none.
    outcome: str = ""
    result: str = ""
    is_error: bool = False
    processes: int = 0
    effects: list[Effect] = []
    omitted_effects: int = 0
    mcp: McpUse | None = None
    # The span of the answer that asked for it; b"" in checkpoints from before there were links.
    asked_by: bytes = b""
    # What its processes were and how they ended, each name and status once.
    programs: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = ()


class TurnState(msgspec.Struct):
    """One user turn: the root of a trace, unless a tool call of another turn started it."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    start_ns: int
    end_ns: int
    pid: int
    kind: str
    conversation_id: str = ""
    llm_calls: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced_calls: int = 0
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    # Of the last call.
    error_type: str = ""
    finish_reasons: tuple[str, ...] = ()
    # The turn before in the same conversation.
    previous: SpanRef | None = None


class ThreadState(msgspec.Struct):
    """One conversation of a session: the main one, a subagent's, a side call's."""

    kind: str
    pid: int
    last_ns: int
    # Hashes of the messages of the last request.
    known: tuple[bytes, ...] = ()
    # First hash of its answer; b"" when there was none.
    answer: bytes = b""
    system: bytes = b""
    turn: TurnState | None = None
    # The last turn that is over.
    last_turn: SpanRef | None = None


class TurnWindow(msgspec.Struct, frozen=True):
    """A turn that is over, for effects that are placed late."""

    trace_id: bytes
    span_id: bytes
    start_ns: int
    end_ns: int
    kind: str


class Attempt(msgspec.Struct, frozen=True):
    """A failed attempt of a logical call."""

    start_ns: int
    end_ns: int
    error_type: str
    status: int


class Placed(msgspec.Struct, frozen=True):
    """A call with its place: thread, trace, and the ids of its spans."""

    call: LlmCall
    thread: int
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    pid: int
    # How many leading messages the thread knew already.
    known: int
    # Where it is on the wire.
    connection: int
    index: int
    attempts: tuple[Attempt, ...] = ()
    # The tool calls whose results it brings.
    brings: tuple[SpanRef, ...] = ()
    # What its `traceparent` header names.
    context: SpanRef | None = None


class Totals(msgspec.Struct):
    """The sums of a session."""

    turns: int = 0
    llm_calls: int = 0
    failed_llm_calls: int = 0
    tool_calls: int = 0
    failed_tool_calls: int = 0
    processes: int = 0
    files: int = 0
    connections: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced_calls: int = 0
    models: list[str] = []


class SessionState(msgspec.Struct):
    """Everything between two events of one session. Dicts are in the order of insertion."""

    id: int
    start_ns: int
    last_ns: int
    trace_id: bytes
    span_id: bytes
    agent_name: str = "unknown"
    node: str = ""
    cluster: str = ""
    container_id: str = ""
    # Of its first process; -1 = not known.
    uid: int = -1
    # Of Kubernetes; "" = it runs in no pod, or in one that is not known.
    namespace: str = ""
    # Container and pod as attributes of the resource.
    place: tuple[tuple[str, str], ...] = ()
    argv: tuple[str, ...] = ()
    cwd: str = ""
    root_pid: int = 0
    imported: bool = False
    # When the first of those began that hang under the session's own span; 0 = there is none.
    root_start_ns: int = 0
    idle: bool = False
    end_ns: int = 0
    exit_code: int = 0
    exit_signal: int = 0
    watcher_stopped: bool = False
    # Not before this event time is there anything to settle; 0 = nothing.
    due_ns: int = 0

    next_serial: int = 1
    threads: dict[int, ThreadState] = {}
    # thread by response id or conversation id
    thread_ids: dict[str, int] = {}
    tools: list[ToolState] = []
    processes: dict[int, ProcessState] = {}
    by_pid: dict[int, int] = {}
    # Address to the name that it was last the answer for; the oldest is forgotten first.
    names: dict[str, str] = {}
    # By container: (path in it, path on the host or ""), the longest first.
    places: dict[str, tuple[tuple[str, str], ...]] = {}
    # Serials whose cause is not decided yet.
    undecided: list[int] = []
    retrying: dict[bytes, Placed] = {}
    closed_turns: list[TurnWindow] = []
    seen_messages: dict[bytes, None] = {}
    # MCP servers, by connection; and their finished calls that no tool call is known for yet.
    mcp_peers: dict[int, McpPeer] = {}
    mcp_calls: list[McpCall] = []
    totals: Totals = msgspec.field(default_factory=Totals)
    network: NetworkTotals = msgspec.field(default_factory=NetworkTotals)
    revision: int = 0
    summary_due: bool = False

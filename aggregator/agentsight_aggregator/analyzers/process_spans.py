"""The span of a process: exec to exit, with its effects as span events.

Must not place the process: its cause is given.
"""

from __future__ import annotations

from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.analyzers.effects import effect_event
from agentsight_aggregator.analyzers.findings import Attributes, Output, cut, event, storable
from agentsight_aggregator.analyzers.gpu_use import gpu_attributes
from agentsight_aggregator.analyzers.host_paths import Places, on_host
from agentsight_aggregator.analyzers.state import ProcessState, SessionState
from agentsight_aggregator.analyzers.tool_effects import measure_process

_FAILED_EXIT = -1
_MAX_ARGS = 256


def write_process(
    output: Output, session: SessionState, process: ProcessState, now_ns: int
) -> None:
    """Write the span of `process`; one that still runs ends at `now_ns` and says so."""
    cause = process.cause
    assert cause is not None
    process.written = True
    # An end that was missed says nothing.
    failed = process.exited and (process.exit_code > 0 or process.exit_signal != 0)
    span = pb.Span(
        trace_id=cause.trace_id,
        span_id=process.span_id,
        parent_span_id=cause.parent_span_id,
        name=storable(process_name(process)),
        kind=pb.SPAN_KIND_INTERNAL,
        start_ns=process.start_ns,
        end_ns=max(process.start_ns, process.exit_ns if process.exited else now_ns),
        status=pb.SPAN_STATUS_ERROR if failed else pb.SPAN_STATUS_UNSET,
    )
    limit = output.settings.max_content_bytes
    events = [effect_event(effect) for effect in (*process.effects, *process.unplaced)]
    events += [
        event(time_ns, "exec", {"process.command_line": cut(" ".join(argv), limit)})
        for time_ns, argv in process.earlier
    ]
    attributes = _attributes(process, limit)
    _put_host_paths(attributes, process, session.places.get(process.container_id, ()))
    if output.settings.content_on_spans:
        _put_output(attributes, process)
        events += [
            event(time_ns, "shell.input", {"agentsight.shell.line": cut(line, limit)})
            for time_ns, line in process.typed
        ]
    output.span(session, span, attributes, events)
    measure_process(output.meter, session, process)


def process_name(process: ProcessState) -> str:
    """Return the file name of what `process` runs, or what comes nearest to it."""
    path = process.exe or (process.argv[0] if process.argv else "")
    return path.rsplit("/", 1)[-1] or process.comm or "process"


def _attributes(process: ProcessState, limit: int) -> Attributes:
    attributes: Attributes = {
        "process.pid": process.pid,
        "agentsight.files": process.files,
        "agentsight.connections": process.connections,
        "agentsight.file.read_bytes": process.read_bytes,
        "agentsight.file.written_bytes": process.written_bytes,
        "agentsight.connection.sent_bytes": process.sent_bytes,
        "agentsight.connection.received_bytes": process.received_bytes,
    }
    texts = {
        "process.executable.path": process.exe,
        "process.executable.name": process_name(process),
        "process.working_directory": process.cwd,
        "container.id": process.container_id,
    }
    attributes.update({key: text for key, text in texts.items() if text})
    if process.parent_pid:
        attributes["process.parent_pid"] = process.parent_pid
    if process.uid >= 0:
        attributes["process.user.id"] = process.uid
    _put_argv(attributes, process, limit)
    _put_end(attributes, process)
    if process.sent_segments:
        attributes["agentsight.connection.sent_segments"] = process.sent_segments
        attributes["agentsight.connection.retransmitted_segments"] = process.retransmitted_segments
    attributes.update(gpu_attributes(process))
    if process.oom_killed:
        attributes["agentsight.process.oom_killed"] = True
    if process.changes:
        attributes["agentsight.file.changes"] = process.changes
    for kind, count in sorted(process.omitted.items()):
        attributes[f"agentsight.{kind}s.omitted"] = count
    if process.cause is not None and process.cause.method:
        attributes["agentsight.cause.method"] = process.cause.method
        attributes["agentsight.cause.confidence"] = process.cause.confidence
    return attributes


def _put_host_paths(attributes: Attributes, process: ProcessState, places: Places) -> None:
    """Say where the host sees the program and the working directory of a process in a container."""
    seen = {"executable_path": process.exe, "working_directory": process.cwd}
    for name, path in seen.items():
        if host_path := on_host(path, places):
            attributes[f"agentsight.process.host_{name}"] = host_path


def _put_argv(attributes: Attributes, process: ProcessState, limit: int) -> None:
    if process.argv:
        args = tuple(cut(arg, limit) for arg in process.argv[:_MAX_ARGS])
        attributes["process.command_args"] = args
        cut_off = args != process.argv
        if process.argv_truncated or cut_off:
            attributes["agentsight.argv.truncated"] = True
            attributes["agentsight.argv.count"] = len(process.argv)
    if not process.executed and not process.already_running:
        attributes["agentsight.process.forked_only"] = True


def _put_output(attributes: Attributes, process: ProcessState) -> None:
    for fd, name in ((1, "stdout"), (2, "stderr")):
        if fd in process.output:
            key = f"agentsight.process.{name}"
            # What was cut in the middle of a character loses it.
            attributes[key] = process.output[fd].decode("utf-8", "replace")
            attributes[f"{key}.bytes"] = process.output_bytes[fd]


def _put_end(attributes: Attributes, process: ProcessState) -> None:
    if not process.exited:
        attributes["agentsight.process.running"] = True
    elif process.exit_code == _FAILED_EXIT:
        attributes["agentsight.process.exit_missed"] = True
    else:
        attributes["process.exit.code"] = process.exit_code
        if process.exit_signal:
            attributes["agentsight.process.exit_signal"] = process.exit_signal
            attributes["error.type"] = f"signal {process.exit_signal}"
        elif process.exit_code:
            attributes["error.type"] = f"exit {process.exit_code}"

"""Tracers of others: programs that print a line for each event. Must not know what is measured."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

from agentsight_core.runtime.children import end_with_parent

from bench.overhead.tracers import MOST_S, QUIET_S, START_S, WATCHED, Seen, cpu_ns, rss_bytes, until


class Printing:
    """Tracers that print a line for each event: their output goes to files."""

    name = "?"

    def __init__(self, folder: Path, commands: dict[str, list[str]]) -> None:
        self._folder = folder
        self._commands = commands
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        for name, command in self._commands.items():
            output, errors = (self._path(name, end).open("wb") for end in ("out", "err"))
            with output, errors:
                # Programs that look for tracepoints need tracefs, which is not mounted everywhere.
                self._running[name] = subprocess.Popen(
                    ["unshare", "-m", "sh", "-c", _WITH_TRACEFS, "sh", *command],
                    stdout=output,
                    stderr=errors,
                    preexec_fn=end_with_parent,  # noqa: PLW1509  one prctl
                )
        for name in self._commands:
            self._wait_ready(name)

    def stop(self) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGINT)
        for process in self._running.values():
            process.wait(START_S)
        self._running.clear()

    def seen(self) -> Seen:
        # One that prints what the whole machine does is never quiet.
        before, most = -1, time.monotonic() + MOST_S
        while (now := self._written()) != before and time.monotonic() < most:
            before = now
            time.sleep(QUIET_S)
        return self.count()

    def count(self) -> Seen:
        raise NotImplementedError

    def cpu_ns(self) -> int:
        return sum(cpu_ns(process.pid) for process in self._running.values())

    def rss_bytes(self) -> int:
        return sum(rss_bytes(process.pid) for process in self._running.values())

    def text(self, name: str, end: str = "out") -> bytes:
        return self._path(name, end).read_bytes()

    def _wait_ready(self, name: str) -> None:
        """Wait until it polls its ring and attaches nothing more."""
        process = self._running[name]
        before: list[str] = []

        def settled() -> bool:
            nonlocal before
            assert process.poll() is None, self.text(name, "err").decode()
            try:
                now = [str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
            except FileNotFoundError:
                return False  # one was closed meanwhile: it is still at work
            same, before = len(now) == len(before), now
            time.sleep(QUIET_S)
            return same and any("eventpoll" in link for link in now)

        until(settled)

    def _written(self) -> int:
        return sum(self._path(name, "out").stat().st_size for name in self._commands)

    def _path(self, name: str, end: str) -> Path:
        return self._folder / f"{name}.{end}"


_WITH_TRACEFS = (
    "test -d /sys/kernel/tracing/events || mount -t tracefs tracefs /sys/kernel/tracing;"
    "test -d /sys/kernel/debug/tracing/events || mount -t debugfs debugfs /sys/kernel/debug;"
    'exec "$@"'
)


class Upstream(Printing):
    """The programs `sslsniff` and `process` of the AgentSight that came before."""

    name = "upstream"
    _LINE = re.compile(rb'"(?:READ/RECV|WRITE/SEND)".{0,60}?"comm":"benchagent".{0,40}?"len":(\d+)')

    def __init__(self, folder: Path, sslsniff: str, process: str) -> None:
        """Each is a path, or a whole command; "" leaves it out."""
        commands = {"sslsniff": shlex.split(sslsniff), "process": shlex.split(process)}
        # Root only: the server of the measurements runs as somebody else.
        options = {"sslsniff": ["-u", "0"], "process": ["-c", WATCHED]}
        super().__init__(
            folder,
            {
                name: command if command[1:] else command + options[name]
                for name, command in commands.items()
                if command
            },
        )

    def count(self) -> Seen:
        """Count what was printed; it says nothing of what it lost."""
        lengths = self._LINE.findall(self.text("sslsniff")) if "sslsniff" in self._commands else []
        lines = self.text("process").count(b"\n") if "process" in self._commands else 0
        return Seen(sum(map(int, lengths)), len(lengths) + lines, -1)


_PROGRAM = """
uprobe:LIB:SSL_write,uprobe:LIB:SSL_read /comm == "benchagent"/ { @buffer[tid] = arg1; }
uretprobe:LIB:SSL_write,uretprobe:LIB:SSL_read /@buffer[tid]/ {
    if ((int32)retval > 0) { printf("tls %d %r\\n", retval, buf(@buffer[tid], retval)); }
    delete(@buffer[tid]);
}
uprobe:LIB:SSL_write_ex,uprobe:LIB:SSL_read_ex /comm == "benchagent"/ {
    @buffer[tid] = arg1; @length[tid] = arg3;
}
uretprobe:LIB:SSL_write_ex,uretprobe:LIB:SSL_read_ex /@buffer[tid]/ {
    if (retval == 1) {
        $length = *(uint64 *)@length[tid];
        printf("tls %d %r\\n", $length, buf(@buffer[tid], $length));
    }
    delete(@buffer[tid]); delete(@length[tid]);
}
tracepoint:sched:sched_process_exec { printf("exec %d %s\\n", pid, str(args->filename)); }
tracepoint:sched:sched_process_exit { printf("exit %d\\n", pid); }
tracepoint:syscalls:sys_enter_openat /comm == "benchagent"/ {
    printf("open %d %s\\n", pid, str(args->filename));
}
"""


class Bpftrace(Printing):
    """One-liners of the same probes; of each payload the first 200 bytes, more it cannot print."""

    name = "bpftrace"
    _LINE = re.compile(rb"^tls (\d+) ", re.MULTILINE)
    _LOST = re.compile(rb"Lost (\d+) events")

    def __init__(self, folder: Path, program: str, library: str) -> None:
        script = folder / "probes.bt"
        script.write_text(_PROGRAM.replace("LIB", library))
        super().__init__(folder, {"bpftrace": [program, "-B", "full", str(script)]})

    def count(self) -> Seen:
        lengths = self._LINE.findall(self.text("bpftrace"))
        lost = self._LOST.findall(self.text("bpftrace") + self.text("bpftrace", "err"))
        lines = self.text("bpftrace").count(b"\n")
        return Seen(sum(map(int, lengths)), lines, sum(map(int, lost)))

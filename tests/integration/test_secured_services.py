"""Agent and aggregator as processes of their own, each with its credential, over a secured bus."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agentsight_cli import running
from agentsight_cli.certs.working_set import Wanted, make_set
from agentsight_core.bus.access import connection_settings
from agentsight_core.bus.connection import connect
from agentsight_core.bus.server import NatsServer, ServerSettings
from agentsight_core.config import load_config
from agentsight_core.runtime.notes import read_note
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.llm_tls_server import llm_tls_server
from agentsight_core.testing.running_up import caller, own_model

pytestmark = [pytest.mark.kernel, pytest.mark.server]

# Not a name that anything else would write.
MODEL = own_model("claude-canary-51f0-secured")


@contextlib.asynccontextmanager
async def service(name: str, config: Path, state_dir: Path, log: Path) -> AsyncIterator[None]:
    values = {
        "NODE_STATE_DIR": str(state_dir),
        "NODE_TELEMETRY_PORT": "0",
        "EXPORTERS_PROMETHEUS_PORT": "0",
        "API_PORT": "0",
        "AGGREGATOR_TICK_INTERVAL_MS": "250",
        "AGGREGATOR_CHECKPOINT_INTERVAL_MS": "300",
    }
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"agentsight_{name}",
            "--config",
            str(config),
            stderr=out,
            env={**os.environ, **{f"AGENTSIGHT_{key}": value for key, value in values.items()}},
        )

    def is_ready() -> bool:
        assert process.returncode is None, log.read_text()
        return read_note(state_dir, name) is not None

    try:
        await eventually(is_ready)
        yield
    finally:
        process.terminate()
        async with asyncio.timeout(30):
            await process.wait()


async def test_real_calls_arrive_and_cannot_be_read_on_the_way(tmp_path: Path) -> None:
    made = tmp_path / "set"
    make_set(made, Wanted(nodes=("n1",)))
    bus = ServerSettings(tmp_path / "bus", security_file=made / "nats-users.conf")
    (tmp_path / "tls").mkdir()
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(NatsServer(bus))
        make_set(made, Wanted(servers=(server.url,)))
        for name, role in (("aggregator", "aggregator"), ("agent", "node-n1")):
            config, state = made / f"{role}.yaml", tmp_path / f"state-{name}"
            log = tmp_path / f"{name}.log"
            await stack.enter_async_context(service(name, config, state, log))
        llm = stack.enter_context(llm_tls_server(tmp_path / "tls"))
        program = await stack.enter_async_context(caller(llm, MODEL))
        for number in range(1, 6):
            await program.call(number)

        reader = load_config(made / "reader.yaml", {})
        found: list[int] = []
        async with connect(connection_settings(reader, "cli")) as connection:
            findings = running.coming_findings(connection, running.ALL, beginning=True)
            async with asyncio.timeout(30), contextlib.aclosing(findings):
                async for finding in findings:
                    values = {item.key: item for item in finding.span.attributes}
                    if "gen_ai.request.max_tokens" in values:
                        assert values["gen_ai.request.model"].string_value == MODEL
                        found.append(values["gen_ai.request.max_tokens"].int_value)
                    if len(found) == 5:
                        break
        assert found == [1, 2, 3, 4, 5]

    for name in ("agent", "aggregator"):
        log = (tmp_path / f"{name}.log").read_text()
        assert "refuses" not in log
        assert "cannot be read" not in log
    folders = [tmp_path / "bus", tmp_path / "state-agent", tmp_path / "state-aggregator"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert any(b"FINDINGS" in path.read_bytes() for path in files)
    assert [path for path in files if MODEL.encode() in path.read_bytes()] == []

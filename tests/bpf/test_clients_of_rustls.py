"""A real client with rustls under `agentsight record`: many connections in one process, HTTP/2."""

import json
import ssl
import sys
from collections import Counter
from pathlib import Path

import pytest
from agentsight_core.testing.llm_h2_server import llm_h2_server
from agentsight_core.testing.llm_tls_server import llm_tls_server
from agentsight_core.testing.recorded_run import record

pytestmark = pytest.mark.kernel

CLIENT = Path(__file__).parent / "tls_clients" / "pyqwest_client.py"


def asks(count: int) -> list[str]:
    """Requests of which no two, and no two answers, are the same; every other one is a stream."""
    return [
        json.dumps({"model": "m", "max_tokens": 3000 + number, "stream": bool(number % 2)})
        for number in range(count)
    ]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
def test_connections_of_one_process_are_kept_apart(tmp_path: Path, version) -> None:
    with llm_tls_server(tmp_path) as server:
        server._context.maximum_version = version
        command = [sys.executable, str(CLIENT), "--at-once", *asks(40)]
        run = record(command, tmp_path, server.environment, analyze=False)
        assert run.exit_status == 0, run.stderr
        exchanges = run.exchanges()
        assert Counter(one.pair for one in exchanges) == Counter(server.pairs)
        assert len(server.pairs) == 40
        assert len({one.request.connection for one in exchanges}) > 1
        assert run.losses() == {}


def test_streams_of_http2_are_complete(tmp_path: Path) -> None:
    with llm_h2_server(tmp_path) as server:
        command = [sys.executable, str(CLIENT), "--at-once", "--http2", *asks(20)]
        run = record(command, tmp_path, server.environment, analyze=False)
        assert run.exit_status == 0, run.stderr
        exchanges = run.exchanges()
        assert Counter(one.pair for one in exchanges) == Counter(server.pairs)
        assert {one.request.version for one in exchanges} == {"2"}
        assert run.losses() == {}

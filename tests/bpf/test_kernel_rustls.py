"""Records that AWS-LC seals and opens for rustls: what is in them, and of which connection."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentsight_agent.bpf.records import ConnectionOpened
from agentsight_agent.tls.discovery import TlsFile, Unhookable, inspect
from agentsight_agent.tls.reasons import Reason

pytestmark = pytest.mark.kernel

SOURCE = Path(__file__).parent / "testers" / "sealer.c"


def build(folder: Path, *flags: str) -> Path:
    program = folder / "sealer"
    subprocess.run(["gcc", "-O2", "-s", "-w", *flags, "-o", program, SOURCE], check=True)
    return program


@pytest.fixture
def port() -> Iterator[int]:
    """Somebody who answers once."""

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"any")
            connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]


@pytest.mark.every_loader
@pytest.mark.parametrize("flags", [(), ("-no-pie",), ("-fcf-protection=none", "-O3")])
def test_application_data_of_both_directions_is_of_one_connection(
    watch, tester, port, tmp_path, flags
) -> None:
    program = build(tmp_path, *flags)
    found = inspect(str(program), executable=True)
    assert isinstance(found, TlsFile)
    assert found.unread is None
    seen_by = watch()
    seen_by.kernel.attach_tls(str(program), found.hooks)
    sealer = tester(program, port)
    seen_by.track(sealer.pid)
    sealer.say("go")
    assert sealer.finish() == 0
    seen = seen_by.until_exit(sealer.pid)
    written, read = (seen.runs(written=direction) for direction in (True, False))
    assert b"".join(run.data for run in written) == b"question more "
    assert b"".join(run.data for run in read) == b"answer enough "
    assert len({run.connection for run in (*written, *read)}) == 1
    (opened,) = seen.of(ConnectionOpened)
    assert (opened.connection, opened.peer_port) == (written[0].connection, port)


@pytest.mark.parametrize("flags", [("-DINVALID=104",), ("-DTOO_LARGE=1",)])
def test_what_is_not_surely_it_is_not_hooked_and_has_the_reason(tmp_path, flags) -> None:
    found = inspect(str(build(tmp_path, *flags)), executable=True)
    assert isinstance(found, Unhookable)
    assert found.reason is Reason.RUSTLS


def test_where_rustls_may_use_ring_too_that_is_said(tmp_path) -> None:
    found = inspect(str(build(tmp_path, "-DWITH_RING")), executable=True)
    assert isinstance(found, TlsFile)
    assert (len(found.hooks), found.unread) == (3, Reason.RUSTLS_RING)

"""Real programs, real libraries, real probes: plaintext is seen wherever its TLS code lies."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from agentsight_agent.bpf.control import KernelSettings
from agentsight_agent.bpf.kernel import Kernel
from agentsight_agent.bpf.records import ProcessNetworked, ProcessRecord, TlsRun
from agentsight_agent.familiar import Familiarity
from agentsight_agent.tls.attachments import Attachments
from agentsight_agent.tls.command import resolve_command
from agentsight_agent.tls.reasons import Reason
from agentsight_cli.checks.processes import check_processes
from agentsight_core.config import AgentSightConfig
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.kernel

MS = 1_000_000
SYSTEM_LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")

# Client and server of one TLS connection in one process, without a network.
PYTHON_TALKER = """
import ssl, sys
certificate, key = sys.argv[1:3]
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(certificate, key)
client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
client = client_context.wrap_bio(to_client, to_server)
server = server_context.wrap_bio(to_server, to_client, server_side=True)
for end in (client, server, client, server):
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        pass
print("ready", flush=True)
sys.stdin.readline()
client.write(b"question")
assert server.read(100) == b"question"
server.write(b"answer")
assert client.read(100) == b"answer"
print("done", flush=True)
sys.stdin.readline()
"""

NODE_TALKER = """
const tls = require("tls"), fs = require("fs");
const [certificate, key] = process.argv.slice(2).map((path) => fs.readFileSync(path));
const server = tls.createServer({cert: certificate, key}, (socket) => {
  socket.on("data", () => socket.end("answer"));
});
server.listen(0, "127.0.0.1", () => {
  console.log("ready");
  process.stdin.once("data", () => {
    const options = {port: server.address().port, host: "127.0.0.1", rejectUnauthorized: false};
    const client = tls.connect(options, () => SOON(() => client.write("question")));
    client.on("data", () => {
      console.log("done");
      process.stdin.once("data", () => process.exit());
    });
  });
});
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "cert.pem").write_bytes(signed.public_bytes(pem))
    (directory / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(directory / "cert.pem"), str(directory / "key.pem")


@pytest.fixture(scope="module")
def loaded() -> Iterator[Kernel]:
    with Kernel(KernelSettings(ring_bytes=1 << 20)) as kernel:
        yield kernel


@pytest.fixture
def kernel(loaded: Kernel) -> Kernel:
    """A kernel side with nothing in its ring."""
    while loaded.drain(0).records:
        pass
    return loaded


@pytest.fixture
def attachments(kernel: Kernel) -> Iterator[Attachments]:
    attachments = Attachments(kernel)
    yield attachments
    attachments.close()


@contextmanager
def talker(
    *command: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen]:
    """Run a program that says ready, talks when told, says done, and ends when told."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def talk(process: subprocess.Popen) -> None:
    process.stdin.write("talk\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def heard(kernel: Kernel, pid: int) -> dict[tuple[bool, bytes], int]:
    """Return how often each (written, bytes) of process `pid` is in the ring."""
    found: dict[tuple[bool, bytes], int] = {}
    for item in kernel.drain(0).items:
        if isinstance(item, TlsRun) and item.pid == pid:
            key = item.written, bytes(item.data)
            found[key] = found.get(key, 0) + 1
    return found


EACH_ONCE = {
    (True, b"question"): 1,
    (False, b"question"): 1,
    (True, b"answer"): 1,
    (False, b"answer"): 1,
}


def names(attachments: Attachments) -> list[str]:
    return [attachment.file.path for attachment in attachments.attached]


def test_system_library_before_the_program_starts(kernel, attachments, certificate) -> None:
    attachments.start(0)
    with talker(sys.executable, "-c", PYTHON_TALKER, *certificate) as process:
        kernel.track(process.pid, 1)
        talk(process)
        assert heard(kernel, process.pid) == EACH_ONCE


def test_library_of_a_running_program(kernel, attachments, certificate) -> None:
    with talker(sys.executable, "-c", PYTHON_TALKER, *certificate) as process:
        attachments.start(0)
        users = [a.users for a in attachments.attached if "libssl" in a.file.name]
        assert any(process.pid in pids for pids in users)
        kernel.track(process.pid, 1)
        talk(process)
        assert heard(kernel, process.pid) == EACH_ONCE


@pytest.fixture
def own_libraries(tmp_path: Path) -> Path:
    """A directory with a libssl of its own, as wheels and conda environments have it."""
    for name in ("libssl.so.3", "libcrypto.so.3"):
        shutil.copy(SYSTEM_LIBRARIES / name, tmp_path / name)
    return tmp_path


def test_bundled_library_is_found_after_exec(
    kernel, attachments, certificate, own_libraries
) -> None:
    environment = {"LD_LIBRARY_PATH": str(own_libraries)}
    command = (sys.executable, "-c", PYTHON_TALKER, *certificate)
    with talker(*command, environment=environment) as process:
        attachments.on_exec(process.pid, 0)
        assert names(attachments) == []
        attachments.due(19 * MS)
        assert names(attachments) == []
        attachments.due(20 * MS)
        assert names(attachments) == [str(own_libraries / "libssl.so.3")]
        kernel.track(process.pid, 1)
        talk(process)
        assert heard(kernel, process.pid) == EACH_ONCE


def told(kernel: Kernel, pid: int) -> list[ProcessRecord | ProcessNetworked]:
    items = kernel.drain(0).items
    return [i for i in items if isinstance(i, ProcessRecord | ProcessNetworked) and i.pid == pid]


def test_bundled_library_of_a_familiar_program_is_found_when_it_uses_the_network(
    certificate, own_libraries, tmp_path
) -> None:
    """Its start was left out, and so were the looks after it."""
    python = shutil.copy(Path(sys.executable).resolve(), tmp_path / "python")
    waits = "print('ready', flush=True); input()"
    listens = 'import socket; listening = socket.create_server(("127.0.0.1", 0))'
    with Kernel(KernelSettings(ring_bytes=1 << 20, discover=True)) as kernel:
        attachments = Attachments(kernel, familiarity=Familiarity(kernel.familiar))
        for _ in range(3):
            with talker(python, "-I", "-c", waits) as process:
                attachments.on_exec(process.pid, 0)
        environment = {"LD_LIBRARY_PATH": str(own_libraries)}
        script = PYTHON_TALKER.replace('print("ready"', f'{listens}\nprint("ready"')
        kernel.drain(0)
        with talker(python, "-c", script, *certificate, environment=environment) as process:
            assert told(kernel, process.pid) == [ProcessNetworked(process.pid)]
            attachments.on_networked(process.pid, 0)
            assert names(attachments) == [str(own_libraries / "libssl.so.3")]
            kernel.track(process.pid, 1)
            talk(process)
            assert heard(kernel, process.pid) == EACH_ONCE
        with talker(python, "-I", "-c", waits) as process:
            assert [record.kind for record in told(kernel, process.pid)] == ["executed"]
        attachments.close()


def test_deleted_library_is_hooked_through_map_files(
    kernel, attachments, certificate, own_libraries
) -> None:
    environment = {"LD_LIBRARY_PATH": str(own_libraries)}
    command = (sys.executable, "-c", PYTHON_TALKER, *certificate)
    with talker(*command, environment=environment) as process:
        (own_libraries / "libssl.so.3").unlink()
        attachments.on_exec(process.pid, 0)
        attachments.due(20 * MS)
        assert "map_files" in names(attachments)[0]
        kernel.track(process.pid, 1)
        talk(process)
        assert heard(kernel, process.pid) == EACH_ONCE


def test_library_of_another_mount_namespace_is_hooked_at_exec(
    kernel, attachments, certificate, own_libraries
) -> None:
    """What a container's first exec does: its root has its own library in the standard place."""
    script = (
        f'mount --bind "{own_libraries}/libssl.so.3" "{SYSTEM_LIBRARIES}/libssl.so.3" && exec "$@"'
    )
    command = ("unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", PYTHON_TALKER)
    with talker(*command, *certificate) as process:
        attachments.on_exec(process.pid, 0)
        assert any(f"/proc/{process.pid}/root" in name for name in names(attachments))
        kernel.track(process.pid, 1)
        talk(process)
        assert heard(kernel, process.pid) == EACH_ONCE


@pytest.mark.parametrize(
    "soon",
    [
        "setImmediate",
        # The callback of the handshake runs inside of SSL_read, as it does in an https.request.
        "((write) => write())",
    ],
)
def test_node_prepared_by_its_command(kernel, attachments, certificate, tmp_path, soon) -> None:
    script = tmp_path / "talker.js"
    script.write_text("#!/usr/bin/env node\n" + NODE_TALKER.replace("SOON", soon))
    script.chmod(0o755)
    files = resolve_command([str(script)], os.environ["PATH"], "/")
    attachments.prepare(files)
    with talker(str(script), *certificate) as process:
        kernel.track(process.pid, 1)
        talk(process)
        assert heard(kernel, process.pid) == EACH_ONCE


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def test_a_file_that_is_gone_and_unused_is_let_go(
    kernel, attachments, certificate, own_libraries
) -> None:
    environment = {"LD_LIBRARY_PATH": str(own_libraries)}
    command = (sys.executable, "-c", PYTHON_TALKER, *certificate)
    with talker(*command, environment=environment) as process:
        attachments.on_exec(process.pid, 0)
        attachments.due(20 * MS)
        library = str(own_libraries / "libssl.so.3")
        Path(library).unlink()
        attachments.due(100_000 * MS)
        assert library in names(attachments)  # in use
    wait_until(lambda: not Path(f"/proc/{process.pid}").exists(), "the process is gone")
    attachments.due(200_000 * MS)
    assert library not in names(attachments)


def test_tls_that_cannot_be_hooked_is_listed(attachments, tmp_path) -> None:
    source = 'const char *text = "rustls"; int main() { return getchar() + text[0]; }'
    program = tmp_path / "rusty"
    subprocess.run(
        ["gcc", "-x", "c", "-w", "-o", str(program), "-"], input=source.encode(), check=True
    )
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE) as process:
        attachments.on_exec(process.pid, 0)
        listed = {u.name: (u.reason, u.users) for u in attachments.uncaptured}
        said = [check.found for check in check_processes(AgentSightConfig())]
        process.kill()
    assert f"not read: rusty (process {process.pid}): {Reason.RUSTLS.text}" in said
    assert listed["rusty"] == (Reason.RUSTLS, {process.pid})

"""Every TLS library, linked in every way: a real client against a real server, under `record`.

docs/tls-coverage.md holds what was expected and what was seen. The tests compare it with what they
see; with TLS_COVERAGE_WRITE=1 (`make tls-coverage`) they write it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from agentsight_core.testing.llm_tls_server import LlmTlsServer, llm_tls_server
from agentsight_core.testing.recorded_run import RecordedRun, record
from agentsight_core.testing.tls_coverage import CAPTURED, Row, read_rows, write_row

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs/tls-coverage.md"
CLIENTS = Path(__file__).parent / "tls_clients"
# Clients that take long to build or to fetch are kept here.
BUILT = ROOT / ".setup/tls-clients"

ASK = '{"model": "claude-test", "max_tokens": 300, "messages": [{"role": "user", "content": "Hi"}]}'
ASK_STREAM = ASK.replace("{", '{"stream": true, ', 1)
ASKS = (ASK, ASK_STREAM)

# Gets the folder for what it builds; returns the command, in which {url} and {ca} are replaced.
Client = Callable[[Path], list[str]]
ROWS: dict[Row, Client] = {}
MATRIX_ROWS: dict[Row, Client] = {}


def row(*cells: str, matrix: bool = False) -> Callable[[Client], Client]:
    """Make a client the row of the table with `cells`; `matrix`: `make test` leaves it out."""

    def add(client: Client) -> Client:
        (MATRIX_ROWS if matrix else ROWS)[Row(*cells)] = client
        return client

    return add


def run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def needed(name: str, *others: str) -> str:
    found = next(filter(None, map(shutil.which, (name, *others))), None)
    assert found, f"{name} is missing: `make tls-coverage` installs it"
    return found


@row("OpenSSL 1.1.1", "dynamic", "exported", "libcurl", CAPTURED, matrix=True)
def _(folder: Path) -> list[str]:
    # It brings its libraries along; later versions have OpenSSL 3.
    platform = ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"]
    wheel = BUILT / "pycurl-7.45.3"
    if not wheel.exists():
        command = ["pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        run(sys.executable, "-m", *command, *platform, "--dest", folder, "pycurl==7.45.3")
        (packed,) = folder.glob("*.whl")
        with ZipFile(packed) as archive:
            archive.extractall(wheel)
    (library,) = wheel.glob("pycurl.libs/libcurl-*")
    python = ["env", f"LD_LIBRARY_PATH={library.parent}", sys.executable]
    return [*python, str(CLIENTS / "curl_client.py"), str(library), *ASKS]


@row("OpenSSL 3", "dynamic", "exported", "Python ssl", CAPTURED)
def _(folder: Path) -> list[str]:
    return ["/usr/bin/python3", str(CLIENTS / "ssl_client.py"), *ASKS]


@row("OpenSSL 3", "dynamic", "exported", "libcurl", CAPTURED)
def _(folder: Path) -> list[str]:
    return [sys.executable, str(CLIENTS / "curl_client.py"), "libcurl.so.4", *ASKS]


@row("GnuTLS", "dynamic", "exported", "libcurl-gnutls", CAPTURED)
def _(folder: Path) -> list[str]:
    return [sys.executable, str(CLIENTS / "curl_client.py"), "libcurl-gnutls.so.4", *ASKS]


@row("GnuTLS", "dynamic", "exported", "wget", CAPTURED)
def _(folder: Path) -> list[str]:
    options = ["-q", "-O", "/dev/null", "--ca-certificate={ca}", "--post-data", ASK]
    return ["wget", *options, "{url}/v1/messages", "{url}/v1/messages"]


@row("NSS", "dynamic", "exported", "libcurl-nss", CAPTURED)
def _(folder: Path) -> list[str]:
    return [sys.executable, str(CLIENTS / "curl_client.py"), "libcurl-nss.so.4", *ASKS]


@row("OpenSSL 3", "static", "in the file", "node", CAPTURED)
def _(folder: Path) -> list[str]:
    return ["node", "--use-openssl-ca", str(CLIENTS / "fetch_client.mjs"), *ASKS]


def openssl_client(folder: Path, *flags: str) -> list[str]:
    program = folder / "openssl_client"
    source = CLIENTS / "openssl_client.c"
    # -w: the linker warns that getaddrinfo needs the shared libc at run time; nobody calls it.
    run("gcc", "-O2", "-w", *flags, "-o", program, source, "-lssl", "-lcrypto")
    return [str(program), *ASKS]


@row("OpenSSL 3", "static", "in the file", "C", CAPTURED)
def _(folder: Path) -> list[str]:
    return openssl_client(folder, "-static")


@row("OpenSSL 3", "static", "stripped", "C", CAPTURED)
def _(folder: Path) -> list[str]:
    return openssl_client(folder, "-static", "-s")


@row("OpenSSL 3", "static, position-independent", "stripped", "C", CAPTURED)
def _(folder: Path) -> list[str]:
    return openssl_client(folder, "-static-pie", "-s")


def go_client(name: str, *flags: str) -> list[str]:
    program = BUILT / name
    if not program.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        run(needed("go"), "build", *flags, "-o", program, ".", cwd=CLIENTS / "go_client")
    return [str(program), *ASKS]


@row("Go crypto/tls", "static", "in the file", "Go", CAPTURED, matrix=True)
def _(folder: Path) -> list[str]:
    return go_client("go")


@row("Go crypto/tls", "static", "stripped", "Go", CAPTURED, matrix=True)
def _(folder: Path) -> list[str]:
    return go_client("go-stripped", "-ldflags=-s -w")


@row("Go crypto/tls", "position-independent", "stripped", "Go", CAPTURED, matrix=True)
def _(folder: Path) -> list[str]:
    return go_client("go-pie", "-buildmode=pie", "-ldflags=-s -w")


@row("BoringSSL", "static", "stripped", "Bun", CAPTURED, matrix=True)
def _(folder: Path) -> list[str]:
    package = "@oven/bun-linux-x64"
    program = BUILT / "node_modules" / package / "bin/bun"
    if not program.exists():
        run(needed("npm"), "install", "--no-audit", "--no-fund", "--prefix", BUILT, package)
    return [str(program), str(CLIENTS / "fetch_client.mjs"), *ASKS]


def python_packages(requirement: str) -> Path:
    """Return a folder for PYTHONPATH with a package and what it needs."""
    packages = BUILT / requirement
    if not packages.exists():
        command = ["pip", "install", "--quiet", "--target", packages, requirement]
        run(sys.executable, "-m", *command)
    return packages


@row(
    *("rustls above AWS-LC", "static, position-independent", "stripped", "Codex"),
    f"{CAPTURED}; also named: rustls_ring",
    matrix=True,
)
def _(folder: Path) -> list[str]:
    package = "@openai/codex@0.169.0-linux-x64"
    programs = "node_modules/@openai/codex/vendor/x86_64-unknown-linux-musl/bin"
    program = BUILT / "codex" / programs / "codex"
    if not program.exists():
        options = ["--no-audit", "--no-fund", "--force", "--prefix", BUILT / "codex"]
        run(needed("npm"), "install", *options, package)
    server = '{name="test", base_url="{url}/v1", env_key="OPENAI_API_KEY", wire_api="responses"}'
    options = ["-c", "model_provider=test", "-c", f"model_providers.test={server}", "-m", "none"]
    # Found by `record` before it starts: reading 294 MB takes longer than the request.
    return [str(program), "exec", "--skip-git-repo-check", *options, "Say hi."]


@row("rustls above AWS-LC", "in a Python extension", "stripped", "pyqwest", CAPTURED)
def _(folder: Path) -> list[str]:
    return [sys.executable, str(CLIENTS / "pyqwest_client.py"), *ASKS]


@row(
    "rustls above ring",
    "in a Python extension",
    "stripped",
    "httpr",
    "not captured: rustls",
    matrix=True,
)
def _(folder: Path) -> list[str]:
    packages = python_packages("httpr==0.7.8")
    python = ["env", f"PYTHONPATH={packages}", sys.executable]
    return [*python, str(CLIENTS / "httpr_client.py"), *ASKS]


@row("Java JSSE", "compiled at run time", "none", "Java", "not captured: java", matrix=True)
def _(folder: Path) -> list[str]:
    return [needed("java"), str(CLIENTS / "JavaClient.java"), *ASKS]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LlmTlsServer]:
    with llm_tls_server(tmp_path) as server:
        yield server


def seen(run: RecordedRun, server: LlmTlsServer) -> str:
    """What the run shows: everything, or why nothing; anything between is a failure."""
    reasons = [e.lost.reason for e in run.events if e.lost.unit == "processes"]
    if reasons and not run.exchanges():
        return f"not captured: {', '.join(reasons)}"
    assert [exchange.pair for exchange in run.exchanges()] == server.pairs
    assert [exchange.request.peer_port for exchange in run.exchanges()][-1] == server.server_port
    assert run.losses() == {}
    return f"{CAPTURED}; also named: {', '.join(reasons)}" if reasons else CAPTURED


def check(expected: Row, client: Client, server: LlmTlsServer, tmp_path: Path) -> None:
    words = [
        word.replace("{ca}", str(server.ca)).replace("{url}", server.url)
        for word in client(tmp_path)
    ]
    environment = {**server.environment, "CODEX_HOME": str(tmp_path)}
    ran = record(words, tmp_path, environment, analyze=False)
    assert ran.exit_status == 0, ran.stderr
    assert server.pairs
    actual = Row(*expected.key, expected.expected, seen(ran, server))
    if os.environ.get("TLS_COVERAGE_WRITE"):
        write_row(TABLE, actual)
    assert actual.actual == actual.expected
    assert read_rows(TABLE)[actual.key] == actual


def name_of(expected: object) -> str | None:
    return "-".join(expected.key) if isinstance(expected, Row) else "client"


@pytest.mark.parametrize(("expected", "client"), ROWS.items(), ids=name_of)
def test_client_of_the_table(
    expected: Row, client: Client, server: LlmTlsServer, tmp_path: Path
) -> None:
    check(expected, client, server, tmp_path)


@pytest.mark.matrix
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("expected", "client"), MATRIX_ROWS.items(), ids=name_of)
def test_client_of_the_table_that_takes_long(
    expected: Row, client: Client, server: LlmTlsServer, tmp_path: Path
) -> None:
    check(expected, client, server, tmp_path)


def test_the_table_has_no_other_rows() -> None:
    assert read_rows(TABLE).keys() == {row.key for row in (*ROWS, *MATRIX_ROWS)}

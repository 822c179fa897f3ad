"""What TLS hooks cost the watched program: chosen places against the exported entries.

Run as root: `.venv/bin/python bench/bench_hooks.py`. One TLS connection inside this process; the
cost of a write and a read of 64 bytes, without hooks, with hooks where discovery puts them, and
with hooks on the first instruction of the exported functions. Rounds are interleaved, the minimum
counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

from agentsight_agent.bpf.control import KernelSettings
from agentsight_agent.bpf.hooks import HookKind, TlsHook
from agentsight_agent.bpf.kernel import Kernel
from agentsight_agent.tls.discovery import TlsFile, inspect
from agentsight_agent.tls.elf import Elf
from agentsight_agent.tls.maps import mapped_code

ROUNDS = 5
CALLS = 4000
PAYLOAD = b"x" * 64
ENTRIES = {
    "SSL_read": HookKind.READ,
    "SSL_write": HookKind.WRITE,
    "SSL_read_ex": HookKind.READ_EX,
    "SSL_write_ex": HookKind.WRITE_EX,
}


def connection() -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Return client and server of one connection over memory."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        key, certificate = f"{directory}/key.pem", f"{directory}/certificate.pem"
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
        command += f" -subj /CN=localhost -keyout {key} -out {certificate}"
        subprocess.run(command.split(), check=True, capture_output=True)
        server_context.load_cert_chain(certificate, key)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(back, there)
    server = server_context.wrap_bio(there, back, server_side=True)
    for end in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    return client, server


def pair_us(client: ssl.SSLObject, server: ssl.SSLObject) -> float:
    """Return the CPU time of one write and one read in µs."""
    begin = time.process_time_ns()
    for _ in range(CALLS):
        client.write(PAYLOAD)
        server.read(len(PAYLOAD))
    return (time.process_time_ns() - begin) / CALLS / 1000


def exported_entries(path: str) -> list[TlsHook]:
    """Return hooks on the first instructions of the exported functions."""
    with Elf(path) as elf:
        symbols = elf.functions(ENTRIES)
        offsets = {name: elf.file_offset(symbol.address) for name, symbol in symbols.items()}
    return [TlsHook(ENTRIES[name], offset) for name, offset in offsets.items() if offset]


def own_library() -> str:
    """Return the libssl that this Python uses."""
    mapped = mapped_code(os.getpid()) or []
    return next(m.path for m in mapped if "libssl" in Path(m.path).name)


def empty(kernel: Kernel) -> int:
    """Take everything out of the ring; return how many records it was."""
    total = 0
    while records := kernel.drain(0).records:
        total += records
    return total


def main() -> None:
    path = own_library()
    found = inspect(path)
    assert isinstance(found, TlsFile)
    client, server = connection()
    results: dict[str, float] = {}
    with Kernel(KernelSettings()) as kernel:
        kernel.track(os.getpid(), 1)
        for _ in range(ROUNDS):
            for name, hooks in (
                ("none", []),
                ("chosen", list(found.hooks)),
                ("exported", exported_entries(path)),
            ):
                link = kernel.attach_tls(path, hooks) if hooks else None
                cost = pair_us(client, server)
                results[name] = min(cost, results.get(name, cost))
                if link is not None:
                    link.close()
                    assert empty(kernel) == 2 * CALLS
    chosen, exported = (results[name] - results["none"] for name in ("chosen", "exported"))
    figures = {
        "library": path,
        "pair_us": {name: round(cost, 2) for name, cost in results.items()},
        "added_us": {"chosen": round(chosen, 2), "exported": round(exported, 2)},
        "exported_over_chosen": round(exported / chosen, 1),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

"""`python -m agentsight_core.runtime.health agent|aggregator`: is it ready? For health checks.

Asks the service of this container on its own telemetry port, found by its note in the state
directory (`AGENTSIGHT_NODE_STATE_DIR`). Exit status 0 if it says that it is ready, else 1 with the
reason. It runs every few seconds on every node: must not import the configuration, which costs
ten times what the question does, and must not need a program that images do not have.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from agentsight_core.runtime.notes import read_note

_COMPONENTS = ("agent", "aggregator")
_TIMEOUT_S = 5.0
_STATE_DIR = "/var/lib/agentsight"


def complaint(state_dir: Path, component: str) -> str:
    """Return why `component` ("agent", "aggregator") is not ready; "" if it is."""
    try:
        note = read_note(state_dir, component)
        if note is None:
            return f"no {component} has said in {state_dir} that it runs"
        status, text = _ask(int(str(note["telemetry_port"])))
    except OSError as error:
        return f"{component}: {error}"
    return "" if status == "200" else text


def _ask(port: int) -> tuple[str, str]:
    """Return the status and the text of the answer of /readyz; raises OSError."""
    with socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        answer = b""
        while data := connection.recv(4096):
            answer += data
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    return head.split(" ", 2)[1] if head else "", body.strip() or head


def main() -> int:
    """Ask once; return the exit status."""
    if len(sys.argv) != 2 or sys.argv[1] not in _COMPONENTS:
        print(f"usage: health {'|'.join(_COMPONENTS)}", file=sys.stderr)  # noqa: T201  # its user's
        return 2
    state_dir = Path(os.environ.get("AGENTSIGHT_NODE_STATE_DIR") or _STATE_DIR)
    found = complaint(state_dir, sys.argv[1])
    if found:
        print(found, file=sys.stderr)  # noqa: T201  # for who runs it
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m agentsight_core.runtime.health agent|aggregator`: is it ready? For health checks.

Asks the service of this container on its own telemetry port, found by its note in the state
directory. Exit status 0 if it answers that it is ready, else 1 with the reason. Must not need
another program: images have no curl.
"""

from __future__ import annotations

import argparse
import http.client
import os
import sys

from agentsight_core.config.loading import load_config
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.errors import AgentSightError
from agentsight_core.runtime.notes import read_note

_TIMEOUT_S = 3.0
_ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104  # compared, not listened on


def complaint(config: AgentSightConfig, component: str) -> str:
    """Return why `component` ("agent", "aggregator") is not ready; "" if it is."""
    try:
        note = read_note(config.node.state_dir, component)
    except OSError as error:
        return f"its note cannot be read: {error}"
    if note is None:
        return f"no {component} has said that it runs, in {config.node.state_dir}"
    telemetry = config.exporters.prometheus.host
    host = config.node.telemetry_host if component == "agent" else telemetry
    return _ask("127.0.0.1" if host in _ANY_ADDRESS else host, int(str(note["telemetry_port"])))


def _ask(host: str, port: int) -> str:
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"{host}:{port} does not answer: {error}"
    finally:
        connection.close()
    return "" if answer.status == http.HTTPStatus.OK else text


def main() -> int:
    """Ask once; return the exit status."""
    parser = argparse.ArgumentParser(prog="health", description=__doc__)
    parser.add_argument("component", choices=("agent", "aggregator"))
    arguments = parser.parse_args()
    try:
        found = complaint(load_config(None, os.environ), arguments.component)
    except AgentSightError as error:
        found = str(error)
    if found:
        print(found, file=sys.stderr)  # noqa: T201  # for who runs it
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

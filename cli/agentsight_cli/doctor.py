"""`agentsight doctor`: does this machine have what is needed, and what to do where it does not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from agentsight_core.config import AgentSightConfig

from agentsight_cli import output
from agentsight_cli.checks import Check, environment, kernel, processes

# In the order in which one thing needs the other.
_CHECKS: tuple[Callable[[AgentSightConfig], Iterator[Check]], ...] = (
    kernel.check_kernel,
    kernel.check_privileges,
    kernel.check_libbpf,
    kernel.check_objects,
    kernel.check_load,
    environment.check_packages,
    environment.check_bus_program,
    environment.check_ports,
    environment.check_disk,
    processes.check_processes,
)


def run(config: AgentSightConfig, *, as_json: bool) -> int:
    """Print every check; return 0 if all are ok, 1 otherwise."""
    checks = [item for check in _CHECKS for item in check(config)]
    good = all(item.ok for item in checks)
    if as_json:
        plain = [
            {"name": item.name, "ok": item.ok, "found": item.found, "to_do": item.to_do}
            for item in checks
        ]
        output.print_json({"ok": good, "checks": plain}, sys.stdout)
        return 0 if good else 1
    width = max(len(item.name) for item in checks)
    for item in checks:
        print(f"{'ok' if item.ok else 'NOT OK':<7} {item.name:<{width}}  {item.found}")
        if not item.ok:
            print(f"{'':<7} {'':<{width}}  to do: {item.to_do}")
    return 0 if good else 1

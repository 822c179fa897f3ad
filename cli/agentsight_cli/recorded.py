"""What `agentsight record` does around the recording: its name, its owner, what is shown of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from agentsight_aggregator.fold import build_fold
from agentsight_core.config import AgentSightConfig
from agentsight_core.errors import ConfigError
from agentsight_core.telemetry.links import Link, close_ledger

from agentsight_cli import output as out
from agentsight_cli import summary, tree
from agentsight_cli.recording import Recorded
from agentsight_cli.replay import Replay

# Hand-overs that have to agree when the recording is closed.
LINKS = (Link(("kernel",), ("drain",)),)


def run(
    command: Sequence[str],
    config: AgentSightConfig,
    file: Path | None,
    show: str,
    *,
    proxy: bool = False,
) -> int:
    """Record `command` and show the result ("tree", "json", "nothing"); return its exit status.

    `proxy`: without probes, by a recording proxy; so it is where there is no eBPF.
    """
    if not proxy and sys.platform != "linux":
        proxy = _without_probes(sys.platform)
    path = file or Path(time.strftime("agentsight-%Y%m%d-%H%M%S.rec"))
    # Each of them imports what only it needs: the proxy runs where there is no eBPF.
    if proxy:
        from agentsight_cli.record_proxy import run as watch  # noqa: PLC0415
    else:
        from agentsight_cli.record import run as watch  # noqa: PLC0415
    recorded = watch(command, config, path)
    if show != "nothing":
        _show(path, recorded, show)
    print(f"agentsight: the recording is {path}", file=sys.stderr)
    return recorded.exit_status


def _without_probes(platform: str) -> bool:
    """Say what there is without eBPF and return True: the proxy; raise ConfigError on Windows."""
    if platform == "win32":
        raise ConfigError(
            "record does not run on Windows: `agentsight tracer etw` prints a script that records "
            "with ETW, and `agentsight replay` reads its trace"
        )
    more = "; `agentsight tracer dtrace` prints a script that sees more" * (platform == "darwin")
    print(f"agentsight: no eBPF on {platform}: watching by --proxy{more}", file=sys.stderr)
    return True


def _show(path: Path, recorded: Recorded, show: str) -> None:
    stages = recorded.ledger
    replay = Replay(build_fold())
    findings = list(replay.findings([str(path)]))
    for line in (*replay.warnings, *replay.errors):
        print(line, file=sys.stderr)
    if show == "json":
        found = summary.summarize(
            findings,
            events_captured=replay.events_read,
            stages=stages,
            events_lost=close_ledger([stages], LINKS).lost_count,
        )
        out.print_json({**found, "unseen": recorded.unseen}, sys.stdout)
        return
    sys.stdout.flush()
    out.print_tree(tree.build_tree(findings), sys.stderr)
    out.print_ledger(stages, sys.stderr)
    for line in recorded.unseen:
        print(f"agentsight: not seen: {line}", file=sys.stderr)

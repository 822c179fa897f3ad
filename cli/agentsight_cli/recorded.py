"""What `agentsight record` does around the recording: its name, its owner, what is shown of it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from agentsight_aggregator.fold import build_fold
from agentsight_core.config import AgentSightConfig

from agentsight_cli import output as out
from agentsight_cli import record, summary, tree
from agentsight_cli.replay import Replay


def run(command: Sequence[str], config: AgentSightConfig, file: Path | None, show: str) -> int:
    """Record `command` and show the result ("tree", "json", "nothing"); return its exit status."""
    path = file or Path(time.strftime("agentsight-%Y%m%d-%H%M%S.rec"))
    recorded = record.run(command, config, path)
    _give_to_caller(path)
    if show != "nothing":
        _show(path, recorded.ledger, show)
    print(f"agentsight: the recording is {path}", file=sys.stderr)
    return recorded.exit_status


def _show(path: Path, stages: list[dict[str, object]], show: str) -> None:
    replay = Replay(build_fold())
    findings = list(replay.findings([str(path)]))
    for line in (*replay.warnings, *replay.errors):
        print(line, file=sys.stderr)
    if show == "json":
        found = summary.summarize(findings, events_captured=replay.events_read, stages=stages)
        out.print_json(found, sys.stdout)
        return
    sys.stdout.flush()
    out.print_tree(tree.build_tree(findings), sys.stderr)
    out.print_ledger(stages, sys.stderr)


def _give_to_caller(path: Path) -> None:
    """Let the user who called sudo own the recording."""
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and uid.isdecimal() and gid.isdecimal():
        os.chown(path, int(uid), int(gid))

"""Running processes that have TLS which cannot be read, with the reason. No probe is attached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from agentsight_core.config import AgentSightConfig

from agentsight_cli.checks.check import Check, failed, passed
from agentsight_cli.text import shown

_NAME = "TLS of running programs"
_SHOWN_PIDS = 5


class _NoLink:
    def close(self) -> None:
        """There is nothing to detach."""


class _NoProbes:
    """Takes hooks and sets none: what counts is whether there are any."""

    def attach_tls(self, path: str, hooks: Sequence[object]) -> _NoLink:  # noqa: ARG002  the interface's names
        return _NoLink()


def check_processes(_: AgentSightConfig) -> Iterator[Check]:
    """Look at all processes for TLS code without doors; such code is no failure of the machine."""
    try:
        from agentsight_agent.tls.attachments import Attachments  # noqa: PLC0415  an import that fails is a finding here, no crash
    except ImportError as error:
        yield failed(_NAME, str(error), "run scripts/build_bpf.sh, or `make setup`")
        return
    attachments = Attachments(_NoProbes())
    attachments.start(0, connected=True)
    unread: dict[tuple[str, str], list[int]] = defaultdict(list)
    for process in attachments.unread:
        unread[process.name, process.reason.text].append(process.pid)
    if not unread:
        yield passed(_NAME, "all that was found can be read")
    for (name, reason), pids in sorted(unread.items()):
        first = ", ".join(map(str, sorted(pids)[:_SHOWN_PIDS]))
        more = f" and {len(pids) - _SHOWN_PIDS} more" if len(pids) > _SHOWN_PIDS else ""
        yield passed(_NAME, f"not read: {shown(name)} (process {first}{more}): {reason}")

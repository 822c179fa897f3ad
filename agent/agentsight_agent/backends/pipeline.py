"""The pipeline behind a back end that is not eBPF: nothing there can be switched off.

Must not know which back end it is.
"""

from __future__ import annotations

from typing import Protocol

from agentsight_core.parsers.http1 import HttpSettings
from agentsight_core.telemetry.ledger import Ledger

from agentsight_agent.backends.backend import NoSwitches
from agentsight_agent.connections import Connections, Sessions
from agentsight_agent.frames import FrameWriter
from agentsight_agent.pipeline import Pipeline, ProcessFollower, ProcessListener
from agentsight_agent.redact import Redactor
from agentsight_agent.stdio import StdioStreams


class Follower(ProcessFollower, Sessions, Protocol):
    """Who follows the sessions: one tree, or those of a trace."""


def make_pipeline(
    follower: Follower,
    redactor: Redactor,
    frames: FrameWriter,
    ledger: Ledger,
    http: HttpSettings,
) -> Pipeline:
    """Return the pipeline of the eBPF agent, without its probes."""
    off = NoSwitches()
    return Pipeline(
        follower,
        Connections(follower, redactor, off, ledger, http, promote=False),
        StdioStreams(follower, redactor, off, ledger),
        redactor,
        frames,
        ProcessListener(on_exec=_nothing, on_networked=_nothing, on_exit=_nothing),
        ledger,
    )


def _nothing(*process: object) -> None:
    """Keep no probes where there are none."""
    del process

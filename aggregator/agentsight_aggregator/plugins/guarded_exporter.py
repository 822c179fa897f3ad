"""One exporter plugin within its limits.

A batch that it raises on is cut until the finding is found that it cannot take, which becomes a
dead letter; a hang is tried again. After some failures one after the other it is switched off: its
position stays on the bus, so that nothing is skipped when it is put in again. Must not know the
bus.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from agentsight_core.errors import Permanent, Retryable
from agentsight_core.pb.findings_pb2 import Finding
from agentsight_core.ports import Exporter

from agentsight_aggregator.plugins.guarded_analyzer import Limits

_log = logging.getLogger(__name__)


class GuardedExporter:
    """`ports.Exporter` around one of others; `switch_off` is called once, when it is enough."""

    def __init__(
        self, name: str, exporter: Exporter, limits: Limits, switch_off: Callable[[], None]
    ) -> None:
        self._name = name
        self._exporter = exporter
        self._limits = limits
        self._switch_off = switch_off
        # One after the other.
        self.failures = 0
        self.is_on = True

    async def export(self, batch: Sequence[Finding]) -> None:
        """Write `batch`; raises Retryable or Permanent, never anything else."""
        if not self.is_on:
            raise Retryable(f"the exporter plugin {self._name} is switched off")
        try:
            async with asyncio.timeout(self._limits.seconds):
                await self._exporter.export([_copy(finding) for finding in batch])
        except (Retryable, Permanent):
            raise
        except TimeoutError as error:
            self._fail(f"took longer than {self._limits.seconds} s")
            raise Retryable(f"the exporter plugin {self._name} hangs") from error
        except (Exception, SystemExit) as error:
            text = f"{type(error).__name__}: {error}"
            self._fail(text)
            if not self.is_on:
                raise Retryable(f"the exporter plugin {self._name} is switched off") from error
            raise Permanent(text) from error
        self.failures = 0

    def _fail(self, error: str) -> None:
        self.failures += 1
        _log.warning("exporter plugin %s: %s", self._name, error)
        if self.failures >= self._limits.failures:
            self.is_on = False
            _log.error("exporter plugin %s is switched off; findings wait for it", self._name)
            self._switch_off()


def _copy(finding: Finding) -> Finding:
    copy = Finding()
    copy.CopyFrom(finding)
    return copy

"""How full the spool is, as metrics. Must not change anything in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentsight_core.spool.spool import Spool
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class SpoolCollector(Collector):
    """Shows the spool at the moment of the scrape; `max_bytes` gives its bound."""

    def __init__(self, spool: Spool, max_bytes: Callable[[], int]) -> None:
        self._spool = spool
        self._max_bytes = max_bytes

    def collect(self) -> Iterator[Metric]:
        """Yield what it holds, and how much that may be."""
        yield GaugeMetricFamily(
            "agentsight_spool_bytes",
            "What the segments of the spool hold on the disk.",
            value=self._spool.disk_bytes,
        )
        yield GaugeMetricFamily(
            "agentsight_spool_limit_bytes",
            "What they may hold; then the least valuable frames are given up, and counted.",
            value=self._max_bytes(),
        )

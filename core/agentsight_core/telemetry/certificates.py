"""How long the certificates that a process uses are still valid, as a metric."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentsight_core.config.models import AgentSightConfig
from agentsight_core.runtime.tls import expiry_times


class CertificateCollector(Collector):
    """Reads the files at each scrape: it shows what is there, also after a rotation."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = sorted(set(paths))

    def collect(self) -> Iterator[Metric]:
        """Yield one series a file; none for a file that cannot be read."""
        expires = GaugeMetricFamily(
            "agentsight_certificate_expires_seconds",
            "Seconds until the certificate in a file expires; negative when it has expired.",
            labels=("file",),
        )
        for path, when in expiry_times(self._paths).items():
            expires.add_metric((str(path),), when - time.time())
        yield expires


def certificate_files(config: AgentSightConfig) -> list[Path]:
    """Return the certificate files that `config` names."""
    otlp, etcd, bus = config.exporters.otlp, config.coordination, config.bus.tls
    named = [
        *(bus.ca_file, bus.certificate_file),
        *(etcd.ca_file, etcd.certificate_file),
        *(otlp.ca_file, otlp.certificate_file),
    ]
    return [path for path in named if path is not None]

"""How busy the GPUs of this node are, as metrics. Must not ask the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentsight_agent.gpu.samples import DeviceSample

_LABELS = ("gpu", "gpu_name")


class GpuCollector(Collector):
    """Shows what was seen last of every GPU; nothing while no session uses one."""

    def __init__(self, devices: Callable[[], Sequence[DeviceSample]]) -> None:
        self._devices = devices

    def collect(self) -> Iterator[Metric]:
        """Yield utilisation and memory, by all processes together."""
        busy = GaugeMetricFamily(
            "agentsight_gpu_utilisation_ratio",
            "Share of the time in which a GPU ran kernels, by all processes.",
            labels=_LABELS,
        )
        used = GaugeMetricFamily(
            "agentsight_gpu_memory_used_bytes",
            "Memory of a GPU that is used, by all processes.",
            labels=_LABELS,
        )
        total = GaugeMetricFamily(
            "agentsight_gpu_memory_bytes", "Memory that a GPU has.", labels=_LABELS
        )
        for device in self._devices():
            labels = (device.uuid, device.name)
            if device.utilisation_percent is not None:
                busy.add_metric(labels, device.utilisation_percent / 100)
            used.add_metric(labels, device.memory_bytes)
            total.add_metric(labels, device.total_bytes)
        yield from (busy, used, total)

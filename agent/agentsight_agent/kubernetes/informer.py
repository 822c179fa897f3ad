"""Keeps the table of pods up to date: lists once, then watches, for as long as the agent runs.

A thread of its own, as it waits for the network. Must not know who asks for pods.
"""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentsight_agent.kubernetes.client import ApiSettings, GoneError, PodClient, RefusedError
from agentsight_agent.kubernetes.pods import PodTable

_log = logging.getLogger(__name__)

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0


class PodInformer:
    """A context manager: the table is kept up to date inside of it.

    What is known stays when the API server is away; it is listed anew when the server has forgotten
    what came after (410 Gone). Raises ConfigError if nobody says where the server is.
    """

    def __init__(self, settings: ApiSettings, pods: PodTable) -> None:
        self.pods = pods
        self._client = PodClient(settings)
        self._stop = threading.Event()
        self._listed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pods", daemon=True)
        self._version = ""
        self.lists = 0
        self.watches = 0
        self.failures = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._client.interrupt()
        # It looks at `_stop` after each line; a connection that is being made ends by its timeout.
        self._thread.join(2.0)

    def wait_listed(self, timeout_s: float) -> bool:
        """Wait until the pods have been listed once; say whether they were."""
        return self._listed.wait(timeout_s)

    def _run(self) -> None:
        try:
            self._follow()
        finally:
            self._client.forget()

    def _follow(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                if not self._version:
                    self._list()
                self._watch()
                wait_s = _FIRST_WAIT_S
            except GoneError:
                self._version = ""
            # ValueError: JSON that was cut.
            except (
                OSError,
                http.client.HTTPException,
                RefusedError,
                ValueError,
                KeyError,
            ) as error:
                if self._stop.is_set():
                    return
                self.failures += 1
                _log.warning("the pods of this node cannot be watched: %s", error)
                self._stop.wait(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _list(self) -> None:
        found = self._client.list()
        self.pods.replace(found.pods)
        self._version = found.resource_version
        self.lists += 1
        self._listed.set()

    def _watch(self) -> None:
        self.watches += 1
        for kind, each in self._client.watch(self._version):
            if self._stop.is_set():
                return
            if kind == "DELETED":
                self.pods.remove(each)
            elif kind in {"ADDED", "MODIFIED"}:
                self.pods.put(each)
            # A BOOKMARK has nothing but this.
            self._version = str(each["metadata"]["resourceVersion"])


class PodCollector(Collector):
    """How the informer does, as metrics."""

    def __init__(self, informer: PodInformer) -> None:
        self._informer = informer

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this moment."""
        informer = self._informer
        yield GaugeMetricFamily(
            "agentsight_kubernetes_pods", "Pods of this node that are known.", len(informer.pods)
        )
        yield CounterMetricFamily(
            "agentsight_kubernetes_lists",
            "How often all pods of this node were listed: 1, and after each 410 Gone.",
            informer.lists,
        )
        yield CounterMetricFamily(
            "agentsight_kubernetes_failures", "Requests that failed.", informer.failures
        )

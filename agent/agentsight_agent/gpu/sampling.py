"""Asks NVML in a thread of its own, as a driver that hangs must hold up nobody.

Begins to use NVML when it is first asked, and lets go of it when nobody has asked for a while: a
GPU that is not used may sleep. The clock is the caller's.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from agentsight_core.telemetry.ledger import Stage

from agentsight_agent.gpu.nvml import NoNvmlError, Nvml, NvmlError
from agentsight_agent.gpu.samples import DeviceSample

_log = logging.getLogger(__name__)

_DEADLINE_NS = 5_000_000_000
_IDLE_S = 30.0
_LOOK_AGAIN_NS = 60_000_000_000
# Of the first sample, which has none before it.
_FIRST_US = 2_000_000

Devices = tuple[DeviceSample, ...]


class DeviceReader(Protocol):
    """NVML in use."""

    def read(self, since_us: int) -> Devices:
        """Return how the GPUs are; raises NvmlError."""
        ...

    def close(self) -> None:
        """Let go of them; raises NvmlError."""
        ...


class GpuSampler:
    """Samples of all GPUs, one at a time; `stage` (unit "samples") counts them.

    One that does not come in time is dropped, and no other one is asked for until it has come. On a
    machine without NVML there is nothing to lose: it is looked for again from time to time.
    """

    def __init__(
        self,
        stage: Stage,
        open_reader: Callable[[], DeviceReader] = Nvml.open,
        *,
        deadline_ns: int = _DEADLINE_NS,
        idle_s: float = _IDLE_S,
    ) -> None:
        self._stage = stage
        self._open = open_reader
        self._deadline_ns = deadline_ns
        self._idle_s = idle_s
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Devices | NvmlError] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        # 0 = no answer is awaited.
        self._asked_ns = 0
        self._is_late = False
        self._not_before_ns = 0
        self._complained = ""
        # What was seen last, while GPUs are used.
        self.latest: Sequence[DeviceSample] = ()

    def ask(self, now_ns: int) -> None:
        """Ask for a sample, unless one is still awaited."""
        if self._asked_ns:
            self._look_at_clock(now_ns)
            return
        if now_ns < self._not_before_ns:
            return
        if self._thread is None:
            # One that hangs in the driver must not keep the process alive.
            self._thread = threading.Thread(target=self._work, name="gpu-sampler", daemon=True)
            self._thread.start()
        self._asked_ns = now_ns
        self._asked.put(True)

    def take(self) -> Devices:
        """Return the sample that has come since the last call, () if none has."""
        try:
            answer = self._answers.get_nowait()
        except queue.Empty:
            return ()
        asked_ns, self._asked_ns = self._asked_ns, 0
        if self._is_late:
            self._is_late = False
            _log.warning("NVML answers again")
            return ()
        if isinstance(answer, NvmlError):
            self._refused(answer, asked_ns)
            return ()
        self._stage.received += 1
        self._stage.emitted += 1
        self.latest = answer
        return answer

    def rest(self) -> None:
        """Nobody uses a GPU: what was seen last is no longer so."""
        self.latest = ()

    def close(self) -> None:
        """End the thread; one that hangs is left behind."""
        self._asked.put(False)

    def _look_at_clock(self, now_ns: int) -> None:
        if now_ns - self._asked_ns > self._deadline_ns and not self._is_late:
            self._is_late = True
            self._lose("no answer", "NVML does not answer; it is waited for")

    def _refused(self, error: NvmlError, asked_ns: int) -> None:
        if not isinstance(error, NoNvmlError):
            self._lose("refused", str(error))
            return
        self.latest = ()
        self._not_before_ns = asked_ns + _LOOK_AGAIN_NS
        self._complain(str(error))

    def _lose(self, reason: str, text: str) -> None:
        self._stage.received += 1
        self._stage.drop(reason)
        self.latest = ()
        self._complain(text)

    def _complain(self, text: str) -> None:
        if text != self._complained:
            self._complained = text
            _log.warning("use of GPUs is not seen: %s", text)

    # ---- in the thread ----

    def _work(self) -> None:
        reader: DeviceReader | None = None
        since_us = 0
        while True:
            try:
                if not self._asked.get(timeout=self._idle_s if reader else None):
                    break
            except queue.Empty:
                _let_go(reader)
                reader, since_us = None, 0
                continue
            now_us = time.time_ns() // 1000
            try:
                reader = reader or self._open()
                since_us = since_us or now_us - _FIRST_US
                self._answers.put(reader.read(since_us))
                since_us = now_us
            except NvmlError as error:
                _let_go(reader)
                reader, since_us = None, 0
                self._answers.put(error)
        _let_go(reader)


def _let_go(reader: DeviceReader | None) -> None:
    try:
        if reader is not None:
            reader.close()
    except NvmlError as error:
        _log.warning("NVML does not let go of the GPUs: %s", error)

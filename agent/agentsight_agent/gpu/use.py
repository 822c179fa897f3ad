"""How much of the GPUs the processes of sessions use: asked for while one of them has CUDA.

Must not wait for an answer: it comes with a later call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.gpu.samples import DeviceSample, SampleEvents
from agentsight_agent.gpu.sampling import GpuSampler

_INTERVAL_NS = 2_000_000_000


class GpuUse:
    """Asks `sampler` about the GPUs, and makes events of what it says."""

    def __init__(self, sampler: GpuSampler, session_of: Callable[[int], int]) -> None:
        self._sampler = sampler
        self._session_of = session_of
        self._events = SampleEvents()
        self._next_ns = 0

    @property
    def devices(self) -> Sequence[DeviceSample]:
        """The GPUs as they were seen last; () while no session uses them."""
        return self._sampler.latest

    def due(self, users: frozenset[int], now_ns: int, wall_offset_ns: int) -> Iterator[pb.Event]:
        """Yield what has been seen since the last call; ask again if one of `users` is watched."""
        if devices := self._sampler.take():
            yield from self._events.of(devices, self._session_of, now_ns, wall_offset_ns)
        if not any(self._session_of(pid) for pid in users):
            self._sampler.rest()
        elif now_ns >= self._next_ns:
            self._next_ns = now_ns + _INTERVAL_NS
            self._sampler.ask(now_ns)

    def close(self) -> None:
        """Let go of the GPUs."""
        self._sampler.close()

"""Which server of the bus to talk to: one that is cut off from the others still answers, or hangs.

A server that is the leader of a stream and cannot reach its peers takes messages and acknowledges
none; it answers repetitions with error 10158, for ever. Its clients do not notice by themselves.

Must not do the asking.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from time import monotonic

from nats.aio.client import Server
from nats.js.errors import APIError

from agentsight_core.bus.failures import StuckServer
from agentsight_core.errors import Permanent, Retryable

_log = logging.getLogger(__name__)

# So long may nothing be answered. A new leader is elected within that time, and until then no other
# server answers either: to run from one to the next would only lead to the one that is cut off.
_PATIENCE_SECONDS = 5.0
# Between two changes; error 10158 leaves less room for doubt.
_PAUSE_SECONDS = 3.0
_STUCK_PAUSE_SECONDS = 1.0
_UNAVAILABLE = (None, 503)


class ServerOrder:
    """Takes the servers in turn: the least often tried one first, the present one last."""

    def __init__(self, wait_seconds: float) -> None:
        self._wait_seconds = wait_seconds
        self._tries: Counter[str] = Counter()
        self._present = ""

    def arrived(self, server: str) -> None:
        """Note that the connection goes to `server` (host:port)."""
        self._present = server
        self._tries.clear()

    def __call__(
        self, servers: Sequence[Server], info: Mapping[str, object]
    ) -> tuple[Server, float]:
        """Return the server to try next, and how many seconds to wait before."""
        del info
        chosen = min(servers, key=self._rank)
        self._tries[chosen.uri.netloc] += 1
        is_first = self._tries.total() < len(servers)
        return chosen, 0.0 if is_first else self._wait_seconds * random.uniform(0.5, 1.5)  # noqa: S311

    def _rank(self, server: Server) -> tuple[int, bool, float]:
        name = server.uri.netloc
        return self._tries[name], name == self._present, random.random()  # noqa: S311  # spreads clients, hides nothing


class Suspicion:
    """Leaves a server that does not answer for the cluster; `leave` changes the connection."""

    def __init__(self, leave: Callable[[], Awaitable[None]]) -> None:
        self._leave = leave
        self._leaving: asyncio.Task[None] | None = None
        self._answered_at = monotonic()
        self._left_at = -_PAUSE_SECONDS
        # How often a server was left.
        self.changes = 0

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Watch one request: whether it is answered, and how long that takes."""
        loop = asyncio.get_running_loop()
        asked_at = monotonic()
        timer = loop.call_later(_PATIENCE_SECONDS, self._overdue, asked_at)
        try:
            yield
        except Permanent:
            self._answered_at = monotonic()
            raise
        except Retryable as error:
            self._judge(error)
            raise
        else:
            self._answered_at = monotonic()
        finally:
            timer.cancel()

    def _overdue(self, asked_at: float) -> None:
        if self._answered_at < asked_at:
            self._change("requests are not answered", _PAUSE_SECONDS)

    def _judge(self, error: Retryable) -> None:
        cause = error.__cause__
        if isinstance(error, StuckServer):
            self._change(str(error), _STUCK_PAUSE_SECONDS)
        elif isinstance(cause, APIError) and cause.code not in _UNAVAILABLE:
            self._answered_at = monotonic()
        elif monotonic() - self._answered_at > _PATIENCE_SECONDS:
            self._change(str(error), _PAUSE_SECONDS)

    def _change(self, why: str, pause_seconds: float) -> None:
        if monotonic() - self._left_at < pause_seconds:
            return
        self._left_at = monotonic()
        self.changes += 1
        _log.warning("leaving a server of the bus: %s", why)
        self._leaving = asyncio.ensure_future(self._leave())

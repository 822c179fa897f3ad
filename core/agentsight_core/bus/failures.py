"""What can go wrong on the bus, in our terms: the client library's errors end here.

Must not decide what to do about them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator

import nats.errors
from nats.js.errors import APIError, NotFoundError

from agentsight_core.errors import Permanent, Retryable

# Numbers of JetStream errors (server/errors.json of nats-server).
_WRONG_LAST_SEQUENCE = (10071, 10164)
_MESSAGE_TOO_LARGE = 10054
DUPLICATE_IN_PROCESS = 10158


class SequenceConflict(Permanent):
    """Somebody else has written since: the stream's last sequence is not the expected one."""


class TooLarge(Permanent):
    """The server takes no message of this size."""


class NotFound(Permanent):
    """The stream, consumer or message does not exist."""


class StuckServer(Retryable):
    """The server cannot answer for the stream; another one perhaps can (error 10158)."""


class NotAllowed(Retryable):
    """The server does not let this credential do it; that can be put right without a restart."""


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise what the client library raises as an error of ours, chained.

    The library waits with asyncio.wait_for, which in Python 3.11 forgets a cancellation that comes
    together with the result (https://github.com/python/cpython/issues/86296): it is raised here.
    """
    task = asyncio.current_task()
    cancelling = task.cancelling() if task else 0
    try:
        yield
    except nats.errors.MaxPayloadError as error:
        raise TooLarge(f"{doing}: the message is too large for the server") from error
    except NotFoundError as error:
        raise NotFound(f"{doing}: {error}") from error
    except APIError as error:
        raise _of_api(doing, error) from error
    except (nats.errors.Error, OSError, TimeoutError, json.JSONDecodeError) as error:
        raise Retryable(f"{doing}: {type(error).__name__} {error}") from error
    finally:
        if task and task.cancelling() > cancelling:
            raise asyncio.CancelledError


def _of_api(doing: str, error: APIError) -> Exception:
    text = f"{doing}: {error.description} (error {error.err_code})"
    if error.err_code in _WRONG_LAST_SEQUENCE:
        return SequenceConflict(text)
    if error.err_code == _MESSAGE_TOO_LARGE:
        return TooLarge(text)
    if error.err_code == DUPLICATE_IN_PROCESS:
        return StuckServer(text)
    # Full, no leader, too many requests…: everything passes but what is known not to.
    return Retryable(text)

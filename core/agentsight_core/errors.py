"""The exception tree.

    AgentSightError
    ├── ConfigError    a user's input is wrong: exit at start, say the place and what is allowed
    ├── Retryable      the outside world is not ready: back off and try again
    └── Permanent      this item can never succeed: count it, dead-letter it, go on
        ├── MalformedFrame
        └── CannotOpen
            └── UnknownKey

Anything else that is raised is a bug: the process ends with a non-zero status and its orchestrator
starts it again. Malformed input of a watched program is data, not an exception.
"""

from __future__ import annotations


class AgentSightError(Exception):
    """Base of every error that this project raises on purpose."""


class ConfigError(AgentSightError):
    """A user's input is wrong; the message says what, where, and what is allowed."""


class Retryable(AgentSightError):  # noqa: N818 - says what to do, not that it is an error
    """The operation may succeed later without a change.

    `retry_after_s` is how long the other side asked to wait, None when it did not say.
    """

    def __init__(self, *args: object, retry_after_s: float | None = None) -> None:
        super().__init__(*args)
        self.retry_after_s = retry_after_s


class Permanent(AgentSightError):  # noqa: N818 - says what to do, not that it is an error
    """The operation cannot succeed for this item, however often it is tried."""


class MalformedFrame(Permanent):
    """Bytes that should be a frame are not one."""


class CannotOpen(Permanent):
    """Sealed content whose key is not here, or that was changed on its way."""


class UnknownKey(CannotOpen):
    """Sealed content that somebody with its key could open."""

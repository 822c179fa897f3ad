"""What a connection to the bus says about itself, once each: in the log, and to those who ask why.

Must not act on it.
"""

from __future__ import annotations

import logging
import re

_log = logging.getLogger(__name__)

_REFUSED = re.compile(
    r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE
)
# How a refusal in the middle of a handshake arrives.
_CLOSED = ("ConnectionReset", "ConnectionAborted", "BrokenPipe", "Error nats: empty response")
# Beyond, the log has the others.
_KEPT_REFUSALS = 10_000


class Reports:
    """The last error, and what the server has refused."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._refused: set[str] = set()
        self.last = ""
        # The last error in which the server said something, before it closed the connection.
        self._said = ""

    @property
    def reason(self) -> str:
        """The last error, with what is behind it when it does not say that itself."""
        if self.last.startswith(_CLOSED):
            return self._said or (
                f"{self.last.strip()} (the server closes the connection: it may not accept the "
                "certificate or the credential, or not begin with TLS; its log says which)"
            )
        return self.last

    def was_refused(self, subject: str) -> bool:
        """Whether the server has ever refused a message to `subject` since it was connected."""
        # The server's text, from which this is known, comes in small letters.
        return subject.lower() in self._refused

    async def error(self, error: Exception) -> None:
        """Take an error that no caller gets."""
        refusal = _REFUSED.search(str(error))
        if refusal is not None:
            self._refuse(refusal[1].lower(), refusal[2].lower())
            return
        text = f"{type(error).__name__} {error}"
        if not text.startswith(_CLOSED):
            self._said = text
        if text != self.last:
            self.last = text
            _log.warning("bus connection %s: %s", self._name, text)

    def _refuse(self, what: str, subject: str) -> None:
        if subject in self._refused:
            return
        if len(self._refused) < _KEPT_REFUSALS:
            self._refused.add(subject)
        _log.error(
            "bus connection %s: the server refuses this credential (bus.nkey_file) the %s to %s",
            self._name,
            what,
            subject,
        )

    async def disconnected(self) -> None:
        """Take that the connection is gone."""
        _log.info("bus connection %s: disconnected", self._name)

    async def reconnected(self) -> None:
        """Take that it is there again; the server may have other rights for us now."""
        self.last = self._said = ""
        self._refused.clear()
        _log.info("bus connection %s: connected again", self._name)

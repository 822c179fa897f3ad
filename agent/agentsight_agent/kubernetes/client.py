"""Asks the API server for the pods of one node: lists and watches.

Must not keep pods or decide when to ask again.
Source: kubernetes.io/docs/reference/using-api/api-concepts (watch, bookmarks, 410 Gone, limit).
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from agentsight_core.errors import ConfigError

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PAGE = 500
# The server ends a watch after so long; it is then begun again where it ended.
_WATCH_S = 300
# Longer than the server needs between two bookmarks (a minute).
_SILENCE_S = 120.0
_MAX_LINE_BYTES = 16 << 20


class GoneError(Exception):
    """The server no longer has the changes since a resource version: list again."""


class RefusedError(Exception):
    """The server answered with a status that is no success."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Where the API server is and who asks it. Empty: as a pod is told by Kubernetes."""

    node_name: str
    url: str = ""
    token_file: Path = _ACCOUNT / "token"
    ca_file: Path = _ACCOUNT / "ca.crt"
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class PodList:
    """All pods of the node at one moment."""

    pods: list[Mapping[str, Any]]
    resource_version: str


class PodClient:
    """One request at a time. Raises OSError, HTTPException, GoneError, RefusedError."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._url = urlsplit(settings.url or _url_in_pod())
        self._open: http.client.HTTPConnection | None = None
        self._answer: http.client.HTTPResponse | None = None
        self._interrupted = False

    def list(self) -> PodList:
        """Return all pods of the node, page by page."""
        pods: list[Mapping[str, Any]] = []
        following = ""
        while True:
            parameters = {"limit": str(_PAGE)}
            if following:
                parameters["continue"] = following
            answer = json.loads(self._ask(parameters, self._settings.timeout_s).read())
            pods += answer.get("items") or []
            following = answer["metadata"].get("continue", "")
            if not following:
                return PodList(pods, str(answer["metadata"]["resourceVersion"]))

    def watch(self, resource_version: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield (type, object) of each change since `resource_version` until the server ends it."""
        parameters = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(_WATCH_S),
        }
        answer = self._ask(parameters, _SILENCE_S)
        while line := answer.readline(_MAX_LINE_BYTES):
            change = json.loads(line)
            if change["type"] == "ERROR":
                status = change["object"]
                raise _failure(int(status.get("code", 0)), str(status.get("message", "")))
            yield change["type"], change["object"]

    def forget(self) -> None:
        """Let go of the connection of the last request."""
        for each in (self._answer, self._open):
            if each is not None:
                each.close()
        self._answer = self._open = None

    def interrupt(self) -> None:
        """End the request that runs, and any that comes; may be called from another thread."""
        self._interrupted = True
        connection = self._open
        if connection is not None and connection.sock is not None:
            try:
                connection.sock.shutdown(2)
            except OSError:
                return  # it has ended by itself

    def _ask(self, parameters: dict[str, str], timeout_s: float) -> http.client.HTTPResponse:
        # A connection, a token and an authority for each request: tokens are replaced every hour.
        self.forget()
        self._open = connection = self._connection(timeout_s)
        parameters = {"fieldSelector": f"spec.nodeName={self._settings.node_name}", **parameters}
        headers = {"Accept": "application/json"}
        if self._settings.token_file.exists():
            token = self._settings.token_file.read_text().strip()
            headers["Authorization"] = f"Bearer {token}"
        connection.request(
            "GET", f"{self._url.path}/api/v1/pods?{urlencode(parameters)}", headers=headers
        )
        if self._interrupted:
            # There was no connection yet that `interrupt` could have ended.
            raise ConnectionAbortedError("interrupted")
        self._answer = answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise _failure(answer.status, answer.read(1000).decode(errors="replace"))
        return answer

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=timeout_s)
        context = ssl.create_default_context(cafile=str(self._settings.ca_file))
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)


def _failure(status: int, message: str) -> Exception:
    if status == http.client.GONE:
        return GoneError(message)
    return RefusedError(f"HTTP status {status}: {message[:200]}")


def _url_in_pod() -> str:
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    if not host:
        raise ConfigError(
            "kubernetes.api_url: is empty, and this is no pod (no KUBERNETES_SERVICE_HOST)"
        )
    host = f"[{host}]" if ":" in host else host
    return f"https://{host}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"

"""An API server of Kubernetes as far as pods are listed and watched; over HTTP, in memory.

Follows kubernetes.io/docs/reference/using-api/api-concepts: resource versions, pages, bookmarks,
410 Gone in the answer and inside a watch, bearer tokens. Must not be used outside of tests.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

Pod = dict[str, Any]


class KubernetesApi:
    """A context manager; what is done to it happens at once, from any thread."""

    def __init__(self, token: str, *, page: int = 2) -> None:
        self.token = token
        self.requests: list[dict[str, str]] = []
        self.refused = 0
        # Watches that run.
        self.watching = 0
        # What follows is for the answers; take `changed` before it is touched.
        self.page = page
        self.changed = threading.Condition()
        self.version = 10
        self.pods: dict[str, Pod] = {}
        # (resource version, type, object), and from which version on they are kept.
        self.history: list[tuple[int, str, Pod]] = []
        self.kept_from = 10
        self.generation = 0
        self._server = _Server(("127.0.0.1", 0), _Answerer)
        self._server.api = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.drop_watches()
        self._server.shutdown()
        self._server.server_close()

    def put(self, uid: str, name: str, node: str, **rest: Any) -> None:
        """Add or change a pod; `rest`: namespace, labels, annotations, containers."""
        with self.changed:
            known = uid in self.pods
            pod = _pod(uid, name, node, rest)
            self.pods[uid] = pod
            self._note("MODIFIED" if known else "ADDED", pod)

    def delete(self, uid: str) -> None:
        """Delete a pod."""
        with self.changed:
            self._note("DELETED", self.pods.pop(uid))

    def bookmark(self) -> None:
        """Tell all watchers the newest version; something not of this node may have changed."""
        with self.changed:
            self._note("BOOKMARK", {"metadata": {}})

    def compact(self) -> None:
        """Forget all changes so far, as etcd does after five minutes."""
        with self.changed:
            self.version += 1
            self.kept_from = self.version
            self.history.clear()

    def drop_watches(self) -> None:
        """End all watches that run, as the server does from time to time."""
        with self.changed:
            self.generation += 1
            self.changed.notify_all()

    def _note(self, kind: str, each: Pod) -> None:
        self.version += 1
        version = {"resourceVersion": str(self.version)}
        each = {**each, "metadata": {**each["metadata"], **version}}
        self.history.append((self.version, kind, each))
        self.changed.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: KubernetesApi


class _Answerer(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.server.api.requests.append(asked)
        if self.headers["Authorization"] != f"Bearer {self.server.api.token}":
            self.server.api.refused += 1
            return self._status(401, "Unauthorized")
        if url.path != "/api/v1/pods":
            return self._status(404, "no such resource")
        node = asked["fieldSelector"].removeprefix("spec.nodeName=")
        return self._watch(node, asked) if "watch" in asked else self._list(node, asked)

    def _list(self, node: str, asked: dict[str, str]) -> None:
        with self.server.api.changed:
            pods = [pod for pod in self.server.api.pods.values() if pod["spec"]["nodeName"] == node]
            first = int(asked.get("continue") or 0)
            following = first + self.server.api.page
            metadata = {"resourceVersion": str(self.server.api.version)}
            if following < len(pods):
                metadata["continue"] = str(following)
            items = pods[first:following]
        self._json(200, {"kind": "PodList", "metadata": metadata, "items": items})

    def _watch(self, node: str, asked: dict[str, str]) -> None:
        version = int(asked["resourceVersion"])
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with self.server.api.changed:
            generation = self.server.api.generation
            self.server.api.watching += 1
        while True:
            with self.server.api.changed:
                gone = version < self.server.api.kept_from
                new = [change for change in self.server.api.history if change[0] > version]
                if not new and not gone and generation == self.server.api.generation:
                    self.server.api.changed.wait(10)
                ended = generation != self.server.api.generation
            if gone:
                status = {"kind": "Status", "code": 410, "message": "too old"}
                self._line({"type": "ERROR", "object": status})
            for number, kind, each in new:
                version = number
                if kind == "BOOKMARK" or each["spec"]["nodeName"] == node:
                    self._line({"type": kind, "object": each})
            if ended or gone:
                with self.server.api.changed:
                    self.server.api.watching -= 1
                self._chunk(b"")
                return

    def _line(self, value: object) -> None:
        self._chunk(json.dumps(value).encode() + b"\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _status(self, code: int, message: str) -> None:
        self._json(code, {"kind": "Status", "code": code, "message": message})

    def _json(self, code: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name
        """Say nothing."""


def _pod(uid: str, name: str, node: str, rest: dict[str, Any]) -> Pod:
    statuses = [
        {"containerID": f"containerd://{ident}", "name": called, "image": image}
        for ident, called, image in rest.get("containers", ())
    ]
    return {
        "metadata": {
            "uid": uid,
            "name": name,
            "namespace": rest.get("namespace", "default"),
            "labels": rest.get("labels", {}),
            "annotations": rest.get("annotations", {}),
        },
        "spec": {"nodeName": node},
        "status": {"containerStatuses": statuses},
    }

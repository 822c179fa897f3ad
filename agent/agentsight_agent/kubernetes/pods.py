"""The table of this node's pods: API objects in, pods by uid and by container out.

Pure: must not talk to the API server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agentsight_agent.enrich.container_state import Pod

# Kubelet names the cgroup of a static pod by this, not by the uid of what the API server shows.
_STATIC_HASHES = ("kubernetes.io/config.hash", "kubernetes.io/config.mirror")
_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


class PodTable:
    """Pods with those of their labels that are in `labels`. May be asked from any thread."""

    def __init__(self, labels: Iterable[str] = ()) -> None:
        self._labels = frozenset(labels)
        self._pods: dict[str, Pod] = {}
        # Static hashes and container ids to the uid.
        self._aliases: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._pods)

    def find(self, uid: str, container_id: str) -> Pod | None:
        """Return the pod that has this uid (or is static and has this hash), or this container."""
        for name in (uid, self._aliases.get(uid), self._aliases.get(container_id)):
            pod = self._pods.get(name) if name else None
            if pod is not None:
                return pod
        return None

    def replace(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Take over a whole list in place of all that was known."""
        pods: dict[str, Pod] = {}
        aliases: dict[str, str] = {}
        for each in objects:
            _put(pods, aliases, each, self._labels)
        self._pods, self._aliases = pods, aliases

    def put(self, each: Mapping[str, Any]) -> None:
        """Take over a pod that was added or has changed."""
        _put(self._pods, self._aliases, each, self._labels)

    def remove(self, each: Mapping[str, Any]) -> None:
        """Forget a pod that was deleted."""
        uid = str(each.get("metadata", {}).get("uid", ""))
        self._pods.pop(uid, None)
        for alias in [alias for alias, known in self._aliases.items() if known == uid]:
            del self._aliases[alias]


def _put(
    pods: dict[str, Pod], aliases: dict[str, str], each: Mapping[str, Any], wanted: frozenset[str]
) -> None:
    metadata = each.get("metadata") or {}
    uid = str(metadata.get("uid", ""))
    if not uid:
        return
    images, names = [], []
    for status in _container_statuses(each):
        container = str(status.get("containerID") or "").rpartition("//")[2]
        if container:
            images.append((container, str(status.get("image", ""))))
            names.append((container, str(status.get("name", ""))))
            aliases[container] = uid
    for key in _STATIC_HASHES:
        if hashed := (metadata.get("annotations") or {}).get(key):
            aliases[str(hashed)] = uid
    labels = metadata.get("labels") or {}
    pods[uid] = Pod(
        uid=uid,
        name=str(metadata.get("name", "")),
        namespace=str(metadata.get("namespace", "")),
        labels=tuple(sorted((key, str(labels[key])) for key in wanted & labels.keys())),
        images=tuple(images),
        names=tuple(names),
    )


def _container_statuses(each: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    status = each.get("status") or {}
    return (one for kind in _STATUSES for one in status.get(kind) or ())

"""Who a container is: runtime, name, image, pod; from cgroup paths and the runtime's files.

No socket of a runtime is opened. What cannot be read stays empty. Must not decide anything.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agentsight_agent.enrich import procfs
from agentsight_agent.enrich.containers import pod_uid, runtime

# The second is the host's, as an agent sees it that runs in a container with the host's processes.
DOCKER_FOLDERS = ("/var/lib/docker/containers", "/proc/1/root/var/lib/docker/containers")
_MAX_KNOWN = 1024


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of this node, with those of its labels that may be shown."""

    uid: str
    name: str
    namespace: str
    labels: tuple[tuple[str, str], ...] = ()
    # Image by container id, and container name by container id.
    images: tuple[tuple[str, str], ...] = ()
    names: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Container:
    """What is known of a container; all empty outside of one."""

    id: str = ""
    # docker, containerd, cri-o, podman
    runtime: str = ""
    name: str = ""
    image: str = ""
    pod_uid: str = ""
    pod: str = ""
    namespace: str = ""
    labels: tuple[tuple[str, str], ...] = ()


NONE = Container()
# From (uid of the pod or "", container id) to the pod; None if it is not known.
PodLookup = Callable[[str, str], Pod | None]


class Containers:
    """The containers of processes. What a runtime says is read once, what a pod is each time."""

    def __init__(
        self,
        pods: PodLookup | None = None,
        *,
        docker_folders: tuple[str, ...] = DOCKER_FOLDERS,
        proc: str = procfs.PROC,
    ) -> None:
        self._pods = pods
        self._docker_folders = docker_folders
        self._proc = proc
        self._known: OrderedDict[str, Container] = OrderedDict()

    def of(self, pid: int, container_id: str) -> Container:
        """Return the container of process `pid`, which is in `container_id` ("": in none)."""
        if not container_id:
            return NONE
        known = self._known.get(container_id) or self._read(pid, container_id)
        pod = self._pods(known.pod_uid, container_id) if self._pods else None
        if pod is None:
            return known
        return replace(
            known,
            pod=pod.name,
            pod_uid=pod.uid,
            namespace=pod.namespace,
            labels=pod.labels,
            image=known.image or dict(pod.images).get(container_id, ""),
            name=known.name or dict(pod.names).get(container_id, ""),
        )

    def _read(self, pid: int, container_id: str) -> Container:
        cgroup = procfs.read_cgroup(pid, self._proc)
        name, image = self._docker(container_id)
        kind = runtime(cgroup) or ("docker" if image else "")
        found = Container(container_id, kind, name, image, pod_uid(cgroup))
        if cgroup:  # of a process that is gone nothing is remembered
            self._known[container_id] = found
            while len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        return found

    def _docker(self, container_id: str) -> tuple[str, str]:
        """Return name and image as Docker keeps them; empty if it is not Docker's."""
        for folder in self._docker_folders:
            try:
                state = json.loads(Path(folder, container_id, "config.v2.json").read_bytes())
                return str(state["Name"]).removeprefix("/"), str(state["Config"]["Image"])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # not there, not ours to read, or being written
        return "", ""

"""Reads container id, runtime and pod out of a process's cgroup path.

Pure functions over text: must not read files.
"""

from __future__ import annotations

import re

# Docker, containerd, CRI-O, podman and nerdctl: 64 hexadecimal digits as a whole path segment,
# or at the end of one behind "docker-", "cri-containerd-", "crio-", "libpod-", ":cri-containerd:".
_SEGMENT = re.compile(r"^(?:.*[-:])?([0-9a-f]{64})(?:\.scope)?$")
# AWS Fargate: /ecs/<task>/<task>-<number>.
_FARGATE = re.compile(r"^([0-9a-f]{32}-[0-9]+)$")
# How runtimes name the last segment with the systemd driver; nothing tells with the other driver,
# except for Docker's own folder.
_RUNTIMES = (
    (re.compile(r"/docker[-/][0-9a-f]{64}"), "docker"),
    (re.compile(r"[/:]cri-containerd[-:][0-9a-f]{64}"), "containerd"),
    (re.compile(r"/nerdctl-[0-9a-f]{64}"), "containerd"),
    (re.compile(r"/crio-[0-9a-f]{64}"), "cri-o"),
    (re.compile(r"/libpod-[0-9a-f]{64}"), "podman"),
)
# kubepods/burstable/pod<uid>, or kubepods-burstable-pod<uid with _ for ->.slice
_POD = re.compile(r"[/-]pod([0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12})(?=[./:]|$)")


def container_id(cgroup: str) -> str:
    """Return the container id in the text of /proc/PID/cgroup; empty outside of a container.

    Works for cgroup v1 and v2 (cgroups(7)). Of nested containers it is the innermost one.
    """
    for line in cgroup.splitlines():
        path = line.split(":", 2)[-1]
        for segment in reversed(path.split("/")):
            # "crio-conmon-ID.scope", "libpod-conmon-ID.scope": the monitor, outside the container.
            if "conmon-" in segment:
                return ""
            match = _SEGMENT.match(segment) or _FARGATE.match(segment)
            if match:
                return match[1]
    return ""


def runtime(cgroup: str) -> str:
    """Return "docker", "containerd", "cri-o" or "podman" if the cgroup path tells, else "".

    Of nested containers it is the innermost one's.
    """
    found = [
        (match.start(), name)
        for line in cgroup.splitlines()
        for pattern, name in _RUNTIMES
        for match in pattern.finditer(line)
    ]
    return max(found)[1] if found else ""


def pod_uid(cgroup: str) -> str:
    """Return the uid of the Kubernetes pod, as the API server writes it; empty outside of pods.

    Of a static pod it is the hash of its configuration, 32 hexadecimal digits without hyphens.
    """
    matches = [match[1] for line in cgroup.splitlines() for match in _POD.finditer(line)]
    return matches[-1].replace("_", "-") if matches else ""

"""Reads the container id out of a process's cgroup path.

Pure functions over text: must not read files.
"""

from __future__ import annotations

import re

# Docker, containerd, CRI-O, podman and nerdctl: 64 hexadecimal digits as a whole path segment,
# or at the end of one behind "docker-", "cri-containerd-", "crio-", "libpod-", ":cri-containerd:".
_SEGMENT = re.compile(r"^(?:.*[-:])?([0-9a-f]{64})(?:\.scope)?$")
# AWS Fargate: /ecs/<task>/<task>-<number>.
_FARGATE = re.compile(r"^([0-9a-f]{32}-[0-9]+)$")


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

"""Where the files of a container lie on the host.

Pure: the agent has read what is mounted where.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentsight_core.pb import events_pb2 as events

# (path in the container, path on the host or ""), the longest first.
Places = Sequence[tuple[str, str]]


def take_places(mounts: events.ContainerMounts) -> tuple[tuple[str, str], ...]:
    """Return what is mounted in a container, ready for `on_host`."""
    places = [(place.path, place.host_path) for place in mounts.places]
    return tuple(sorted(places, key=lambda place: (-len(place[0]), place[0])))


def on_host(path: str, places: Places) -> str:
    """Return `path` of a container as the host sees it; "" if it does not, or it is not known."""
    for folder, host_folder in places:
        stem = folder.rstrip("/")
        if path == folder or path.startswith(stem + "/"):
            return (host_folder.rstrip("/") + path[len(stem) :]) if host_folder else ""
    return ""

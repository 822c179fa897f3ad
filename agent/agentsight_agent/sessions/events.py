"""Builds the events that sessions themselves give rise to.

Pure: must not read anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.enrich.boot import Node
from agentsight_agent.enrich.container_state import NONE, Container
from agentsight_agent.enrich.mounts import Place
from agentsight_agent.enrich.procfs import Process
from agentsight_agent.process_events import process_event
from agentsight_agent.sessions.session import Session


class SessionEvents:
    """Events of one node; `wall_offset_ns` is what Unix time is ahead of boot time."""

    def __init__(self, node: Node, wall_offset_ns: int) -> None:
        self.wall_offset_ns = wall_offset_ns
        self._node = node

    def started(
        self,
        session: Session,
        root: Process,
        boot_ns: int,
        origin: pb.SessionOrigin,
        rule: str,
        container: Container = NONE,
    ) -> pb.Event:
        """Return the first event of a session."""
        event = self._event(boot_ns, session.id, root.pid)
        event.session_started.CopyFrom(
            pb.SessionStarted(
                root_pid=root.pid,
                root_start_boot_ns=root.start_boot_ns,
                origin=origin,
                rule=rule,
                agent_name=session.agent_name,
                argv=root.argv,
                cwd=root.cwd,
                exe=root.exe,
                uid=root.uid,
                container_id=root.container_id,
                node=self._node.name,
                cluster=self._node.cluster,
                container=_container(container),
            )
        )
        return event

    def ended(self, session: Session, boot_ns: int, *, watcher_stopped: bool = False) -> pb.Event:
        """Return the last event of a session; the status is the one of its root process."""
        event = self._event(boot_ns, session.id, session.root_pid)
        event.session_ended.exit_code = session.exit_code
        event.session_ended.exit_signal = session.exit_signal
        event.session_ended.watcher_stopped = watcher_stopped
        return event

    def already_running(self, process: Process, boot_ns: int) -> pb.Event:
        """Return the event that introduces a process which ran before it was watched."""
        event = self._event(boot_ns, process.session, process.pid)
        event.process_executed.CopyFrom(
            pb.ProcessExecuted(
                parent_pid=process.ppid,
                start_boot_ns=process.start_boot_ns,
                argv=process.argv,
                exe=process.exe,
                cwd=process.cwd,
                uid=process.uid,
                comm=process.comm,
                container_id=process.container_id,
                already_running=True,
            )
        )
        return event

    def mounts(self, process: Process, places: Iterable[Place], boot_ns: int) -> pb.Event:
        """Return the event that says where the files of a process's container are."""
        event = self._event(boot_ns, process.session, process.pid)
        event.container_mounts.container_id = process.container_id
        event.container_mounts.places.extend(
            pb.MountPlace(path=place.path, host_path=place.host_path) for place in places
        )
        return event

    def _event(self, boot_ns: int, session: int, pid: int) -> pb.Event:
        return process_event(boot_ns, self.wall_offset_ns, session, pid)


def _container(container: Container) -> pb.Container | None:
    if not container.id:
        return None
    return pb.Container(
        id=container.id,
        runtime=container.runtime,
        name=container.name,
        image=container.image,
        pod=container.pod,
        pod_uid=container.pod_uid,
        namespace=container.namespace,
        labels=[pb.Label(key=key, value=value) for key, value in sorted(container.labels)],
    )

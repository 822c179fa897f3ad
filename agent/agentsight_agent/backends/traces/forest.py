"""The sessions of a trace: a tree of processes for each that begins one.

Pure: must not ask the system about processes.
"""

from __future__ import annotations

from collections.abc import Callable

from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.backends.tree import ProcessTree
from agentsight_agent.bpf.records import ProcessRecord
from agentsight_agent.enrich.boot import Node
from agentsight_agent.sessions.rules import SessionRule


class Forest:
    """Follows all sessions of a trace; `is_root` tells of an execution whether it begins one."""

    def __init__(self, node: Node, rule: SessionRule, is_root: Callable[[pb.Event], bool]) -> None:
        self._node = node
        self._rule = rule
        self._is_root = is_root
        self._offset_ns = 0
        self._tree_of: dict[int, ProcessTree] = {}
        self.sessions = 0

    def set_wall_offset(self, wall_offset_ns: int) -> None:
        """Take what Unix time is ahead of the trace's clock."""
        self._offset_ns = wall_offset_ns
        for tree in set(self._tree_of.values()):
            tree.set_wall_offset(wall_offset_ns)

    def session_of(self, pid: int) -> int:
        """Return the session of a process, 0 if it is in none."""
        tree = self._tree_of.get(pid)
        return tree.session_of(pid) if tree else 0

    def promote(self, pid: int, boot_ns: int) -> list[pb.Event]:
        """Return nothing: who begins a session is told by `is_root`."""
        del pid, boot_ns
        return []

    def on_process(self, record: ProcessRecord) -> list[pb.Event]:
        """Take a record; return the events to publish. Those of strangers give none."""
        tree = self._tree_of.get(record.pid) or self._tree_for(record)
        if tree is None:
            return []
        events = tree.on_process(record)
        if record.pid in tree.live:
            self._tree_of[record.pid] = tree
        else:
            self._tree_of.pop(record.pid, None)
        return events

    def stop(self, boot_ns: int) -> list[pb.Event]:
        """End the sessions that have processes still, because the trace ends."""
        trees = dict.fromkeys(self._tree_of.values())
        self._tree_of.clear()
        return [event for tree in trees for event in tree.stop(boot_ns)]

    def _tree_for(self, record: ProcessRecord) -> ProcessTree | None:
        event = pb.Event.FromString(record.event)
        body = event.WhichOneof("body")
        if body == "process_forked":
            return self._tree_of.get(event.process_forked.parent_pid)
        if body != "process_executed":
            return None
        of_parent = self._tree_of.get(event.process_executed.parent_pid)
        if of_parent is not None or not self._is_root(event):
            return of_parent
        self.sessions += 1
        return ProcessTree(self._node, event.pid, self._rule, self._offset_ns)

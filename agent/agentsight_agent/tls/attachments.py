"""Keeps probes on the TLS code that the processes of this node use.

Looks at what is installed, what is running, and what starts: at its executable at once, at its
libraries soon after. The clock is the caller's. All methods belong in one worker thread rather than
in an event loop: `start` scans /proc, and the first look at a 100 MB executable takes some 20 ms.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from agentsight_agent.enrich import procfs
from agentsight_agent.familiar import Familiarity
from agentsight_agent.looks import Looks
from agentsight_agent.tls.discovery import Identity
from agentsight_agent.tls.files import Attachment, TlsFiles, TlsKernel, Uncaptured
from agentsight_agent.tls.libraries import standard_libraries
from agentsight_agent.tls.maps import Mapping, mapped_code, openable_path
from agentsight_agent.tls.reasons import Reason
from agentsight_agent.tls.unread import HTTPS_PORT, UnreadProcess, is_connected

_MS = 1_000_000
# Half a second after the exec, by which time libraries are loaded.
_FIRST_LOOK_AT_CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class AttachmentSettings:
    """When a new process is looked at (libraries are mapped after exec), and how much per call."""

    looks_after_ns: tuple[int, ...] = (20 * _MS, 100 * _MS, 500 * _MS, 2_000 * _MS, 10_000 * _MS)
    # All processes again, for libraries that are loaded late, and to let go of unused files.
    rescan_ns: int = 60_000 * _MS
    looks_per_call: int = 64
    # Programs with TLS code inside that run agents.
    runtimes: tuple[str, ...] = ("node", "bun", "deno", "claude", "codex")


class Attachments:
    """All probes on TLS code, and the list of TLS code without probes."""

    def __init__(
        self,
        kernel: TlsKernel,
        settings: AttachmentSettings | None = None,
        *,
        familiarity: Familiarity | None = None,
        proc: str = procfs.PROC,
    ) -> None:
        self._files = TlsFiles(kernel)
        self._settings = settings or AttachmentSettings()
        self._familiarity = familiarity
        self._proc = proc
        # As /proc/PID/maps names a file, to its identity: spares a stat per line.
        self._mapped: dict[tuple[str, int, str], Identity] = {}
        self._own_mounts = procfs.mount_namespace("self", proc)
        # Mount namespace, to the process through which its libraries were looked at.
        self._guides: dict[str, int] = {}
        self._looks = Looks(self._settings.looks_after_ns)
        # What is left of the running rescan; new processes go first.
        self._rescanned: deque[int] = deque()
        self._next_rescan_ns: int | None = None
        # Connected to port 443 without known TLS code: process to the name of its program.
        self._unknown: dict[int, str] = {}
        # For `take_unread` and `take_late`, which are called from another thread.
        self._found_unread: deque[UnreadProcess] = deque()
        self._late: deque[int] = deque()

    @property
    def attached(self) -> tuple[Attachment, ...]:
        """The hooked files."""
        return self._files.attached

    @property
    def uncaptured(self) -> tuple[Uncaptured, ...]:
        """TLS code that processes use and that is not hooked, with the reason."""
        return self._files.uncaptured

    @property
    def unread(self) -> tuple[UnreadProcess, ...]:
        """The processes that have TLS which is not seen."""
        by_file = (item.user(pid) for item in self.uncaptured for pid in item.users.copy())
        unknown = self._unknown.copy().items()
        return (
            *by_file,
            *(UnreadProcess(pid, name, name, Reason.UNKNOWN) for pid, name in unknown),
        )

    def take_unread(self) -> list[UnreadProcess]:
        """Return, once, processes that were found to have TLS which is not seen."""
        return [self._found_unread.popleft() for _ in range(len(self._found_unread))]

    def take_late(self) -> list[int]:
        """Return, once, processes that were connected before their TLS library was hooked."""
        return [self._late.popleft() for _ in range(len(self._late))]

    def start(self, now_ns: int, *, connected: bool = False) -> None:
        """Attach to the host's libraries, well-known runtimes, and what running processes use.

        With `connected` also find processes that talk to port 443 without known TLS code.
        """
        self.prepare(standard_libraries())
        runtimes = map(shutil.which, self._settings.runtimes)
        self.prepare(os.path.realpath(path) for path in runtimes if path)
        for pid in procfs.pids(self._proc):
            self._look_at_mounts(pid, procfs.mount_namespace(pid, self._proc))
            self._look(pid, connected=connected)
        self._next_rescan_ns = now_ns + self._settings.rescan_ns

    def prepare(self, paths: Iterable[str]) -> None:
        """Attach to the files at `paths` (see `resolve_command`) before anybody uses them."""
        for path in paths:
            name = path.rpartition("/")[2]
            self._files.find(path, name, executable=".so" not in name)

    def on_exec(self, pid: int, now_ns: int) -> None:
        """Process `pid` runs another program now: look at it, and again when it is loaded."""
        self.on_exit(pid)
        mounts = procfs.mount_namespace(pid, self._proc)
        # The libraries first: executables take longer to look at.
        self._look_at_mounts(pid, mounts)
        self._look_at_executable(pid, mounts)
        self._looks.begin(pid, now_ns)

    def on_networked(self, pid: int, now_ns: int) -> None:
        """Process `pid`, at whose program nobody looked, opens a connection: look now."""
        self._look_at_executable(pid, procfs.mount_namespace(pid, self._proc))
        if self._look(pid):
            self._looks.begin(pid, now_ns)

    def on_exit(self, pid: int) -> None:
        """Process `pid`, or its program, is gone."""
        self._files.release(pid)
        self._unknown.pop(pid, None)
        if self._familiarity:
            self._familiarity.ended(pid)

    def due(self, now_ns: int) -> int:
        """Take the looks whose time has come, a bounded number; return when the next ones are."""
        if self._next_rescan_ns is None:
            self._next_rescan_ns = now_ns + self._settings.rescan_ns
        elif now_ns >= self._next_rescan_ns:
            self._rescan(now_ns)
        self._take_looks(now_ns)
        if self._rescanned:
            return now_ns
        return min(self._looks.next_ns, self._next_rescan_ns)

    def _take_looks(self, now_ns: int) -> None:
        for _ in range(self._settings.looks_per_call):
            if found := self._looks.take(now_ns):
                pid, taken = found
                if self._look(pid, connected=taken >= _FIRST_LOOK_AT_CONNECTIONS):
                    self._looks.go_on(pid, taken + 1, now_ns)
            elif self._rescanned:
                self._look(self._rescanned.popleft(), connected=True)
            else:
                return

    def close(self) -> None:
        """Detach everything."""
        self._files.close()
        self._mapped.clear()
        self._looks.clear()
        self._rescanned.clear()

    def _rescan(self, now_ns: int) -> None:
        self._next_rescan_ns = now_ns + self._settings.rescan_ns
        alive = procfs.pids(self._proc)
        self._files.forget(set(alive))
        self._unknown = {pid: name for pid, name in self._unknown.items() if pid in alive}
        self._mapped = {key: i for key, i in self._mapped.items() if i in self._files}
        self._guides = {mounts: pid for mounts, pid in self._guides.items() if pid in alive}
        self._rescanned = deque(alive)

    def _look_at_executable(self, pid: int, mounts: str) -> None:
        path = f"{self._proc}/{pid}/exe"
        real = procfs.read_link(path)
        if mounts == self._own_mounts:
            path = real  # a path that outlives the process
        if not path:
            return
        identity = self._files.find(path, real.rpartition("/")[2], executable=True)
        if identity is not None and self._familiarity:
            self._familiarity.started(pid, real, identity)
        self._use(pid, identity)

    def _look_at_mounts(self, pid: int, mounts: str) -> None:
        """Attach to the libraries of a container when its first program starts."""
        if not mounts or mounts == self._own_mounts:
            return
        guide = self._guides.get(mounts)
        if guide is None or procfs.mount_namespace(guide, self._proc) != mounts:
            self._guides[mounts] = pid
            self.prepare(standard_libraries(f"{self._proc}/{pid}/root"))

    def _look(self, pid: int, *, connected: bool = False) -> bool:
        """Look at what process `pid` has mapped; False when it is gone.

        With `connected` also whether it talks to port 443 without any TLS code that is known.
        """
        mappings = mapped_code(pid, self._proc)
        if mappings is None:
            return False
        hooked = self._files.hooked
        used = False
        for mapping in mappings:
            identity = self._mapped.get(mapping.key)
            if identity is None or identity not in self._files:
                identity = self._find_mapped(pid, mapping)
            used |= self._use(pid, identity)
        if self._files.hooked > hooked and is_connected(pid, proc=self._proc):
            self._late.append(pid)
        if connected and not used and is_connected(pid, HTTPS_PORT, self._proc):
            name = self._executable(pid).rpartition("/")[2]
            if pid not in self._unknown:
                self._found_unread.append(UnreadProcess(pid, name, name, Reason.UNKNOWN))
            self._unknown[pid] = name
        return True

    def _find_mapped(self, pid: int, mapping: Mapping) -> Identity | None:
        """Look at a file that process `pid` has mapped, for the first time."""
        foreign = procfs.mount_namespace(pid, self._proc) != self._own_mounts
        path = openable_path(pid, mapping, foreign=foreign, proc=self._proc)
        name = mapping.path.rpartition("/")[2]
        is_executable = mapping.path == self._executable(pid)
        identity = self._files.find(path, name, executable=is_executable)
        if identity is not None:
            self._mapped[mapping.key] = identity
        return identity

    def _executable(self, pid: int) -> str:
        return procfs.read_link(f"{self._proc}/{pid}/exe")

    def _use(self, pid: int, identity: Identity | None) -> bool:
        if identity is None:
            return False
        self._found_unread.extend(self._files.use(pid, identity))
        has_tls = self._files.has_tls(identity)
        if has_tls and self._familiarity:
            self._familiarity.uses_tls(pid)
        return has_tls

"""Keeps hooks in the CUDA libraries that processes have mapped, and knows these processes.

A library is hooked once for all processes that use its file. Programs load it some time after they
start, so a process is looked at several times. Must not know what becomes of the calls.
"""

from __future__ import annotations

import logging
from typing import Protocol

from agentsight_core.errors import AgentSightError

from agentsight_agent.bpf.hooks import GpuHook
from agentsight_agent.enrich import procfs
from agentsight_agent.gpu.library import gpu_hooks, is_gpu_library
from agentsight_agent.looks import Looks
from agentsight_agent.tls.discovery import Identity, identify
from agentsight_agent.tls.elf import Elf, ElfError
from agentsight_agent.tls.maps import mapped_code, openable_path

_log = logging.getLogger(__name__)

# After the start of a program.
_LOOKS_AFTER_NS = (500_000_000, 2_000_000_000, 10_000_000_000, 60_000_000_000)
_TOGETHER_NS = 250_000_000


class GpuLink(Protocol):
    """Attached probes."""

    def close(self) -> None:
        """Detach them."""
        ...


class GpuKernel(Protocol):
    """What attaches probes: `agentsight_agent.bpf.kernel.Kernel`."""

    def attach_gpu(self, path: str, hooks: list[GpuHook]) -> GpuLink:
        """Attach to the file at `path`; raises AgentSightError or OSError when it cannot."""
        ...


class GpuAttachments:
    """Looks at programs that started; all methods are called in one thread.

    `users` are the processes that have a CUDA library; it may be read in any thread.
    """

    def __init__(self, kernel: GpuKernel, proc: str = "/proc") -> None:
        self._kernel = kernel
        self._proc = proc
        self._own_mounts = procfs.mount_namespace("self", proc)
        # Files that were looked at; None: nothing to hook, or it could not be.
        self._links: dict[Identity, GpuLink | None] = {}
        self._looks = Looks(_LOOKS_AFTER_NS, together_ns=_TOGETHER_NS)
        self.users: frozenset[int] = frozenset()

    def start(self, now_ns: int) -> None:
        """Look, when `due` is called next, at all that runs."""
        for pid in procfs.pids(self._proc):
            self._looks.once(pid, now_ns)

    def on_exec(self, pid: int, now_ns: int) -> None:
        """Process `pid` has begun a program: look at its libraries when it has loaded them."""
        self.on_exit(pid)
        self._looks.begin(pid, now_ns)

    def on_exit(self, pid: int) -> None:
        """Process `pid`, or its program, is gone."""
        if pid in self.users:
            self.users -= {pid}

    def due(self, now_ns: int) -> int:
        """Take the looks whose time has come; return when the next one is."""
        while found := self._looks.take(now_ns):
            pid, taken = found
            if self.look(pid):
                self._looks.go_on(pid, taken + 1, now_ns)
        return self._looks.next_ns

    def look(self, pid: int) -> bool:
        """Set hooks in the CUDA libraries that process `pid` has mapped; False when it is gone."""
        mappings = mapped_code(pid, self._proc)
        for mapping in mappings or ():
            if is_gpu_library(mapping.path.rpartition("/")[2]):
                self.users |= {pid}
                foreign = procfs.mount_namespace(pid, self._proc) != self._own_mounts
                self._hook(openable_path(pid, mapping, foreign=foreign, proc=self._proc))
        return mappings is not None

    def close(self) -> None:
        """Detach everything."""
        for link in self._links.values():
            if link is not None:
                link.close()
        self._links.clear()
        self._looks.clear()

    def _hook(self, path: str) -> None:
        try:
            identity = identify(path)
            if identity in self._links:
                return
            self._links[identity] = None
            with Elf(path) as elf:
                hooks = list(gpu_hooks(elf))
            if hooks:
                self._links[identity] = self._kernel.attach_gpu(path, hooks)
        except (OSError, ElfError, AgentSightError) as error:
            _log.warning("calls of %s are not seen: %s", path, error)

"""Which program goes to which hook of a file: sets the hooks of one file together, or none.

Must not choose the places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from agentsight_agent.bpf.hooks import GpuHook, GpuOperation, HookKind, TlsHook
from agentsight_agent.bpf.objects import BpfObject
from agentsight_agent.bpf.uprobes import BPF_TRACE_UPROBE_MULTI, MultiLink, PerfLinks, Place

_PROGRAMS = (
    "tls_enter",
    "tls_return",
    "tls_free",
    "tls_go",
    "tls_seal",
    "tls_open",
    "tls_opened",
    "gpu_called",
    "gpu_synchronised",
    "readline_returned",
)
_GO = frozenset({HookKind.GO_READ, HookKind.GO_WRITE, HookKind.GO_READ_END, HookKind.GO_CLOSE})
_SEALING = frozenset({HookKind.AEAD_SEAL, HookKind.AEAD_SEAL_SCATTER})
# Added to the operation: a function of libcudart.
_GPU_RUNTIME = 16


class FileLink:
    """The hooks of one file; `close` removes them."""

    def __init__(self, path: str, attached: ExitStack) -> None:
        self.path = path
        self.is_open = True
        self._attached = attached

    def close(self) -> None:
        """Detach; a second call does nothing."""
        self.is_open = False
        self._attached.close()


class FileHooks:
    """The hooks in all files. To be made before the programs are loaded.

    Not thread-safe, except that hooks may be set in and removed from files in another thread than
    that of `watch_readline`.
    """

    def __init__(self, programs: BpfObject) -> None:
        self._programs = programs
        self._links: list[FileLink] = []
        self._readlines: dict[str, MultiLink | PerfLinks] = {}
        self._multi = programs.has_uprobe_multi()
        if self._multi:
            for program in _PROGRAMS:
                programs.expect_attach_type(program, BPF_TRACE_UPROBE_MULTI)

    def close(self) -> None:
        """Remove all."""
        for link in self._links:
            link.close()
        self._links.clear()
        self.watch_readline({})

    def attach_tls(self, path: str, hooks: Sequence[TlsHook]) -> FileLink:
        """Set hooks in the file at `path`, for all processes that map it, now and later.

        Raises ProbeError; nothing is attached then.
        """
        places = [(hook.offset, int(hook.kind)) for hook in hooks]
        calls = [place for place in places if place[1] < HookKind.FREE]
        opening = [place for place in places if place[1] == HookKind.AEAD_OPEN]
        wanted = [
            ("tls_return", calls, True),
            ("tls_enter", calls, False),
            ("tls_free", [place for place in places if place[1] == HookKind.FREE], False),
            ("tls_go", [place for place in places if place[1] in _GO], False),
            ("tls_opened", opening, True),
            ("tls_open", opening, False),
            ("tls_seal", [place for place in places if place[1] in _SEALING], False),
        ]
        return self._attach(path, wanted)

    def attach_gpu(self, path: str, hooks: Sequence[GpuHook]) -> FileLink:
        """Set hooks in the CUDA library at `path`, for all processes that map it.

        Raises ProbeError; nothing is attached then.
        """
        places = [
            (hook.offset, int(hook.operation) + _GPU_RUNTIME * hook.runtime) for hook in hooks
        ]
        waits = {GpuOperation.SYNCHRONISE, GpuOperation.SYNCHRONISE + _GPU_RUNTIME}
        wanted = [
            ("gpu_synchronised", [place for place in places if place[1] in waits], True),
            ("gpu_called", places, False),
        ]
        return self._attach(path, wanted)

    def watch_readline(self, places: Mapping[str, int]) -> None:
        """Watch what tracked shells read by `readline`; without places nothing is watched.

        `places`: file (a shell, a library) to the file offset of its function. Raises ProbeError.
        """
        for path in self._readlines.keys() - places.keys():
            self._readlines.pop(path).close()
        for path, offset in places.items():
            if path not in self._readlines:
                self._readlines[path] = self._uprobes(
                    "readline_returned", path, [(offset, 0)], at_return=True
                )

    def _attach(self, path: str, wanted: Sequence[tuple[str, list[Place], bool]]) -> FileLink:
        with ExitStack() as attached:
            for program, its_places, at_return in wanted:
                if its_places:
                    links = self._uprobes(program, path, its_places, at_return=at_return)
                    attached.callback(links.close)
            link = FileLink(path, attached.pop_all())
        self._links = [other for other in self._links if other.is_open]
        self._links.append(link)
        return link

    def _uprobes(
        self, program: str, path: str, places: Sequence[Place], *, at_return: bool
    ) -> MultiLink | PerfLinks:
        kind = MultiLink if self._multi else PerfLinks
        return kind(self._programs.program_fd(program), path, places, at_return=at_return)

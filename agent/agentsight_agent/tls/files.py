"""Every file that was looked at for TLS code: hooked, not hookable, or without any.

A file is looked at once in its life (identity: device, inode, mtime, size) and hooked once, however
many processes use it. Two containers made of one image see one file under two identities; its
second probe is then a call within a call, which the kernel side counts once. Must not look at
processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from agentsight_core.errors import AgentSightError

from agentsight_agent.bpf.hooks import TlsHook
from agentsight_agent.tls.discovery import Identity, TlsFile, identify, inspect
from agentsight_agent.tls.reasons import Reason
from agentsight_agent.tls.unread import UnreadProcess

# Files without TLS code are forgotten when there are more, and looked at again when used again.
_MAX_PLAIN_FILES = 10_000


class TlsLink(Protocol):
    """Attached probes."""

    def close(self) -> None:
        """Detach them."""
        ...


class TlsKernel(Protocol):
    """What attaches probes: `agentsight_agent.bpf.kernel.Kernel`."""

    def attach_tls(self, path: str, hooks: Sequence[TlsHook]) -> TlsLink:
        """Attach to the file at `path`; raises AgentSightError or OSError when it cannot."""
        ...


@dataclass(slots=True)
class Attachment:
    """A hooked file and the processes seen to use it."""

    file: TlsFile
    link: TlsLink
    users: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Uncaptured:
    """TLS code whose plaintext is not seen, why, and the processes seen to use it."""

    name: str
    path: str
    reason: Reason
    # What the kernel said, where that is the reason.
    detail: str = ""
    users: set[int] = field(default_factory=set)

    def user(self, pid: int) -> UnreadProcess:
        """Say that process `pid` uses it."""
        return UnreadProcess(pid, self.name, self.path, self.reason, self.detail)


class TlsFiles:
    """The files known so far, and the probes on them."""

    def __init__(self, kernel: TlsKernel) -> None:
        self._kernel = kernel
        self._with_tls: dict[Identity, Attachment | Uncaptured] = {}
        self._plain: set[Identity] = set()
        # How many files were ever hooked.
        self.hooked = 0

    def __contains__(self, identity: Identity) -> bool:
        return identity in self._plain or identity in self._with_tls

    @property
    def attached(self) -> tuple[Attachment, ...]:
        """The hooked files."""
        return tuple(a for a in self._entries() if isinstance(a, Attachment))

    @property
    def uncaptured(self) -> tuple[Uncaptured, ...]:
        """TLS code that processes use and that is not hooked."""
        found = map(_unread_in, self._entries())
        return tuple(one for one in found if one is not None and one.users)

    def _entries(self) -> tuple[Attachment | Uncaptured, ...]:
        """Return a copy, made at once: a status page asks from another thread."""
        return tuple(self._with_tls.values())

    def find(self, path: str, name: str, *, executable: bool) -> Identity | None:
        """Return the identity of the file at `path`, hooked if it can be; None if unreadable.

        `name` is what its user calls it; `executable`: see `discovery.inspect`.
        """
        try:
            identity = identify(path)
            if identity not in self:
                self._add(identity, path, name, executable=executable)
        except OSError:
            return None  # it vanished, with the process whose root the path leads through
        return identity

    def has_tls(self, identity: Identity) -> bool:
        """Tell whether the file has TLS code, hooked or not."""
        return identity in self._with_tls

    def use(self, pid: int, identity: Identity) -> Iterator[UnreadProcess]:
        """Process `pid` uses the file; yield it if that is news and its TLS is not seen."""
        entry = self._with_tls.get(identity)
        if entry is not None and pid not in entry.users:
            entry.users.add(pid)
            if unread := _unread_in(entry):
                yield unread.user(pid)

    def release(self, pid: int) -> None:
        """Process `pid` uses none of the files any more."""
        for entry in self._with_tls.values():
            entry.users.discard(pid)

    def forget(self, alive: AbstractSet[int]) -> None:
        """Let go of files that are gone from their place and that no process in `alive` uses.

        A file that was written over is let go in any case: its old offsets are now wrong.
        """
        for identity, entry in list(self._with_tls.items()):
            entry.users &= alive
            now = _identity(entry.path if isinstance(entry, Uncaptured) else entry.file.path)
            if _is_rewritten(identity, now) or (now != identity and not entry.users):
                if isinstance(entry, Attachment):
                    entry.link.close()
                del self._with_tls[identity]
        if len(self._plain) > _MAX_PLAIN_FILES:
            self._plain.clear()

    def close(self) -> None:
        """Detach everything."""
        with ExitStack() as stack:
            for attachment in self.attached:
                stack.callback(attachment.link.close)
        self._with_tls.clear()
        self._plain.clear()

    def _add(self, identity: Identity, path: str, name: str, *, executable: bool) -> None:
        found = inspect(path, name=name, executable=executable)
        if found is None:
            self._plain.add(identity)
        elif isinstance(found, TlsFile):
            self._with_tls[identity] = self._attach(found)
        else:
            self._with_tls[identity] = Uncaptured(found.name, found.path, found.reason)

    def _attach(self, file: TlsFile) -> Attachment | Uncaptured:
        try:
            link = self._kernel.attach_tls(file.path, file.hooks)
        except (AgentSightError, OSError) as error:
            return Uncaptured(file.name, file.path, Reason.REFUSED, str(error))
        self.hooked += 1
        return Attachment(file, link)


def _unread_in(entry: Attachment | Uncaptured) -> Uncaptured | None:
    """Return what of a file is not seen: all, the rest of one that is hooked, or nothing."""
    if isinstance(entry, Uncaptured):
        return entry
    file = entry.file
    return Uncaptured(file.name, file.path, file.unread, "", entry.users) if file.unread else None


def _identity(path: str) -> Identity | None:
    try:
        return identify(path)
    except OSError:
        return None


def _is_rewritten(before: Identity, now: Identity | None) -> bool:
    same_place = now is not None and (now.device, now.inode) == (before.device, before.inode)
    return same_place and now != before

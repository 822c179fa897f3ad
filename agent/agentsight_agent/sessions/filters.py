"""Filters over processes: which may begin a session, of which nothing is recorded.

Must not read processes or containers: what a filter looks at is given.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass

from agentsight_agent.bpf.exclusions import MAX_NAME_BYTES, ExcludedProgram
from agentsight_agent.enrich.container_state import NONE, Container
from agentsight_agent.enrich.procfs import Process
from agentsight_agent.sessions.rules import user_id

EXCLUDED = "excluded by a filter"
NOT_INCLUDED = "not included by a filter"
# What makes of a name a pattern, or a path.
_GLOB = re.compile(r"[*?\[/]")


@dataclass(frozen=True, slots=True)
class ProcessFilter:
    """All patterns that are not empty must match; the fields are those of ProcessFilterConfig."""

    session: str = ""
    executable: str = ""
    user: str = ""
    container: str = ""
    image: str = ""
    namespace: str = ""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """What filters look at: a process, where it runs, and the session it is or would be in."""

    process: Process
    container: Container = NONE
    agent_name: str = ""
    session: int = 0


class _Matcher:
    """A filter made ready; raises ConfigError when the node does not have its user."""

    def __init__(self, wanted: ProcessFilter) -> None:
        self.wanted = wanted
        self._uid = user_id("filter", wanted.user) if wanted.user else None

    def matches(self, seen: Candidate) -> bool:
        wanted, container = self.wanted, seen.container
        exe = seen.process.exe if "/" in wanted.executable else _base(seen.process.exe)
        return (
            (self._uid is None or seen.process.uid == self._uid)
            and _glob(wanted.executable, exe)
            and container.id.startswith(wanted.container)
            and _glob(wanted.image, container.image)
            and _glob(wanted.namespace, container.namespace)
            and all(_glob(value, dict(container.labels).get(key)) for key, value in wanted.labels)
            and self._matches_session(seen)
        )

    def programs(self) -> Iterator[ExcludedProgram]:
        """Yield the program that the filter is, if it is nothing but a file name and a user."""
        name = self.wanted.executable
        if self.wanted != ProcessFilter(executable=name, user=self.wanted.user):
            return
        if not _GLOB.search(name) and len(name.encode()) <= MAX_NAME_BYTES:
            yield ExcludedProgram(name, self._uid)

    def _matches_session(self, seen: Candidate) -> bool:
        wanted = self.wanted.session
        return _glob(wanted, seen.agent_name) or wanted == f"{seen.session:016x}"


class Filters:
    """Raises ConfigError, naming the user, when a filter has one that this node has not."""

    def __init__(
        self, include: tuple[ProcessFilter, ...] = (), exclude: tuple[ProcessFilter, ...] = ()
    ) -> None:
        self._include = [_Matcher(wanted) for wanted in include]
        self._exclude = [_Matcher(wanted) for wanted in exclude]

    @property
    def is_empty(self) -> bool:
        """True when everything is wanted, so that nothing needs to be known of a process."""
        return not self._include and not self._exclude

    @property
    def programs(self) -> frozenset[ExcludedProgram]:
        """The programs that are excluded whatever else is known, for the kernel to know them."""
        return frozenset(program for each in self._exclude for program in each.programs())

    def refuses(self, seen: Candidate) -> str:
        """Return why a session may not begin with a process, "" if it may."""
        if self.excludes(seen):
            return EXCLUDED
        if self._include and not any(each.matches(seen) for each in self._include):
            return NOT_INCLUDED
        return ""

    def excludes(self, seen: Candidate) -> bool:
        """Say whether nothing is to be recorded of a process of a session."""
        return any(each.matches(seen) for each in self._exclude)


def _glob(pattern: str, text: str | None) -> bool:
    return not pattern or (text is not None and fnmatch.fnmatchcase(text, pattern))


def _base(path: str) -> str:
    return path.rpartition("/")[2]

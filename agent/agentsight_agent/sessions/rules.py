"""Rules that make a process the root of a session before it says anything.

Must not read processes: what a rule looks at is given.
"""

from __future__ import annotations

import fnmatch
import pwd
from dataclasses import dataclass

import re2
from agentsight_core.errors import ConfigError

from agentsight_agent.enrich.procfs import Process


@dataclass(frozen=True, slots=True)
class SessionRule:
    """All patterns that are not empty must match.

    `executable`: glob over the path of the executable, or over its last part when the glob has no
    slash. `argv`: RE2 expression searched in the arguments joined by blanks. `user`: name or
    number. `container`: glob over the container id. `agent_name`: name for the session instead of
    the found one.
    """

    name: str
    executable: str = ""
    argv: str = ""
    user: str = ""
    container: str = ""
    agent_name: str = ""


class RuleMatcher:
    """A rule made ready; raises ConfigError when its expression or its user is wrong."""

    def __init__(self, rule: SessionRule) -> None:
        self.rule = rule
        self._argv = _compile(rule) if rule.argv else None
        self._uid = user_id(f"session rule {rule.name}", rule.user) if rule.user else None

    @property
    def needs_container(self) -> bool:
        """True when the rule looks at the container id."""
        return bool(self.rule.container)

    def matches(self, process: Process) -> bool:
        """Say whether all patterns of the rule match `process`."""
        rule = self.rule
        exe = process.exe if "/" in rule.executable else process.exe.rpartition("/")[2]
        if rule.executable and not fnmatch.fnmatchcase(exe, rule.executable):
            return False
        if self._uid is not None and process.uid != self._uid:
            return False
        if rule.container and not (
            process.container_id and fnmatch.fnmatchcase(process.container_id, rule.container)
        ):
            return False
        return self._argv is None or self._argv.search(" ".join(process.argv)) is not None


def _compile(rule: SessionRule) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(rule.argv, options)
    except re2.error as error:
        raise ConfigError(
            f"session rule {rule.name}: argv {rule.argv!r} is no RE2 expression: {error}"
        ) from error


def user_id(what: str, user: str) -> int:
    """Return the number of a user; ConfigError, beginning with `what`, if this node has none."""
    if user.isdigit():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise ConfigError(
            f"{what}: this node has no user {user!r}; give a name of /etc/passwd or a number"
        ) from error

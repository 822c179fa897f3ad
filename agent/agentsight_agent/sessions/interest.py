"""What of the rules for sessions can be judged before a process is looked at.

Pure. May say that a process is of interest when it is not, never the other way round.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from agentsight_agent.sessions.rules import SessionRule

_WILD = frozenset("*?[")
# What a backslash makes of these is a class of characters, or a place between them.
_CLASSES = frozenset("bBdDsSwWAz")
_UNDECODED = "\ufffd"


class Interest:
    """Which starts of programs may begin a session by one of `rules`."""

    def __init__(self, rules: Iterable[SessionRule] = (), *, max_marks: int = 0) -> None:
        #: Every process that a rule can match has one of these in its arguments, or runs a program
        #: that `may_match` allows.
        self.marks: tuple[bytes, ...] = ()
        # Globs of the rules that have no mark.
        self._globs: list[str] = []
        for rule in rules:
            mark = needed_text(rule.argv).encode()
            if mark in self.marks:
                continue
            if mark and len(self.marks) < max_marks:
                self.marks += (mark,)
            else:
                self._globs.append(rule.executable or "*")

    def may_match(self, executable: str) -> bool:
        """Say whether a file, wherever it is then, may be one that a rule without mark matches."""
        name = executable.rpartition("/")[2]
        return any(_may_match(glob, name) for glob in self._globs)


def _may_match(glob: str, name: str) -> bool:
    if "/" not in glob:
        return fnmatch.fnmatchcase(name, glob)
    last = glob.rpartition("/")[2]
    # A wild card matches slashes, too.
    return bool(_WILD & set(glob)) or last == name


def needed_text(expression: str) -> str:
    """Return a text without blanks that is in all that `expression` (RE2) matches; "" if unknown.

    What is in brackets, and expressions with alternatives or flags, are not gone into.
    """
    if "|" in expression or "(?" in expression:
        return ""
    texts, at, depth = [""], 0, 0
    while at < len(expression):
        char = expression[at]
        at += 1
        if char == "\\":
            char = expression[at : at + 1]
            at += 1
            if char.isalnum() and char not in _CLASSES:
                return ""
            is_text = not char.isalnum()
        elif char in "[{":
            at = _end_of(expression, at, char)
            if not at:
                return ""
            is_text = False
        else:
            depth += (char == "(") - (char == ")")
            is_text = char not in ".^$*+?()"
        if char in "*?{":
            texts[-1] = texts[-1][:-1]
        if is_text and not depth and char not in (" ", _UNDECODED):
            texts[-1] += char
        else:
            texts.append("")
    return max(texts, key=len)


def _end_of(expression: str, at: int, opening: str) -> int:
    """Return where a class or a count that began before `at` has ended; 0 if that is not clear."""
    if opening == "{":
        return expression.find("}", at) + 1
    if expression[at : at + 1] == "^":
        at += 1
    # A bracket right at the begin stands for itself.
    end = expression.find("]", at + 1) + 1
    return 0 if any(char in expression[at:end] for char in ("\\", "[")) else end

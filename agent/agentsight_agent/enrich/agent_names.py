"""Names the agent product that a program is, from its executable and arguments.

Pure: must not read files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Command of the product, to its name. A command is the base name of the executable or script, or a
# directory on the way to it (…/node_modules/@anthropic-ai/claude-code/cli.js).
_PRODUCTS = {
    "claude": "claude-code",
    "claude-code": "claude-code",
    "codex": "codex",
    "gemini": "gemini-cli",
    "gemini-cli": "gemini-cli",
    "qwen": "qwen-code",
    "qwen-code": "qwen-code",
    "cursor-agent": "cursor-agent",
    "copilot": "copilot-cli",
    "aider": "aider",
    "opencode": "opencode",
    "goose": "goose",
    "amp": "amp",
    "crush": "crush",
    "openhands": "openhands",
    "interpreter": "open-interpreter",
    "open-interpreter": "open-interpreter",
    "droid": "droid",
    "auggie": "auggie",
    "cline": "cline",
    "kiro-cli": "kiro-cli",
}

_INTERPRETER = re.compile(
    r"^(python|pypy|node|nodejs|bun|deno|ruby|perl|php|bash|sh|dash|zsh|uv|tsx)[\d.]*$"
)
# Options of these interpreters that take the next argument along.
_WITH_VALUE = {"-W", "-X", "-r", "--require", "--import", "--loader", "-o"}
# The same of Perl and Ruby; Python's -I stands alone.
_WITH_FOLDER = re.compile(r"^(perl|ruby)[\d.]*$")
_NO_SCRIPT = {"-c", "-e", "-p", "-", "--eval", "--print"}
_SUFFIX = re.compile(r"\.(pyz?|[mc]?[jt]s|tsx|rb|pl|php|sh)$")
# File names that say nothing: then the directory around says more.
_ANONYMOUS = {"__main__", "main", "index", "cli", "app", "run", "bin", "dist", "src", "build"}


def agent_name(exe: str, argv: Sequence[str], comm: str) -> str:
    """Return the product if executable or arguments tell ("claude-code"), else the program's name.

    For an interpreter that is the name of its script or module (`python foo.py`: "foo"), else
    `comm`, else the executable's. `exe` may be empty. Paths may be those of Windows.
    """
    exe, argv = _slashes(exe), [_slashes(argument) for argument in argv]
    first = argv[0] if argv else exe
    interpreted = any(_INTERPRETER.match(_base(path)) for path in (first, exe))
    taking = _WITH_VALUE | ({"-I"} if any(map(_takes_folder, (first, exe))) else set())
    script = _script(argv, taking) if interpreted else ""
    for path in (script, first, exe):
        product = _product(path)
        if product:
            return product
    return _plain(script) or comm or _base(first)


def is_product(name: str) -> bool:
    """Tell whether a name that `agent_name` has returned is that of an agent product."""
    return name in _PRODUCTS.values()


def _takes_folder(path: str) -> bool:
    return bool(_WITH_FOLDER.match(_base(path)))


def _script(argv: Sequence[str], taking: set[str]) -> str:
    """Return the script or module that an interpreter runs; empty when there is none.

    `taking` are its options that take the next argument along.
    """
    arguments = list(argv[1:])
    while arguments:
        first = arguments.pop(0)
        if first == "-m":
            return arguments[0].replace(".", "/") if arguments else ""
        if first in _NO_SCRIPT:
            return ""
        if first in taking:
            del arguments[:1]
        elif first != "run" and not first.startswith("-"):
            return first
    return ""


def _product(path: str) -> str:
    """Return the product that a file name, or else a directory on the way to it, stands for."""
    parts = [_SUFFIX.sub("", part) for part in path.split("/") if part]
    if parts and parts[-1] in _PRODUCTS:
        return _PRODUCTS[parts[-1]]
    # Only packages: a project that happens to lie in a directory "goose" is not goose.
    for marker in ("node_modules", "site-packages", "versions"):
        if marker in parts:
            inside = parts[parts.index(marker) + 1 :]
            return next((_PRODUCTS[part] for part in inside if part in _PRODUCTS), "")
    return ""


def _plain(script: str) -> str:
    """Return the name of a script, or of its directory when its own says nothing."""
    names = [_SUFFIX.sub("", part) for part in script.split("/") if part not in {"", ".", ".."}]
    telling = [name for name in names if name not in _ANONYMOUS]
    if names and names[-1] in _ANONYMOUS and telling and len(names) > 1:
        return telling[-1]
    return names[-1] if names else ""


def _slashes(path: str) -> str:
    """Return a path of Windows as others are written, without the ending of programs."""
    if "\\" not in path and not path.endswith(".exe"):
        return path
    return path.replace("\\", "/").removesuffix(".exe")


def _base(path: str) -> str:
    return path.rpartition("/")[2].removeprefix("-")

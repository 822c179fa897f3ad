"""Says which files to hook before a command starts, so that its first bytes are seen.

Must not run anything.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

# execve(2): the kernel follows this many interpreters.
_MAX_INTERPRETERS = 4
_SHEBANG_BYTES = 256

# TLS code that comes along with an interpreter or a virtual environment, seen from its prefix.
_BUNDLED = (
    "lib*/libssl*.so*",
    "lib/python*/lib-dynload/_ssl.*.so",
    "lib/python*/site-packages/*.libs/libssl*.so*",
    "lib/python*/site-packages/cryptography/hazmat/bindings/_rust*.so",
)


def resolve_command(argv: Sequence[str], search_path: str, cwd: str) -> list[str]:
    """Return the files that running `argv` will probably take its TLS code from.

    These are the executable, the interpreters its first line names (`#!/usr/bin/env node` too), and
    libraries bundled with them. `search_path` is the command's PATH, `cwd` its working directory.
    Empty when there is no such program. What is missed here is found when it is mapped.
    """
    found: dict[str, None] = {}
    for program in _programs(list(argv), search_path, cwd):
        real = os.path.realpath(program)
        found[real] = None
        for place in (program, real):
            prefix = Path(place).parent.parent
            if place.startswith(("/bin/", "/usr/bin/")):
                continue  # the standard libraries, hooked anyway
            for pattern in _BUNDLED:
                found.update(dict.fromkeys(_files(prefix, pattern)))
    return list(found)


def _files(prefix: Path, pattern: str) -> list[str]:
    paths = glob.glob(f"{glob.escape(str(prefix))}/{pattern}")  # noqa: PTH207 - strings
    return sorted({os.path.realpath(path) for path in paths})


def _programs(argv: list[str], search_path: str, cwd: str) -> Iterator[str]:
    """Yield the program of `argv` and the interpreters that run it."""
    for _ in range(_MAX_INTERPRETERS + 1):
        program = _find(argv[0], search_path, cwd) if argv else None
        if program is None:
            return
        yield program
        is_env = Path(program).name == "env"
        argv = _after_env(argv[1:]) if is_env else _interpreter(program, argv)


def _find(name: str, search_path: str, cwd: str) -> str | None:
    path = str(Path(cwd, name)) if "/" in name else shutil.which(name, path=search_path)
    return path if path and os.access(path, os.X_OK) and Path(path).is_file() else None


def _interpreter(program: str, argv: list[str]) -> list[str]:
    """Return the command line that the first line of a script stands for; empty for others."""
    try:
        with Path(program).open("rb") as file:
            line = file.read(_SHEBANG_BYTES).split(b"\n", 1)[0]
    except OSError:
        return []
    if not line.startswith(b"#!"):
        return []
    # The kernel gives everything behind the interpreter as one argument; `env -S` splits it.
    return [*os.fsdecode(line[2:]).split(), program, *argv[1:]]


def _after_env(arguments: list[str]) -> list[str]:
    """Return the command line behind the options and variables of env(1)."""
    rest = list(arguments)
    while rest:
        if rest[0] in {"-u", "--unset", "-C", "--chdir"}:
            del rest[:2]
        elif rest[0].startswith("-") or "=" in rest[0]:
            del rest[0]
        else:
            break
    return rest

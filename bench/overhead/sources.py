"""Makes what the works need: a repository of 10,000 small files, a C program to build."""

from __future__ import annotations

from pathlib import Path

FILES = 10_000
_UNITS = 14
_HEADERS = ("stdio", "stdlib", "string", "errno", "unistd", "math", "time", "signal", "pthread")


def make_sources(folder: Path) -> None:
    """Write both below `folder`."""
    _make_repository(folder / "repository")
    _make_program(folder / "source")


def _make_repository(folder: Path) -> None:
    for number in range(100):
        (folder / f"{number}").mkdir(parents=True)
    for number in range(FILES):
        # 0.3 to 3 KiB.
        lines = [f"int some_name_{line} = {number};" for line in range(10 + number % 90)]
        (folder / f"{number % 100}" / f"{number}.c").write_text("\n".join(lines) + "\n")


def _make_program(folder: Path) -> None:
    folder.mkdir()
    includes = "".join(f"#include <{name}.h>\n" for name in _HEADERS)
    for number in range(_UNITS):
        body = "".join(
            f'int f{number}_{at}(int x) {{ return x * {at} + printf("%d", x); }}\n'
            for at in range(20)
        )
        (folder / f"u{number}.c").write_text(includes + body)
    names = " ".join(f"u{number}.o" for number in range(_UNITS))
    (folder / "Makefile").write_text(
        f"VPATH = {folder}\nall: {names}\n%.o: %.c\n\tcc -O1 -c $< -o $@\n"
    )

"""Where `readline` is on this machine: in bash, and in the library for others.

Must not attach anything. Shells inside containers are not looked for.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from agentsight_agent.tls.elf import Elf, ElfError

_SHELLS = ("/bin/bash", "/usr/bin/bash")
_LIBRARIES = ("usr/lib/*/libreadline.so.8", "usr/lib*/libreadline.so.8")
_FUNCTION = "readline"


@cache
def readline_places() -> dict[str, int]:
    """Return each file that has the function, with the file offset of its entry."""
    found: dict[str, int] = {}
    libraries = [str(path) for pattern in _LIBRARIES for path in Path("/").glob(pattern)]
    for path in dict.fromkeys(str(Path(path).resolve()) for path in (*_SHELLS, *libraries)):
        try:
            with Elf(path) as elf:
                symbol = elf.functions([_FUNCTION]).get(_FUNCTION)
                offset = elf.file_offset(symbol.address) if symbol else None
        except (OSError, ElfError):
            continue  # not installed, or no program: there is no shell to watch
        if offset is not None:
            found[path] = offset
    return found

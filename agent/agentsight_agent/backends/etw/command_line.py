"""A command line of Windows as arguments, as CommandLineToArgvW takes it apart. Pure."""

from __future__ import annotations

_BLANKS = " \t"


def split_command_line(line: str) -> list[str]:
    r"""Return the arguments of `line`; the first one is the program.

    Of the first only quotes count. In the others 2n backslashes before a quote are n and the quote
    is one of those that group; 2n + 1 are n and a quote as a character. Two quotes inside of quotes
    are one as a character. Other backslashes stand for themselves.
    https://learn.microsoft.com/windows/win32/api/shellapi/nf-shellapi-commandlinetoargvw
    """
    line = line.strip("\0").lstrip(_BLANKS)
    if not line:
        return []
    if line.startswith('"'):
        program, _, rest = line[1:].partition('"')
    else:
        end = next((at for at, char in enumerate(line) if char in _BLANKS), len(line))
        program, rest = line[:end], line[end:]
    return [program, *_arguments(rest)]


def _arguments(text: str) -> list[str]:
    found: list[str] = []
    current: list[str] | None = None
    quoted = False
    at = 0
    while at < len(text):
        char = text[at]
        if char in _BLANKS and not quoted:
            if current is not None:
                found.append("".join(current))
                current = None
            at += 1
            continue
        current = [] if current is None else current
        begin = at
        while text[at : at + 1] == "\\":
            at += 1
        slashes = at - begin
        if text[at : at + 1] != '"':
            current.append("\\" * slashes)
            if not slashes:
                current.append(char)
                at += 1
            continue
        current.append("\\" * (slashes // 2))
        if slashes % 2 or (quoted and text[at + 1 : at + 2] == '"'):
            current.append('"')
            at += 1 if slashes % 2 else 2
        else:
            quoted = not quoted
            at += 1
    if current is not None:
        found.append("".join(current))
    return found

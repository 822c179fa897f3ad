"""Says which errors the functions of BoringSSL and its kin raise, from the code that raises them.

OPENSSL_PUT_ERROR loads the name of the source file, the number of the reason and the line, which
stripping leaves. Must not know what the errors mean.

Source: BoringSSL and AWS-LC, include/openssl/err.h (OPENSSL_PUT_ERROR).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentsight_agent.tls.elf import Elf
from agentsight_agent.tls.references import function_starts, references

_AROUND = (24, 32)
_REASON = re.compile(rb"\xba(..)\0\0", re.DOTALL)  # mov $reason, %edx
_LINE = re.compile(rb"\x41\xb8(..)\0\0", re.DOTALL)  # mov $line, %r8d
_MAX_REASON = 1000


@dataclass(slots=True)
class Raised:
    """The errors that one function raises; other numbers near to them may be among these."""

    count: int = 0
    reasons: set[int] = field(default_factory=set)
    lines: list[int] = field(default_factory=list)


def errors_raised(elf: Elf, files: Sequence[int]) -> dict[int, Raised]:
    """Return what each function raises in the source files named at `files`, by its start."""
    found = [reference.address for reference in references(elf, files)]
    functions: dict[int, Raised] = defaultdict(Raised)
    for address, start in function_starts(elf, found).items():
        window = elf.code(address - _AROUND[0], sum(_AROUND))
        one = functions[start]
        one.count += 1
        reasons = (int.from_bytes(value, "little") for value in _REASON.findall(window))
        one.reasons.update(reason for reason in reasons if reason < _MAX_REASON)
        one.lines.extend(int.from_bytes(value, "little") for value in _LINE.findall(window))
    return functions

"""A C header with the structures of the running kernel, which headers of another do not have."""

from __future__ import annotations

import re
from pathlib import Path

from agentsight_core.testing.btf import Btf

_STRUCTURE = re.compile(r"^struct (\w+) \{\n(.*?)^\};\n", re.MULTILINE | re.DOTALL)
_MEMBER = re.compile(r"\t(.*?)(\w+)((?:\[\w+\])?);")
# The headers have it.
_REGISTERS = "pt_regs"
# Without names of its own; an address is what it is.
_ADDRESS = "in6_addr"
# BCC's programs find the registers of a call below the top of the stack.
_ALSO_READ = {"task_struct": "\tvoid *stack;\n"}


def running_layout(declared: str) -> str:
    """Return the structures of `declared` (bpf/include/kernel.h), each field where it is here."""
    kernel = Btf(Path("/sys/kernel/btf/vmlinux").read_bytes())
    before, _, after = declared.partition("#if defined(__TARGET_ARCH_arm64)")
    text = before + after.partition("#else")[2]
    structures = []
    for name, members in _STRUCTURE.findall(text):
        if name == _REGISTERS:
            continue
        if name == _ADDRESS:
            structures.append(f"struct {name} {{\n{members}}};\n")
            continue
        offsets = kernel.fields(name)
        placed = "".join(
            f"\tstruct {{ char before_{member}[{offsets[member]}]; {kind}{member}{array}; }}"
            " __attribute__((packed));\n"
            for kind, member, array in _MEMBER.findall(members + _ALSO_READ.get(name, ""))
        )
        structures.append(f"struct {name} {{ union {{\n{placed}}}; }};\n")
    return "\n".join(structures)

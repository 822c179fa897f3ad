"""Chooses how the programs come into the kernel: as a compiled object, or from source by BCC."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Literal

from agentsight_agent.bpf.bcc_objects import BccObject
from agentsight_agent.bpf.objects import BpfObject, ProbeError, compiled_for

Loader = Literal["auto", "btf", "bcc"]

BTF = Path("/sys/kernel/btf/vmlinux")


def chosen(loader: Loader) -> Literal["btf", "bcc"]:
    """Return what `auto` means on this machine: BTF where the kernel has it."""
    if loader == "auto":
        return "btf" if BTF.exists() else "bcc"
    return loader


def open_programs(
    loader: Loader, headers: Path | None = None, layout: Path | None = None
) -> BpfObject:
    """Return the programs, not loaded yet.

    `headers` and `layout` are for BCC: see `bcc.find_headers` and `bcc.compile_programs`. Raises
    ProbeError.
    """
    compiled = compiled_for(platform.machine())
    if chosen(loader) == "bcc":
        return BccObject(compiled, headers, layout)
    if not BTF.exists():
        raise ProbeError(
            f"{BTF} is missing: this kernel was built without CONFIG_DEBUG_INFO_BTF;"
            " let capture.loader be auto or bcc"
        )
    return BpfObject(compiled)

"""Source of the programs to their instructions, by BCC and the node's kernel headers.

For kernels without BTF. Must not load anything, nor know what the programs do.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentsight_agent.bpf import bcc_compiler
from agentsight_agent.bpf.objects import ProbeError

_SOURCE = Path(__file__).with_name("agentsight.bcc.c")
_MODULES = Path("/lib/modules")
_INSTALL = "on Debian and Ubuntu: apt-get install libbpfcc linux-headers-$(uname -r)"
# Measured: 12 s on a busy machine with a cold cache.
_DEADLINE_S = 300
_SAID_LINES = 12
INSTRUCTION_BYTES = 8
# BPF_LD | BPF_IMM | BPF_DW takes two instructions; BPF_PSEUDO_MAP_FD and _VALUE say what of.
_LOAD_64 = 0x18
_OF_MAP = {1, 2}
_IMMEDIATE = struct.Struct("<i")
# BCC's clang refuses nothing that the object's clang has not been asked about.
_FLAGS = ("-DAGENTSIGHT_BCC", "-w", "-Wno-int-conversion")


@dataclass(frozen=True, slots=True)
class KernelHeaders:
    """The headers of a kernel as distributions install them."""

    # What is written by hand, and what was generated for this configuration; often the same.
    source: Path
    build: Path
    release: str


def find_headers(folder: Path | None) -> KernelHeaders:
    """Return the headers in `folder`, by default those of the running kernel.

    `folder` is as /lib/modules/RELEASE: with `build` and perhaps `source`; or it is such a `build`.
    Raises ProbeError.
    """
    release = os.uname().release
    folder = folder or _MODULES / release
    build = folder / "build" if (folder / "build").exists() else folder
    source = folder / "source" if (folder / "source").exists() else build
    named = build / "include/generated/utsrelease.h"
    if not named.exists():
        raise ProbeError(
            f"no headers of kernel {release} in {folder}: without BTF the programs are compiled"
            f" against them; {_INSTALL}"
        )
    found = re.search(r'"([^"]+)"', named.read_text(encoding="ascii"))
    return KernelHeaders(source.resolve(), build.resolve(), found[1] if found else "?")


def check_release(headers: KernelHeaders) -> None:
    """Raise ProbeError if the headers are of another kernel: fields would be read anywhere."""
    if headers.release != os.uname().release:
        raise ProbeError(
            f"the headers in {headers.build} are of kernel {headers.release}, but"
            f" {os.uname().release} is running: what is at other places there would be misread;"
            f" {_INSTALL}"
        )


@functools.cache
def compile_programs(
    headers: KernelHeaders, maps: tuple[str, ...], layout: Path | None
) -> Mapping[str, bytes]:
    """Return the instructions of each program, with indices of `maps` for their descriptors.

    `layout` is a C header with the kernel's structures, in the place of those of `headers`.
    Raises ProbeError with what clang says.
    """
    if not _SOURCE.exists():
        raise ProbeError(f"{_SOURCE} is missing: build it with scripts/build_bpf.sh")
    machine = {"x86_64": "x86", "aarch64": "arm64"}[platform.machine()]
    generated = f"arch/{machine}/include/generated"
    folders = ("include", generated, f"{generated}/uapi", "include/generated/uapi")
    flags = [
        *_FLAGS,
        f"-D__TARGET_ARCH_{machine}",
        *(f"-I{headers.build}/{folder}" for folder in folders),
    ]
    if layout:
        flags.append(f'-DAGENTSIGHT_LAYOUT="{layout}"')
    text = _SOURCE.read_text(encoding="utf-8").replace("/* maps */", _definitions(maps))
    request = {"text": text, "headers": str(headers.source), "flags": flags}
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-m", bcc_compiler.__name__],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    if done.returncode == bcc_compiler.NO_LIBRARY:
        raise ProbeError(f"{bcc_compiler.LIBRARY} is not installed; {_INSTALL}")
    if done.returncode:
        said = "".join(f"\n  {line}" for line in done.stderr.splitlines()[:_SAID_LINES])
        raise ProbeError(f"BCC cannot compile the programs with {headers.source}:{said}")
    return {name: bytes.fromhex(code) for name, code in json.loads(done.stdout).items()}


def with_descriptors(instructions: bytes, descriptors: Sequence[int]) -> bytes:
    """Return the instructions with a descriptor in the place of each index of a map."""
    linked = bytearray(instructions)
    at = 0
    while at < len(linked):
        if linked[at] == _LOAD_64 and linked[at + 1] >> 4 in _OF_MAP:
            (index,) = _IMMEDIATE.unpack_from(linked, at + 4)
            _IMMEDIATE.pack_into(linked, at + 4, descriptors[index])
        at += 2 * INSTRUCTION_BYTES if linked[at] == _LOAD_64 else INSTRUCTION_BYTES
    return bytes(linked)


def _definitions(maps: Sequence[str]) -> str:
    """Return what include/bcc.h expects of each map.

    A map that is called ".bss.control" holds the variable `control`.
    """
    lines = []
    for index, name in enumerate(maps):
        word = name.rpartition(".")[2]
        kind = f"typeof(declared_{word})" if word != name else "char"
        pseudo = 2 if word != name else 1
        lines.append(f"#define {word} (*({kind} *)bpf_pseudo_fd({pseudo}, {index}))")
    return "\n".join(lines)

"""Kernel, privileges, libbpf, compiled programs, and a trial: load them, attach to a library."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from agentsight_agent.bpf import libbpf
from agentsight_agent.bpf.bcc import check_release, find_headers
from agentsight_agent.bpf.loader import BTF, chosen
from agentsight_agent.bpf.objects import ProbeError
from agentsight_core.config import AgentSightConfig
from agentsight_core.errors import AgentSightError

from agentsight_cli.checks.check import Check, failed, passed
from agentsight_cli.text import size

# bpf_get_attach_cookie for uprobes (Linux 5.15) is the newest thing that has no replacement.
_OLDEST_KERNEL = (5, 15)
_LOCKDOWN = Path("/sys/kernel/security/lockdown")
# linux/capability.h
_NEEDED = {"CAP_SYS_PTRACE": 19, "CAP_PERFMON": 38, "CAP_BPF": 39}
_CAP_SYS_ADMIN = 21
_BUILD = "run scripts/build_bpf.sh, or `make setup`"


def check_kernel(config: AgentSightConfig) -> Iterator[Check]:
    """Check version, type information and lock-down of the kernel."""
    release = os.uname().release
    version = tuple(int(part) for part in re.findall(r"\d+", release)[:2])
    needed = ".".join(map(str, _OLDEST_KERNEL))
    if version >= _OLDEST_KERNEL:
        yield passed("kernel", release)
    else:
        yield failed("kernel", release, f"boot Linux {needed} or newer")
    yield from _check_loader(config)
    mode = _LOCKDOWN.read_text(encoding="ascii") if _LOCKDOWN.exists() else "[none]"
    if "[confidentiality]" in mode:
        to_do = "boot with lockdown=integrity or without lock-down: BPF may not read memory now"
        yield failed("kernel lock-down", "confidentiality", to_do)


def _check_loader(config: AgentSightConfig) -> Iterator[Check]:
    name = "kernel type information"
    if chosen(config.capture.loader) == "bcc":
        try:
            headers = find_headers(config.capture.kernel_headers)
            check_release(headers)
        except ProbeError as error:
            yield failed(name, str(error), "install the headers and BCC, or boot a kernel with BTF")
        else:
            yield passed(name, f"by BCC from the headers in {headers.build}")
    elif BTF.exists():
        yield passed(name, f"{BTF}, {size(BTF.stat().st_size)}")
    else:
        yield failed(name, f"{BTF} is missing", "let capture.loader be auto or bcc")


def check_privileges(_: AgentSightConfig) -> Iterator[Check]:
    """Check what this process may do."""
    held = effective_capabilities(Path("/proc/self/status").read_text(encoding="ascii"))
    missing = [name for name, bit in _NEEDED.items() if not held >> bit & 1]
    if held >> _CAP_SYS_ADMIN & 1 or not missing:
        yield passed("privileges", "root" if os.geteuid() == 0 else "capabilities")
    else:
        to_do = "run with sudo (`replay` and `config check` need no privileges)"
        yield failed("privileges", f"without {', '.join(missing)}", to_do)


def effective_capabilities(status: str) -> int:
    """Return the bits of the effective capabilities in the text of /proc/PID/status."""
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return int(match[1], 16) if match else 0


def check_libbpf(_: AgentSightConfig) -> Iterator[Check]:
    """Check the library that loads the programs."""
    try:
        library = libbpf.library()
    except libbpf.LibraryError as error:
        yield failed("libbpf", str(error), "install libbpf 1.0 or newer: apt-get install libbpf1")
        return
    yield passed("libbpf", f"{library.libbpf_major_version()}.{library.libbpf_minor_version()}")


def check_objects(_: AgentSightConfig) -> Iterator[Check]:
    """Look for the compiled programs and the drain."""
    folder = Path(libbpf.__file__).parent
    for name, pattern in (("BPF programs", "*.bpf.o"), ("drain", "_drain*.so")):
        files = sorted(folder.glob(pattern))
        if files:
            found = ", ".join(f"{file.name} {size(file.stat().st_size)}" for file in files)
            yield passed(name, found)
        else:
            yield failed(name, f"no {pattern} in {folder}", _BUILD)


def check_load(config: AgentSightConfig) -> Iterator[Check]:
    """Load all programs with the configured ring buffer, attach to a TLS library, end it again."""
    try:
        from agentsight_agent.bpf.control import KernelSettings  # noqa: PLC0415  an import that fails is a finding here, no crash
        from agentsight_agent.bpf.kernel import Kernel  # noqa: PLC0415  as above
        from agentsight_agent.tls.discovery import TlsFile, inspect  # noqa: PLC0415  as above
        from agentsight_agent.tls.libraries import standard_libraries  # noqa: PLC0415  as above
    except ImportError as error:
        yield failed("loading the programs", str(error), _BUILD)
        return
    try:
        settings = KernelSettings(
            ring_bytes=config.capture.ring_bytes,
            loader=config.capture.loader,
            kernel_headers=config.capture.kernel_headers,
        )
        with Kernel(settings) as loaded:
            for unseen in loaded.unseen:
                yield passed("not seen with BCC", unseen)
            ring = f"ring buffer {size(config.capture.ring_bytes)}"
            yield passed("loading the programs", f"verified and attached; {ring}")
            found = (inspect(path) for path in standard_libraries())
            library = next((item for item in found if isinstance(item, TlsFile)), None)
            if library is None:
                yield passed("uprobes", "no TLS library here to try; programs may bring their own")
                return
            loaded.attach_tls(library.path, library.hooks).close()
            yield passed("uprobes", f"attached to {library.path} and detached")
    except AgentSightError as error:
        to_do = "see the checks above; in a container, run it privileged on the host's kernel"
        yield failed("loading the programs", str(error), to_do)

"""How the programs come into the kernel where it has no BTF; `every_loader` marks what they see."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from agentsight_agent.bpf import bcc_objects
from agentsight_agent.bpf.bcc import find_headers, with_descriptors
from agentsight_agent.bpf.bcc_objects import BccObject
from agentsight_agent.bpf.objects import ProbeError, compiled_for

pytestmark = pytest.mark.kernel

# What a program sees of a kernel without BTF: nothing where it would be.
WITHOUT_BTF = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf; exec "$@"')


def installed_headers() -> Path:
    *_, found = sorted(Path("/lib/modules").glob("*/build/include/generated/utsrelease.h"))
    return found.parents[3]


def test_without_btf_the_doctor_says_what_to_install(tmp_path) -> None:
    doctor = [Path(sys.executable).with_name("agentsight"), "doctor", "--json"]
    environment = {**os.environ, "AGENTSIGHT_CAPTURE_KERNEL_HEADERS": str(tmp_path)}
    answer = subprocess.run(
        [*WITHOUT_BTF, "sh", *doctor], capture_output=True, check=False, env=environment
    )
    checks = {check["name"]: check for check in json.loads(answer.stdout)["checks"]}
    assert not checks["kernel type information"]["ok"]
    found = checks["kernel type information"]["found"]
    assert str(tmp_path) in found
    assert "apt-get install libbpfcc linux-headers-$(uname -r)" in found


def test_without_btf_bcc_is_chosen(kernel_layout) -> None:
    script = """
import sys
from pathlib import Path
from agentsight_agent.bpf.control import KernelSettings
from agentsight_agent.bpf.kernel import Kernel
headers, layout = map(Path, sys.argv[1:])
with Kernel(KernelSettings(kernel_headers=headers, kernel_layout=layout)) as kernel:
    print(len(kernel.unseen), kernel.counters().lost_records)
"""
    answer = subprocess.run(
        [
            *WITHOUT_BTF,
            "sh",
            sys.executable,
            "-c",
            script,
            installed_headers(),
            kernel_layout,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.stdout, answer.stderr) == ("3 0\n", "")


def test_headers_of_another_kernel_are_refused(tmp_path) -> None:
    named = tmp_path / "build/include/generated/utsrelease.h"
    named.parent.mkdir(parents=True)
    named.write_text('#define UTS_RELEASE "5.10.0-1-amd64"\n')
    with pytest.raises(ProbeError, match=r"of kernel 5\.10\.0-1-amd64, but"):
        BccObject(compiled_for(platform.machine()), tmp_path, None)


def test_the_headers_of_the_distribution_compile_and_the_verifier_agrees(monkeypatch) -> None:
    # Nothing runs: with headers of another kernel the fields are at wrong places.
    monkeypatch.setattr(bcc_objects, "check_release", lambda _: None)
    programs = BccObject(compiled_for(platform.machine()), installed_headers(), None)
    try:
        programs.load()
        assert len(programs.program_fds()) > 20
    finally:
        programs.close()


def test_what_bcc_cannot_compile_is_told_with_the_compilers_words(tmp_path) -> None:
    layout = tmp_path / "layout.h"
    layout.write_text("struct task_struct {};\n")
    programs = BccObject(compiled_for(platform.machine()), installed_headers(), layout)
    with pytest.raises(ProbeError, match="no member named 'mm'"):
        programs.load()
    programs.close()


def test_source_and_build_of_debians_headers_are_found() -> None:
    headers = find_headers(installed_headers())
    assert (headers.source / "include/linux/sched.h").exists()
    assert (headers.build / "include/generated/autoconf.h").exists()


def test_descriptors_take_the_place_of_indices_in_map_loads_only() -> None:
    of_map = bytes.fromhex("1811000001000000 0000000000000000")
    of_value = bytes.fromhex("1822000000000000 0000000004000000")
    constant = bytes.fromhex("1801000001000000 0000000000000000")
    exit_ = bytes.fromhex("9500000000000000")
    linked = with_descriptors(of_map + constant + of_value + exit_, [40, 50])
    assert linked == (
        bytes.fromhex("1811000032000000 0000000000000000")
        + constant
        + bytes.fromhex("1822000028000000 0000000004000000")
        + exit_
    )

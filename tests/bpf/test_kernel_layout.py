"""Programs and drain come from different compilers: they must mean the same bytes."""

import struct
from pathlib import Path

import pytest
from agentsight_agent.bpf import _drain, counters, kernel
from agentsight_agent.bpf.objects import ProbeError, compiled_for
from elftools.elf.elffile import ELFFile

pytestmark = pytest.mark.kernel

# Sizes of what follows struct btf_type by kind (kernel.org, Documentation/bpf/btf.rst).
TRAILER_BYTES = {1: 4, 3: 12, 14: 4, 17: 4}
MEMBER_BYTES = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
STRUCT = 4


def structures(path: Path) -> dict[str, dict[str, int]]:
    """Read the structures of an object's BTF: name to {field: offset, "": size}."""
    with path.open("rb") as file:
        data = ELFFile(file).get_section_by_name(".BTF").data()
    header_bytes, types_at, types_bytes, strings_at, _ = struct.unpack_from("<4x5I", data)
    found: dict[str, dict[str, int]] = {}

    def text(offset: int) -> str:
        start = header_bytes + strings_at + offset
        return data[start : data.index(b"\0", start)].decode()

    at = header_bytes + types_at
    end = at + types_bytes
    while at < end:
        name, info, size = struct.unpack_from("<III", data, at)
        kind, count = info >> 24 & 0x1F, info & 0xFFFF
        at += 12
        if kind == STRUCT:
            members = list(struct.iter_unpack("<III", data[at : at + 12 * count]))
            fields = {text(member): (bits & 0xFFFFFF) // 8 for member, _, bits in members}
            found[text(name)] = {**fields, "": size}
        at += TRAILER_BYTES.get(kind, 0) + MEMBER_BYTES.get(kind, 0) * count
    return found


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_records_have_the_same_layout_on_both_sides(machine: str) -> None:
    programs = structures(compiled_for(machine))
    assert len(_drain.LAYOUT) >= 10
    for name, expected in _drain.LAYOUT.items():
        assert {field: programs[name][field] for field in expected} == expected, name


def test_python_packs_what_the_programs_unpack() -> None:
    layout = _drain.LAYOUT
    assert kernel._SETTINGS.size == layout["load_settings"][""]
    assert kernel._CONTROL.size == layout["control_values"][""]
    assert counters._COUNTERS.size == layout["class_counters"][""]
    in_order = sorted(layout["class_counters"].items(), key=lambda item: item[1])
    assert [name for name, _ in in_order if name] == list(
        counters.ClassCounters.__dataclass_fields__
    )


def test_a_machine_without_programs_is_named() -> None:
    with pytest.raises(ProbeError, match="riscv64, only for: aarch64, x86_64"):
        compiled_for("riscv64")

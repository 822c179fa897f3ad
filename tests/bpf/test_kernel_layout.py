"""Programs and drain come from different compilers: they must mean the same bytes."""

import pytest
from agentsight_agent.bpf import _drain, control, counters
from agentsight_agent.bpf.objects import ProbeError, compiled_for
from agentsight_core.testing.btf import Btf
from elftools.elf.elffile import ELFFile

pytestmark = pytest.mark.kernel


def programs_of(machine: str) -> Btf:
    with compiled_for(machine).open("rb") as file:
        return Btf(ELFFile(file).get_section_by_name(".BTF").data())


def names_in_order(fields: dict[str, int]) -> list[str]:
    return [name for name, _ in sorted(fields.items(), key=lambda item: item[1]) if name]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_records_have_the_same_layout_on_both_sides(machine: str) -> None:
    programs = programs_of(machine)
    assert len(_drain.LAYOUT) >= 10
    for name, expected in _drain.LAYOUT.items():
        assert {field: programs.fields(name)[field] for field in expected} == expected, name


def test_python_packs_what_the_programs_unpack() -> None:
    layout = _drain.LAYOUT
    assert control._SETTINGS.size == layout["load_settings"][""]
    assert control._CONTROL.size == layout["control_values"][""]
    fields = programs_of("x86_64").fields("control_values")
    assert names_in_order(fields) == list(control.Control.__dataclass_fields__)
    assert counters._COUNTERS.size == layout["class_counters"][""]
    assert names_in_order(layout["class_counters"]) == list(
        counters.ClassCounters.__dataclass_fields__
    )


def test_a_machine_without_programs_is_named() -> None:
    with pytest.raises(ProbeError, match="riscv64, only for: aarch64, x86_64"):
        compiled_for("riscv64")

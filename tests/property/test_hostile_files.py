"""Files and texts of watched programs can be anything: the answer is always a value or ElfError."""

from __future__ import annotations

from pathlib import Path

from agentsight_agent.enrich.agent_names import agent_name
from agentsight_agent.enrich.containers import container_id
from agentsight_agent.tls.discovery import find_hooks
from agentsight_agent.tls.elf import Elf, ElfError
from agentsight_agent.tls.emulated import cheap_offset, shared_internal
from agentsight_agent.tls.x86 import decode
from hypothesis import given, settings
from hypothesis import strategies as st

LIBSSL = Path("/usr/lib/x86_64-linux-gnu/libssl.so.3").read_bytes()
HEADER_BYTES = 64
SECTION_HEADERS_AT = int.from_bytes(LIBSSL[40:48], "little")

place = st.one_of(
    st.integers(0, HEADER_BYTES * 12),
    st.integers(SECTION_HEADERS_AT, len(LIBSSL) - 1),
)
value = st.sampled_from([b"\0", b"\xff", b"\x7f", b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(place, value), min_size=1, max_size=6), st.integers(0, len(LIBSSL)))
def test_damaged_library(tmp_path_factory, damages: list[tuple[int, bytes]], length: int) -> None:
    data = bytearray(LIBSSL)
    for at, content in damages:
        data[at : at + len(content)] = content
    path = tmp_path_factory.getbasetemp() / "damaged.so"
    path.write_bytes(data if length % 3 else data[:length])
    try:
        with Elf(str(path)) as elf:
            hooks = find_hooks(elf)
    except ElfError:
        return
    assert len(hooks) <= 5


@given(st.binary(max_size=64))
def test_any_bytes_as_code(code: bytes) -> None:
    instruction = decode(code)
    if instruction is not None:
        assert 0 < len(instruction.code) <= min(15, len(code))
        # What follows an instruction does not change it.
        assert decode(code[: len(instruction.code)]) == instruction
    offset = cheap_offset(code, returns=True)
    assert offset is None or 0 <= offset < len(code)
    shared_internal(code, 0, code, 0)


@given(st.text(max_size=300))
def test_any_text_as_cgroup(text: str) -> None:
    assert len(container_id(text)) <= 64 or "-" in container_id(text)


@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=5), st.text(max_size=16))
def test_any_text_as_command_line(exe: str, argv: list[str], comm: str) -> None:
    assert isinstance(agent_name(exe, argv, comm), str)

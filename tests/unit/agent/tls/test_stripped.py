"""OpenSSL 3 without symbols: its internals are found, and how the length is told."""

import subprocess
from pathlib import Path

import pytest
from agentsight_agent.bpf.hooks import HookKind
from agentsight_agent.tls.discovery import TlsFile, Unhookable, inspect
from agentsight_agent.tls.elf import Elf
from agentsight_agent.tls.reasons import Reason
from hypothesis import given, settings
from hypothesis import strategies as st

# What OpenSSL does as far as the search goes: errors with __func__, plain entries with a local.
SOURCE = """
#include <stddef.h>
int raised(const char *function);
__attribute__((noipa)) int raised(const char *function) { return -function[0]; }
__attribute__((noipa)) int ssl_read_internal(void *s, void *b, size_t n, size_t *done)
{ if (!s) return raised(__func__); *done = n; return 1; }
__attribute__((noipa)) int ssl_write_internal(void *s, const void *b, size_t n, %s size_t *done)
{ if (!s) return raised(__func__); *done = n; return 1; }
__attribute__((noipa)) int SSL_read(void *s, void *b, int n)
{ size_t done = 0; return ssl_read_internal(s, b, n, &done) > 0 ? (int)done : -1; }
__attribute__((noipa)) int SSL_write(void *s, const void *b, int n)
{ size_t done = 0; return ssl_write_internal(s, b, n, %s &done) > 0 ? (int)done : -1; }
int main(int argc, char **argv) { return SSL_read(argv, argv, argc) + SSL_write(argv, argv, argc); }
"""


def build(folder: Path, source: str, *flags: str) -> tuple[str, dict[str, int]]:
    """Return a stripped program and where its internals are."""
    program = str(folder / "program")
    command = ["gcc", "-O2", "-x", "c", *flags, "-o", program, "-"]
    subprocess.run(command, input=source.encode(), check=True)
    with Elf(program) as elf:
        symbols = elf.functions(["ssl_read_internal", "ssl_write_internal"])
        places = {name: elf.file_offset(one.address) for name, one in symbols.items()}
    subprocess.run(["strip", program], check=True)
    return program, {name: place for name, place in places.items() if place is not None}


@pytest.mark.parametrize("flags", [(), ("-no-pie",), ("-fno-asynchronous-unwind-tables",)])
@pytest.mark.parametrize(
    ("parameter", "argument", "kind"),
    [("", "", HookKind.WRITE_EX), ("unsigned long flags,", "0,", HookKind.WRITE_EX2)],
)
def test_internals_are_found(
    tmp_path: Path, flags: tuple[str, ...], parameter: str, argument: str, kind: HookKind
) -> None:
    program, places = build(tmp_path, SOURCE % (parameter, argument), *flags)
    found = inspect(program, executable=True)
    assert isinstance(found, TlsFile)
    hooks = {hook.kind: hook.offset for hook in found.hooks}
    assert hooks.keys() == {HookKind.READ_EX, kind}
    # A few bytes behind the beginning, where a probe is cheap.
    assert 0 <= hooks[HookKind.READ_EX] - places["ssl_read_internal"] < 8
    assert 0 <= hooks[kind] - places["ssl_write_internal"] < 8


def test_two_functions_that_could_be_meant_are_none(tmp_path: Path) -> None:
    twice = SOURCE % ("", "") + (
        "__attribute__((noipa, used)) int other(void) { return raised(); }".replace(
            "raised()", 'raised("ssl_write_internal")'
        )
    )
    program, _ = build(tmp_path, twice)
    found = inspect(program, executable=True)
    assert isinstance(found, Unhookable)
    assert found.reason is Reason.OPENSSL


@pytest.fixture(scope="module")
def stripped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stripped")
    return Path(build(folder, SOURCE % ("", ""))[0])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_program_is_no_crash(stripped: Path, data: st.DataObject) -> None:
    content = bytearray(stripped.read_bytes())
    tables = int.from_bytes(content[40:48], "little")
    place = st.one_of(st.integers(0, 1023), st.integers(tables, len(content) - 8))
    value = st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\xff", b"\0"])
    for at, new in data.draw(st.lists(st.tuples(place, value), min_size=1, max_size=4)):
        content[at : at + len(new)] = new
    damaged = stripped.with_name("damaged")
    damaged.write_bytes(content)
    inspect(str(damaged), executable=True)

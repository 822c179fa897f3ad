"""Discovery on the real files of this machine, and on ELF files made for the purpose."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from agentsight_agent.bpf.hooks import HookKind
from agentsight_agent.tls.discovery import TlsFile, Unhookable, inspect
from agentsight_agent.tls.elf import Elf, ElfError
from agentsight_agent.tls.reasons import Reason
from elftools.elf.elffile import ELFFile

LIBSSL = "/usr/lib/x86_64-linux-gnu/libssl.so.3"
NAMES = ("SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex", "SSL_free")

FAKE_TLS = """
int SSL_read(void *s, void *b, int n) { return n; }
int SSL_write(void *s, const void *b, int n) { return n; }
%s
void SSL_free(void *s) {}
"""
EX_CALLS_PLAIN = """
int SSL_read_ex(void *s, void *b, unsigned long n, unsigned long *r)
{ int got = SSL_read(s, b, (int)n); *r = got > 0 ? got : 0; return got > 0; }
"""


# What gcc makes of OpenSSL 3.0: both entries change the stack, then call the same function.
ASSEMBLY = """
.macro entries name
.type inner_\\name, @function
inner_\\name: push %rbx; mov $1, %eax; pop %rbx; ret
.globl SSL_\\name
.type SSL_\\name, @function
SSL_\\name: sub $24, %rsp; test %edx, %edx; js 1f; lea 8(%rsp), %rcx; movslq %edx, %rdx
call inner_\\name
1: add $24, %rsp; ret
.size SSL_\\name, . - SSL_\\name
.globl SSL_\\name\\()_ex
.type SSL_\\name\\()_ex, @function
SSL_\\name\\()_ex: sub $8, %rsp; call inner_\\name; add $8, %rsp; ret
.size SSL_\\name\\()_ex, . - SSL_\\name\\()_ex
.endm
.text
entries read
entries write
.section .note.GNU-stack, "", @progbits
"""


def compile_c(source: str, target: Path, *flags: str) -> str:
    gcc = shutil.which("gcc")
    assert gcc, "the set-up installs gcc"
    subprocess.run(
        [gcc, "-x", "c", "-w", "-fno-builtin", *flags, "-o", str(target), "-"],
        input=source.encode(),
        check=True,
    )
    return str(target)


def reference_symbols(path: str) -> dict[str, int]:
    with Path(path).open("rb") as file:
        elf = ELFFile(file)
        table = elf.get_section_by_name(".dynsym")
        return {s.name: s["st_value"] for s in table.iter_symbols() if s.name in NAMES}


def test_symbols_agree_with_pyelftools() -> None:
    with Elf(LIBSSL) as elf:
        found = {name: symbol.address for name, symbol in elf.functions(NAMES).items()}
    assert found == reference_symbols(LIBSSL)
    assert set(found) == set(NAMES)


def test_system_libssl_is_hooked_so_that_each_byte_is_seen_once() -> None:
    found = inspect(LIBSSL)
    assert isinstance(found, TlsFile)
    kinds = {hook.kind for hook in found.hooks}
    # Either the two internals behind all four entries, or all entries.
    assert kinds >= {HookKind.READ_EX, HookKind.WRITE_EX, HookKind.FREE}
    assert (HookKind.READ in kinds) == (HookKind.WRITE in kinds)
    assert len(found.hooks) == len(set(found.hooks))


def test_hooks_of_libssl_lie_on_instructions_that_objdump_sees() -> None:
    found = inspect(LIBSSL)
    assert isinstance(found, TlsFile)
    text = subprocess.run(
        ["objdump", "-d", "-w", "--no-show-raw-insn", LIBSSL],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    instructions = {}
    for line in text.splitlines():
        address, _, rest = line.partition(":\t")
        if rest and address.strip():
            instructions[int(address, 16)] = rest.split()[0]
    # Code of shared libraries is at the same place in file and memory here.
    cheap = {"push", "call", "jmp", "je", "jne", "js", "nop"}
    entries = set(reference_symbols(LIBSSL).values())
    for hook in found.hooks:
        assert instructions[hook.offset] in cheap or hook.offset in entries


def test_statically_linked_node() -> None:
    found = inspect(os.path.realpath(str(shutil.which("node"))), executable=True)
    if found is None:
        pytest.skip("this node uses the system's libssl")
    assert isinstance(found, TlsFile)
    assert {hook.kind for hook in found.hooks} >= {HookKind.READ_EX, HookKind.WRITE_EX}


@pytest.mark.parametrize("flags", [("-shared", "-fPIC"), ("-shared", "-fPIC", "-s")])
def test_any_library_that_defines_the_functions(tmp_path: Path, flags: tuple[str, ...]) -> None:
    path = compile_c(FAKE_TLS % "", tmp_path / "libother.so", *flags)
    found = inspect(path)
    assert isinstance(found, TlsFile)
    assert [h.kind for h in found.hooks] == [HookKind.READ, HookKind.WRITE, HookKind.FREE]


def test_symbols_of_an_executable_that_exports_nothing(tmp_path: Path) -> None:
    source = FAKE_TLS % "" + "int main() { return SSL_read(0, 0, 0) + SSL_write(0, 0, 0); }"
    path = compile_c(source, tmp_path / "program")
    assert isinstance(inspect(path, executable=True), TlsFile)
    subprocess.run(["strip", path], check=True)
    assert inspect(path, executable=True) is None


def test_internals_behind_expensive_entries(tmp_path: Path) -> None:
    source = tmp_path / "ssl.s"
    source.write_text(ASSEMBLY)
    path = str(tmp_path / "libssl.so.3")
    subprocess.run(["gcc", "-shared", "-o", path, str(source)], check=True)
    with Elf(path) as elf:
        inner = elf.functions(["inner_read", "inner_write"])  # local: only .symtab has them
        exported = elf.functions(NAMES)
    assert set(exported) == {"SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex"}
    found = inspect(path)
    assert isinstance(found, TlsFile)
    assert [(h.kind, h.offset) for h in found.hooks] == [
        (HookKind.READ_EX, inner["inner_read"].address),
        (HookKind.WRITE_EX, inner["inner_write"].address),
    ]


def test_an_ex_entry_that_calls_the_plain_one_is_not_hooked(tmp_path: Path) -> None:
    flags = ("-shared", "-fPIC", "-Wl,-Bsymbolic", "-fvisibility=protected", "-fno-inline")
    path = compile_c(FAKE_TLS % EX_CALLS_PLAIN, tmp_path / "libressl.so", *flags)
    found = inspect(path)
    assert isinstance(found, TlsFile)
    assert [h.kind for h in found.hooks] == [HookKind.READ, HookKind.WRITE, HookKind.FREE]


def test_reasons(tmp_path: Path) -> None:
    old = 'const char *file = "ssl/ssl_lib.c"; int main() { return *file; }'
    openssl = compile_c(old, tmp_path / "agent", "-s")
    plain = compile_c("int x;", tmp_path / "libjvm.so", "-shared")
    empty = compile_c("int x;", tmp_path / "libssl.so.9", "-shared")
    text = tmp_path / "libssl.so.8"
    text.write_text("GROUP ( libssl.so.9 )")
    reasons = {}
    for path in (openssl, plain, empty, str(text)):
        found = inspect(path, executable=path == openssl)
        assert isinstance(found, Unhookable)
        reasons[found.name] = found.reason
    assert reasons == {
        "agent": Reason.OPENSSL,
        "libjvm.so": Reason.JAVA,
        "libssl.so.9": Reason.NO_FUNCTIONS,
        "libssl.so.8": Reason.NO_ELF,
    }


def test_files_without_tls_are_nothing() -> None:
    assert inspect("/bin/sh", executable=True) is None
    assert inspect(__file__) is None


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    good = Path(LIBSSL).read_bytes()[:4096]
    cases = {
        "cut": good[:40],
        "tables": good[:64],
        # Section headers at 2^63.
        "far": good[:40] + (1 << 63).to_bytes(8, "little") + good[48:],
    }
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ElfError):
            Elf(str(path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ElfError):
        Elf(str(tmp_path / "pipe"))

"""The real kernel, and programs that give it something to see."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from agentsight_agent.bpf.control import KernelSettings
from agentsight_agent.bpf.hooks import HookKind, TlsHook
from agentsight_agent.bpf.kernel import Kernel
from agentsight_agent.bpf.records import Item, ProcessRecord, Segment, TlsDuplex, TlsRun
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.kernel_layout import running_layout
from elftools.elf.elffile import ELFFile

TESTERS = Path(__file__).parent / "testers"
SESSION = 0x5E55
DEADLINE_S = 30

EXPORTED = {
    HookKind.READ: "SSL_read",
    HookKind.WRITE: "SSL_write",
    HookKind.READ_EX: "SSL_read_ex",
    HookKind.WRITE_EX: "SSL_write_ex",
    HookKind.FREE: "SSL_free",
}


@dataclass
class Seen:
    """Everything that was drained."""

    items: list[Item] = field(default_factory=list)
    records: int = 0
    lost_records: int = 0

    def runs(self, *, written: bool, pid: int | None = None) -> list[TlsRun]:
        runs: list[TlsRun] = []
        for item in self.items:
            if isinstance(item, TlsDuplex):
                runs += (item.first, item.second)
            elif isinstance(item, TlsRun):
                runs.append(item)
        return [run for run in runs if run.written == written and (pid is None or run.pid == pid)]

    def of(self, kind: type) -> list[Any]:
        return [item for item in self.items if isinstance(item, kind)]

    def events(self) -> list[pb.Event]:
        """All protobuf events, in order."""
        events: list[pb.Event] = []
        for item in self.items:
            if isinstance(item, ProcessRecord):
                events.append(pb.Event.FromString(item.event))
            elif isinstance(item, Segment):
                batch = pb.EventBatch.FromString(item.data).events
                assert len(batch) == item.count
                assert {event.session for event in batch} == {item.session}
                events.extend(batch)
        return events


class Watch:
    """A kernel and what it gave so far."""

    session = SESSION

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.seen = Seen()

    def track(self, pid: int) -> None:
        self.kernel.track(pid, SESSION)

    def drain(self) -> Seen:
        offset_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        more = True
        while more:
            drained = self.kernel.drain(offset_ns)
            self.seen.items += drained.items
            self.seen.records += drained.records
            self.seen.lost_records += drained.lost_records
            more = drained.more
        return self.seen

    def until(self, condition: Callable[[Seen], object]) -> Seen:
        deadline = time.monotonic() + DEADLINE_S
        while not condition(self.drain()):
            assert time.monotonic() < deadline, f"not seen; last items: {self.seen.items[-5:]}"
            time.sleep(0.005)
        return self.seen

    def until_exit(self, pid: int) -> Seen:
        return self.until(
            lambda seen: any(
                record.kind == "exited" and record.pid == pid for record in seen.of(ProcessRecord)
            )
        )


class Tester:
    """A child that waits for one line on its standard input before it does anything."""

    def __init__(self, *command: str | Path) -> None:
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def say(self, text: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def ask(self, text: str) -> Any:
        """Give a command and return its answer."""
        self.say(text)
        return json.loads(self.line())

    def finish(self) -> int:
        self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=DEADLINE_S)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let tests that are marked so run with every loader."""
    if metafunc.definition.get_closest_marker("every_loader"):
        metafunc.parametrize("loader", ["btf", "bcc"], indirect=True)


@pytest.fixture(scope="session")
def kernel_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a C header with the structures of this kernel, of which there are no headers."""
    declared = Path(__file__).parents[2] / "bpf/include/kernel.h"
    path = tmp_path_factory.mktemp("layout") / "layout.h"
    path.write_text(running_layout(declared.read_text()))
    return path


@pytest.fixture
def loader(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings of the loader: `btf`, where a test says nothing else."""
    if getattr(request, "param", "btf") == "btf":
        return {"loader": "btf"}
    if Path("/lib/modules", os.uname().release, "build").exists():
        return {"loader": "bcc"}
    # Those of the distribution's kernel: with the structures of the running one beside them.
    *_, headers = sorted(Path("/lib/modules").glob("*/build/include/generated/utsrelease.h"))
    layout = request.getfixturevalue("kernel_layout")
    return {"loader": "bcc", "kernel_headers": headers.parents[3], "kernel_layout": layout}


@pytest.fixture
def watch(loader: dict[str, Any]) -> Iterator[Callable[..., Watch]]:
    """Make a Watch with the given settings."""
    kernels: list[Kernel] = []

    def make(**settings: Any) -> Watch:
        kernels.append(Kernel(KernelSettings(**loader, **settings)))
        return Watch(kernels[-1])

    yield make
    for kernel in kernels:
        kernel.close()


@pytest.fixture
def tester() -> Iterator[Callable[..., Tester]]:
    """Start a tester; it is killed when the test ends."""
    testers: list[Tester] = []

    def start(*command: str | Path) -> Tester:
        testers.append(Tester(*command))
        return testers[-1]

    yield start
    for one in testers:
        one.kill()


@pytest.fixture
def tls_tester(tester: Callable[..., Tester]) -> Callable[[], Tester]:
    """Start the TLS tester."""
    return lambda: tester(sys.executable, TESTERS / "tls_talker.py")


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compile `testers/<name>.c`."""

    def build(name: str) -> Path:
        program = tmp_path_factory.mktemp("testers") / name
        subprocess.run(
            ["gcc", "-Wall", "-Werror", "-o", program, TESTERS / f"{name}.c"], check=True
        )
        return program

    return build


def libssl_path() -> str:
    """The library that this Python has loaded."""
    assert ssl.OPENSSL_VERSION
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split()[-1]
        if "libssl" in Path(path).name:
            return path
    raise AssertionError("this Python does not load libssl as a library")


def file_offsets(path: str, names: set[str]) -> dict[str, int]:
    with Path(path).open("rb") as file:
        elf = ELFFile(file)
        loaded = [part for part in elf.iter_segments() if part["p_type"] == "PT_LOAD"]
        return {
            symbol.name: symbol["st_value"] - part["p_vaddr"] + part["p_offset"]
            for symbol in elf.get_section_by_name(".dynsym").iter_symbols()
            if symbol.name in names
            for part in loaded
            if 0 <= symbol["st_value"] - part["p_vaddr"] < part["p_filesz"]
        }


@pytest.fixture(scope="session")
def libssl() -> tuple[str, list[TlsHook]]:
    """The library and its exported entries."""
    path = libssl_path()
    offsets = file_offsets(path, set(EXPORTED.values()))
    return path, [TlsHook(kind, offsets[name]) for kind, name in EXPORTED.items()]

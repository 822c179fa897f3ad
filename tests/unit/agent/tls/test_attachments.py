"""When files are looked at, hooked and let go; with a /proc made of files and a clock of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from agentsight_agent.bpf.hooks import TlsHook
from agentsight_agent.tls import files
from agentsight_agent.tls.attachments import Attachments, AttachmentSettings
from agentsight_agent.tls.discovery import TlsFile, inspect
from agentsight_agent.tls.reasons import Reason
from agentsight_core.errors import AgentSightError

MS = 1_000_000
SOURCE = (
    b"int SSL_read(void) { return 0; } int SSL_write(void) { return 1; } void SSL_free(void) {}"
)


class Link:
    def __init__(self, attached: list[str], path: str) -> None:
        self._attached, self._path = attached, path

    def close(self) -> None:
        self._attached.remove(self._path)


class FakeKernel:
    """Remembers what is attached."""

    def __init__(self) -> None:
        self.attached: list[str] = []
        self.refusal = ""
        self.attempts = 0

    def attach_tls(self, path: str, hooks: list[TlsHook]) -> Link:
        assert hooks
        self.attempts += 1
        if self.refusal:
            raise AgentSightError(self.refusal)
        self.attached.append(path)
        return Link(self.attached, path)


class FakeProc:
    """Processes that have files mapped."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "self" / "ns").mkdir(parents=True)
        (root / "self" / "ns" / "mnt").symlink_to("mnt:[1]")

    def run(self, pid: int, *mapped: str, exe: str = "/bin/true", mounts: str = "mnt:[1]") -> None:
        directory = self.root / str(pid)
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "ns").mkdir(parents=True)
        (directory / "ns" / "mnt").symlink_to(mounts)
        (directory / "exe").symlink_to(exe)
        (directory / "root").symlink_to("/")
        lines = [
            f"7f00{index:04x}0000-7f00{index:04x}1000 r-xp 0 08:01 {Path(path).stat().st_ino}"
            f"                 {path}\n"
            for index, path in enumerate(mapped)
        ]
        (directory / "maps").write_text("".join(lines) or "00400000-00401000 r-xp 0 00:00 0\n")

    def end(self, pid: int) -> None:
        shutil.rmtree(self.root / str(pid))


@pytest.fixture
def library(tmp_path: Path) -> str:
    path = tmp_path / "site-packages" / "x.libs" / "libssl-0a1b.so.3"
    path.parent.mkdir(parents=True)
    subprocess.run(
        ["gcc", "-x", "c", "-shared", "-fPIC", "-o", str(path), "-"], input=SOURCE, check=True
    )
    return str(path)


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path / "proc")


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


def watching(kernel: FakeKernel, proc: FakeProc, **settings) -> Attachments:
    return Attachments(kernel, AttachmentSettings(**settings), proc=str(proc.root))


def test_a_file_is_hooked_once_for_all_its_users(kernel, proc, library) -> None:
    attachments = watching(kernel, proc)
    for pid in (100, 101):
        proc.run(pid, library)
        attachments.on_exec(pid, 0)
    attachments.due(20 * MS)
    assert kernel.attached == [library]
    assert attachments.attached[0].users == {100, 101}
    attachments.on_exit(100)
    assert attachments.attached[0].users == {101}


def test_libraries_mapped_later_are_found_by_a_later_look(kernel, proc, library) -> None:
    attachments = watching(kernel, proc, looks_after_ns=(20 * MS, 100 * MS))
    proc.run(100)
    attachments.on_exec(100, 0)
    attachments.due(20 * MS)
    proc.run(100, library)
    attachments.due(99 * MS)
    assert kernel.attached == []
    attachments.due(100 * MS)
    assert kernel.attached == [library]


def test_a_library_loaded_after_all_looks_is_found_by_the_rescan(kernel, proc, library) -> None:
    attachments = watching(kernel, proc, looks_after_ns=(20 * MS,), rescan_ns=1_000 * MS)
    attachments.due(0)
    proc.run(100)
    attachments.on_exec(100, 0)
    attachments.due(20 * MS)
    proc.run(100, library)
    attachments.due(999 * MS)
    assert kernel.attached == []
    attachments.due(1_000 * MS)
    assert kernel.attached == [library]


def test_a_call_is_bounded_and_new_processes_go_before_a_rescan(kernel, proc, library) -> None:
    attachments = watching(kernel, proc, looks_per_call=2, rescan_ns=1_000 * MS)
    attachments.due(0)
    for pid in range(200, 210):
        proc.run(pid)
    attachments.due(1_000 * MS)  # the rescan has begun
    proc.run(100, library)
    attachments.on_exec(100, 1_000 * MS)
    attachments.due(1_020 * MS)
    assert kernel.attached == [library]


def test_a_container_is_hooked_at_its_first_exec(kernel, proc, library, tmp_path) -> None:
    root = tmp_path / "image"
    (root / "usr/lib").mkdir(parents=True)
    shutil.copy(library, root / "usr/lib/libssl.so.3")
    proc.run(100, mounts="mnt:[2]")
    (proc.root / "100" / "root").unlink()
    (proc.root / "100" / "root").symlink_to(root)
    attachments = watching(kernel, proc)
    attachments.on_exec(100, 0)
    assert kernel.attached == [f"{proc.root}/100/root/usr/lib/libssl.so.3"]


def test_an_executable_with_tls_code_is_hooked_at_once(kernel, proc, library) -> None:
    proc.run(100, exe=library)
    attachments = watching(kernel, proc)
    attachments.on_exec(100, 0)
    assert kernel.attached == [library]


def test_what_the_kernel_refuses_is_listed_while_it_is_used(kernel, proc, library) -> None:
    kernel.refusal = "no"
    proc.run(100, library)
    attachments = watching(kernel, proc)
    attachments.on_exec(100, 0)
    attachments.due(20 * MS)
    [uncaptured] = attachments.uncaptured
    assert (uncaptured.reason, uncaptured.detail) == (Reason.REFUSED, "no")
    assert uncaptured.users == {100}
    attachments.on_exit(100)
    assert attachments.uncaptured == ()


def test_what_is_not_seen_of_a_hooked_file_is_listed_too(
    kernel, proc, library, monkeypatch
) -> None:
    found = inspect(library)
    assert isinstance(found, TlsFile)
    partly = replace(found, unread=Reason.RUSTLS_RING)
    monkeypatch.setattr(files, "inspect", lambda *_, **__: partly)
    proc.run(100, exe=library)
    attachments = watching(kernel, proc)
    attachments.on_exec(100, 0)
    assert kernel.attached == [library]
    assert [(one.pid, one.reason) for one in attachments.unread] == [(100, Reason.RUSTLS_RING)]
    attachments.on_exit(100)
    assert attachments.unread == ()


def test_a_used_file_stays_hooked_when_it_is_deleted(kernel, proc, library) -> None:
    proc.run(100, library)
    attachments = watching(kernel, proc, rescan_ns=1_000 * MS)
    attachments.on_exec(100, 0)
    attachments.due(20 * MS)
    Path(library).unlink()
    attachments.due(2_000 * MS)
    assert kernel.attached == [library]
    proc.end(100)
    attachments.due(4_000 * MS)
    assert kernel.attached == []


def test_a_rewritten_file_is_let_go_at_once(kernel, proc, library) -> None:
    """Its hooks would be in the middle of other instructions."""
    proc.run(100, exe=library)
    attachments = watching(kernel, proc, rescan_ns=1_000 * MS, looks_per_call=0)
    attachments.on_exec(100, 0)
    attachments.due(0)
    assert attachments.attached[0].users == {100}
    os.utime(library, (1, 1))
    attachments.due(2_000 * MS)
    assert kernel.attached == []
    # Its new content is looked at anew.
    attachments.on_exec(100, 2_000 * MS)
    assert kernel.attached == [library]
    assert kernel.attempts == 2


def test_an_exec_ends_the_use_of_what_was_mapped_before(kernel, proc, library) -> None:
    proc.run(100, library)
    attachments = watching(kernel, proc)
    attachments.on_exec(100, 0)
    attachments.due(20 * MS)
    proc.run(100)
    attachments.on_exec(100, 30 * MS)
    assert attachments.attached[0].users == set()


def test_a_process_that_vanishes_is_no_error(kernel, proc) -> None:
    attachments = watching(kernel, proc)
    attachments.on_exec(12345, 0)
    attachments.due(20 * MS)
    attachments.on_exit(12345)
    assert attachments.attached == ()


def test_closing_detaches(kernel, proc, library) -> None:
    attachments = watching(kernel, proc)
    attachments.prepare([library])
    attachments.close()
    assert kernel.attached == []

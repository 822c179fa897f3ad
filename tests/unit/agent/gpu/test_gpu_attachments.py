"""Which libraries are hooked, when, and how often."""

import subprocess
import sys
from pathlib import Path

import pytest
from agentsight_agent.bpf.hooks import GpuOperation
from agentsight_agent.gpu.attachments import GpuAttachments

SOURCE = Path(__file__).parents[3] / "bpf" / "testers" / "libcuda.c"
CODE = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print('ready', flush=True); input()"
SECOND_NS = 1_000_000_000


class Link:
    is_open = True

    def close(self) -> None:
        self.is_open = False


class Kernel:
    """Remembers what was to be attached."""

    def __init__(self) -> None:
        self.attached = []
        self.links = []

    def attach_gpu(self, path, hooks):
        self.attached.append((path, hooks))
        self.links.append(Link())
        return self.links[-1]


@pytest.fixture
def user(tmp_path):
    """A process that has loaded a library with the driver's ABI."""
    library = tmp_path / "libcuda.so.1"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    with subprocess.Popen(
        [sys.executable, "-c", CODE, str(library)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        yield process.pid, library
        process.stdin.close()
        process.wait()


def test_a_library_is_hooked_once_some_time_after_the_start(user) -> None:
    pid, library = user
    kernel = Kernel()
    gpu = GpuAttachments(kernel)
    gpu.on_exec(pid, 0)
    gpu.due(0)
    assert kernel.attached == []
    gpu.due(SECOND_NS)
    gpu.due(100 * SECOND_NS)
    ((path, hooks),) = kernel.attached
    assert path == str(library)
    assert sorted(hook.operation for hook in hooks) == sorted(GpuOperation)
    assert not any(hook.runtime for hook in hooks)
    gpu.close()
    assert not kernel.links[0].is_open


def test_a_process_that_is_gone_or_uses_no_gpu_is_no_matter() -> None:
    kernel = Kernel()
    gpu = GpuAttachments(kernel)
    for pid in (1, 4_000_000):
        gpu.look(pid)
    assert kernel.attached == []

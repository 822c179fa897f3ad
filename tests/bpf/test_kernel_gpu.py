"""Calls of a library with the ABI of CUDA's driver, summed up by the real kernel; NVML's shares."""

import subprocess
import sys
from pathlib import Path

import pytest
from agentsight_agent.gpu.attachments import GpuAttachments
from agentsight_core.testing.recorded_run import record

pytestmark = pytest.mark.kernel

TESTERS = Path(__file__).parent / "testers"
CODE = """
import ctypes, sys
cuda = ctypes.CDLL(sys.argv[1])
print("ready", flush=True)
input()
address = ctypes.c_ulong()
cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(1 << 33))
cuda.cuMemcpyHtoD_v2(address, b"x" * 100, ctypes.c_size_t(100))
for _ in range(1000):
    cuda.cuLaunchKernel(address, 1, 1, 1, 32, 1, 1, 0, None, None, None)
for _ in range(3):
    cuda.cuStreamSynchronize(None)
cuda.cuMemFree_v2(address)
"""


@pytest.fixture(scope="module")
def libcuda(tmp_path_factory) -> Path:
    library = tmp_path_factory.mktemp("gpu") / "libcuda.so.1"
    source = TESTERS / "libcuda.c"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


@pytest.mark.parametrize("tracked", [True, False])
def test_calls_are_summed_up_per_process(watch, tester, libcuda, tracked) -> None:
    seen_by = watch()
    gpu = GpuAttachments(seen_by.kernel)
    python = tester(sys.executable, "-c", CODE, libcuda)
    gpu.look(python.pid)
    if tracked:
        seen_by.track(python.pid)
    python.say("go")
    assert python.finish() == 0
    if not tracked:
        assert not seen_by.drain().events()
        return
    events = seen_by.until_exit(python.pid).events()
    used = [event.gpu_used for event in events if event.HasField("gpu_used")]
    assert {event.pid for event in events} == {python.pid}
    assert sum(one.launches for one in used) == 1000
    assert sum(one.copies for one in used) == 1
    assert sum(one.copied_bytes for one in used) == 100
    assert sum(one.allocated_bytes for one in used) == 1 << 33
    assert sum(one.frees for one in used) == 1
    assert sum(one.synchronisations for one in used) == 3
    assert sum(one.synchronised_ns for one in used) >= 3 * 20_000_000
    assert not any(one.runtime for one in used)
    gpu.close()


def test_shares_that_nvml_tells_belong_to_the_processes_that_call_cuda(tmp_path, libcuda) -> None:
    library, asked = tmp_path / "libnvidia-ml.so.1", tmp_path / "asked"
    source = TESTERS / "libnvidia-ml.c"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    asked.touch()
    environment = {"LD_LIBRARY_PATH": str(tmp_path), "NVML_TEST_ASKED": str(asked)}
    command = [sys.executable, str(TESTERS / "gpu_worker.py"), str(libcuda), str(asked), "3"]
    run = record(command, tmp_path, environment, analyze=False)
    assert run.exit_status == 0, run.stderr
    used = [event for event in run.events if event.HasField("gpu_used")]
    sampled = [event for event in run.events if event.HasField("gpu_sampled")]
    assert {event.pid for event in sampled} == {event.pid for event in used}
    assert len(sampled) >= 2
    for event in sampled:
        (share,) = event.gpu_sampled.shares
        assert (share.device_uuid, share.device_name) == ("GPU-0", "Test GPU 0")
        assert (share.memory_bytes, share.device_memory_bytes) == (8 << 30, 9 << 30)
        assert (share.utilisation_percent, share.device_utilisation_percent) == (60, 70)
    first, second = (event.gpu_sampled.interval_ns for event in sampled[:2])
    assert (first, second) == (0, sampled[1].boot_ns - sampled[0].boot_ns)
    assert run.ledger["gpu"]["emitted"] == len(sampled)
    assert run.losses() == {}

"""NVML is asked beside the loop, and what it does not answer is counted."""

import ctypes
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agentsight_agent.gpu.metrics import GpuCollector
from agentsight_agent.gpu.nvml import LIBRARY
from agentsight_agent.gpu.sampling import Devices, GpuSampler
from agentsight_core.telemetry.ledger import Stage

SOURCE = Path(__file__).parents[3] / "bpf" / "testers" / "libnvidia-ml.c"
SECOND_NS = 1_000_000_000
DEADLINE_S = 30


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """A library with the ABI of NVML, loaded under its name."""
    path = tmp_path_factory.mktemp("nvml") / LIBRARY
    options = ["-O2", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}"]
    subprocess.run(["gcc", *options, "-o", path, SOURCE], check=True)
    ctypes.CDLL(str(path))
    return path


@pytest.fixture
def say(library, tmp_path, monkeypatch) -> Callable[[str], object]:
    """Have the library do something else from now on."""
    state = tmp_path / "state"
    state.touch()
    monkeypatch.setenv("NVML_TEST_STATE", str(state))
    return state.write_text


@pytest.fixture
def stage() -> Stage:
    return Stage("gpu", "samples")


@pytest.fixture
def sampler(say, stage) -> Iterator[GpuSampler]:
    sampler = GpuSampler(stage)
    yield sampler
    say("")
    sampler.close()


def until(condition: Callable[[], object]) -> object:
    end = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.002)
    return found


def answer(sampler: GpuSampler) -> Devices:
    return until(sampler.take)


def test_a_sample_has_all_gpus_and_what_the_driver_does_not_tell_is_none(sampler, stage) -> None:
    assert sampler.take() == ()
    sampler.ask(0)
    first, second = answer(sampler)
    assert (first.uuid, first.name, first.utilisation_percent) == ("GPU-0", "Test GPU 0", 70)
    assert (first.memory_bytes, first.total_bytes) == (9 << 30, 80 << 30)
    assert (second.uuid, second.utilisation_percent, second.memory_bytes) == ("GPU-1", None, 0)
    assert (stage.received, stage.emitted, stage.dropped) == (1, 1, {})
    samples = [
        one for family in GpuCollector(lambda: sampler.latest).collect() for one in family.samples
    ]
    assert {(one.name, one.labels["gpu"]): one.value for one in samples} == {
        ("agentsight_gpu_utilisation_ratio", "GPU-0"): 0.7,
        ("agentsight_gpu_memory_used_bytes", "GPU-0"): 9 << 30,
        ("agentsight_gpu_memory_used_bytes", "GPU-1"): 0,
        ("agentsight_gpu_memory_bytes", "GPU-0"): 80 << 30,
        ("agentsight_gpu_memory_bytes", "GPU-1"): 80 << 30,
    }


def test_a_driver_that_hangs_holds_up_nobody_and_costs_one_sample(sampler, say, stage) -> None:
    say("hang")
    for second in range(8):
        began = time.monotonic()
        sampler.ask(second * SECOND_NS)
        assert sampler.take() == ()
        assert time.monotonic() - began < 1
    assert (stage.dropped, stage.unexplained) == ({"no answer": 1}, 0)
    say("")
    # What comes too late is old.
    until(lambda: sampler.take() or sampler._asked_ns == 0)
    sampler.ask(9 * SECOND_NS)
    assert len(answer(sampler)) == 2
    assert (stage.received, stage.emitted, stage.unexplained) == (2, 1, 0)


def test_a_lost_gpu_is_counted_and_one_that_is_back_is_read_again(
    sampler, say, stage, caplog
) -> None:
    say("lost")
    for second in range(1, 4):
        sampler.ask(second * SECOND_NS)
        until(lambda second=second: sampler.take() or stage.received == second)
    assert (stage.dropped, sampler.latest) == ({"refused": 3}, ())
    assert [r.getMessage() for r in caplog.records] == [
        "use of GPUs is not seen: nvmlDeviceGetHandleByIndex_v2: GPU is lost"
    ]
    say("")
    sampler.ask(9 * SECOND_NS)
    assert len(answer(sampler)) == 2


def test_without_a_driver_nothing_is_lost_and_it_is_looked_for_each_minute(
    sampler, say, stage
) -> None:
    say("unloaded")
    sampler.ask(SECOND_NS)
    until(lambda: sampler.take() or sampler._not_before_ns)
    say("")
    sampler.ask(30 * SECOND_NS)
    assert (sampler._asked_ns, stage.received) == (0, 0)
    sampler.ask(61 * SECOND_NS)
    assert len(answer(sampler)) == 2


def test_nobody_who_does_not_ask_keeps_the_gpus_awake(stage) -> None:
    closed = []

    class Reader:
        def read(self, since_us: int) -> Devices:
            return ()

        def close(self) -> None:
            closed.append(True)

    sampler = GpuSampler(stage, Reader, idle_s=0.05)
    for count in (1, 2):
        sampler.ask(SECOND_NS)
        until(lambda count=count: sampler.take() or len(closed) == count)
    assert stage.emitted == 2
    sampler.close()


def test_the_library_of_this_machine_is_read_or_said_to_be_absent() -> None:
    code = (
        "from agentsight_agent.gpu.nvml import NoNvmlError, Nvml\n"
        "try: print(len(Nvml.open().read(0)))\n"
        "except NoNvmlError as error: print(f'none: {error}')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("none: ") or int(done.stdout) > 0

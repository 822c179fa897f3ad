"""When the kernel side wakes its reader: for much, for what is urgent, and not for each record."""

import os
import select

import pytest
from agentsight_agent.bpf.kernel import Kernel

pytestmark = pytest.mark.kernel


def is_awake(kernel: Kernel) -> bool:
    return bool(select.select([kernel.fileno()], [], [], 0)[0])


def run(program: str) -> None:
    pid = os.posix_spawn(program, [program], {})
    assert os.waitpid(pid, 0)[1] == 0


def test_the_reader_is_woken_once_for_each_full_measure(watch, tls_tester, libssl) -> None:
    seen_by = watch(ring_bytes=4 << 20, wakeup_bytes=256 << 10)
    seen_by.kernel.attach_tls(*libssl)
    talker = tls_tester()
    seen_by.track(talker.pid)
    talker.ask("open 1")
    seen_by.drain()
    seen_by.kernel.acknowledge()

    talker.ask("write 0 10 1024")
    assert not is_awake(seen_by.kernel)
    talker.ask("write 0 400 1024")
    assert is_awake(seen_by.kernel)
    seen_by.kernel.acknowledge()
    # Still more than the measure waits, but that has been said.
    talker.ask("write 0 10 1024")
    assert not is_awake(seen_by.kernel)
    talker.ask("write 0 400 1024")
    assert is_awake(seen_by.kernel)


def test_a_program_that_is_executed_wakes_the_reader(watch) -> None:
    seen_by = watch(discover=True)
    seen_by.track(os.getpid())
    run("/bin/true")
    assert is_awake(seen_by.kernel)


def test_the_first_program_of_a_container_wakes_the_reader_at_once(watch, tester) -> None:
    seen_by = watch(discover=True)
    first = "echo ready; read line; exec /bin/true"
    for _ in range(5):
        shell = tester("unshare", "--pid", "--fork", "sh", "-c", first)
        # Wake-ups of this sort have a distance in time, but for this.
        run("/bin/true")
        seen_by.drain()
        seen_by.kernel.acknowledge()
        shell.say("go")
        assert shell.finish() == 0
        assert is_awake(seen_by.kernel)


def test_a_stranger_that_uses_tls_wakes_the_reader(watch, tls_tester, libssl) -> None:
    seen_by = watch(discover=True)
    seen_by.kernel.attach_tls(*libssl)
    talker = tls_tester()
    talker.ask("open 1")
    # Wake-ups of this sort have a distance in time.
    for _ in range(1000):
        seen_by.kernel.acknowledge()
        talker.ask("say 0 hello")
        if is_awake(seen_by.kernel):
            return
    pytest.fail("no wake-up")


@pytest.mark.every_loader
def test_who_sleeps_is_woken_by_the_next_record_whatever_it_is_and_only_by_that(
    watch, tester
) -> None:
    seen_by = watch()
    shell = tester("/bin/sh", "-c", "echo ready; while read line; do (:); echo done; done")
    seen_by.track(shell.pid)

    def fork() -> None:
        shell.say("fork")
        assert shell.line() == "done"

    fork()
    assert not seen_by.kernel.sleep()  # something waits already
    seen_by.drain()
    seen_by.kernel.acknowledge()
    assert seen_by.kernel.sleep()
    assert not is_awake(seen_by.kernel)
    fork()
    assert is_awake(seen_by.kernel)
    seen_by.kernel.acknowledge()
    fork()
    assert not is_awake(seen_by.kernel)

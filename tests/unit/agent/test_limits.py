"""When it is told that limits leave something out, and what the ledger says of it."""

from dataclasses import dataclass, field

from agentsight_agent.bpf.limits import Rate
from agentsight_agent.limits import LimitAccount
from agentsight_agent.sessions.session import Session
from agentsight_core.telemetry.ledger import Stage

S = 1_000_000_000
SESSION = Session(id=7, root_pid=70, agent_name="bot")


@dataclass
class FakeKernel:
    quiet_ns: int = 10 * S
    has_limits: bool = True
    rates: dict[tuple[int, str], Rate] = field(default_factory=dict)

    def rate(self, session: int, name: str) -> Rate:
        return self.rates.get((session, name), Rate())

    def forget_rates(self, session: int) -> None:
        self.rates = {key: rate for key, rate in self.rates.items() if key[0] != session}


def told(events):
    return [
        (
            event.boot_ns // S,
            event.capture_limited.limit,
            event.capture_limited.ended,
            event.capture_limited.over_rate,
            event.capture_limited.not_sampled,
        )
        for event in events
    ]


def test_begin_and_end_are_told_once_with_their_times_and_what_was_left_out() -> None:
    kernel, stage = FakeKernel(), Stage("limits", "decisions")
    account = LimitAccount(kernel, stage)
    assert account.sweep([SESSION], 1 * S) == []
    kernel.rates[7, "file"] = Rate(100, 0, 0)
    assert account.sweep([SESSION], 2 * S) == []
    kernel.rates[7, "file"] = Rate(200, 30, 0, since_boot_ns=2 * S, last_boot_ns=3 * S)
    assert told(account.sweep([SESSION], 4 * S)) == [(2, "files", False, 0, 0)]
    kernel.rates[7, "file"] = Rate(300, 50, 4, since_boot_ns=2 * S, last_boot_ns=5 * S)
    assert account.sweep([SESSION], 6 * S) == []
    assert told(account.sweep([SESSION], 16 * S)) == [(5, "files", True, 50, 4)]
    assert account.sweep([SESSION], 17 * S) == []
    kernel.rates[7, "file"] = Rate(300, 51, 4, since_boot_ns=20 * S, last_boot_ns=20 * S)
    assert told(account.sweep([SESSION], 21 * S)) == [(20, "files", False, 0, 0)]
    assert (stage.received, stage.emitted, stage.unexplained) == (355, 300, 0)
    assert stage.filtered == {"files: rate": 51, "files: sampled": 4}


def test_a_session_that_ends_is_told_what_is_open_and_forgotten() -> None:
    kernel = FakeKernel()
    account = LimitAccount(kernel, Stage("limits", "decisions"))
    kernel.rates[7, "net"] = Rate(1, 0, 9, since_boot_ns=2 * S, last_boot_ns=3 * S)
    events = account.close(SESSION, 3 * S)
    assert told(events) == [(2, "network", False, 0, 0), (3, "network", True, 0, 9)]
    assert {(event.session, event.pid) for event in events} == {(7, 70)}
    assert kernel.rates == {}
    assert account.close(SESSION, 4 * S) == []

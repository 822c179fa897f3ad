"""Rules match what they say, all of it, and refuse what cannot be meant."""

import pwd

import pytest
from agentsight_agent.enrich.procfs import Process
from agentsight_agent.sessions.rules import RuleMatcher, SessionRule
from agentsight_core.errors import ConfigError

PROCESS = Process(
    pid=7,
    start_boot_ns=1,
    exe="/opt/agents/claude",
    argv=("claude", "--model", "x"),
    uid=0,
    container_id="3f1d" * 16,
)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (SessionRule("r", executable="claude"), True),
        (SessionRule("r", executable="cl*"), True),
        (SessionRule("r", executable="/opt/*"), True),
        (SessionRule("r", executable="/usr/*"), False),
        (SessionRule("r", executable="agents"), False),
        (SessionRule("r", argv=r"--model \w"), True),
        (SessionRule("r", argv="^model"), False),
        (SessionRule("r", user="0"), True),
        (SessionRule("r", user="1"), False),
        (SessionRule("r", container="3f1d*"), True),
        (SessionRule("r", container="a*"), False),
        (SessionRule("r", executable="claude", argv="nothing"), False),
    ],
)
def test_all_patterns_must_match(rule: SessionRule, expected: bool) -> None:
    assert RuleMatcher(rule).matches(PROCESS) is expected


def test_a_container_pattern_needs_a_container() -> None:
    matcher = RuleMatcher(SessionRule("r", container="*"))
    assert not matcher.matches(Process(pid=7, start_boot_ns=1))


def test_user_names() -> None:
    name = pwd.getpwuid(0).pw_name
    assert RuleMatcher(SessionRule("r", user=name)).matches(PROCESS)


@pytest.mark.parametrize(
    "rule", [SessionRule("bad", argv="(unclosed"), SessionRule("bad", user="no such user")]
)
def test_what_cannot_be_meant_is_a_config_error(rule: SessionRule) -> None:
    with pytest.raises(ConfigError, match="session rule bad"):
        RuleMatcher(rule)

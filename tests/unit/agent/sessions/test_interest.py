"""What rules leave to be judged by a text in the arguments, and by the name of a file."""

import pytest
from agentsight_agent.sessions.interest import Interest, needed_text
from agentsight_agent.sessions.rules import SessionRule


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("", ""),
        ("benchagent", "benchagent"),
        (r"agent\.py$", "agent.py"),
        (r"--model \w+", "--model"),
        ("^run-agent.*server", "run-agent"),
        ("colou?r", "colo"),
        ("ab{2}cde", "cde"),
        ("lots+of", "lots"),
        ("(optional )?needed", "needed"),
        ("[abc]def[^x]gh", "def"),
        ("one|other", ""),
        ("(?i)claude", ""),
        (r"\x41bc", ""),
        (r"\Qa.b\E", ""),
        ("[[:alpha:]]end", ""),
        ("[]x]end", "end"),
        (r"[\]x]end", ""),
        ("a{", ""),
    ],
)
def test_a_text_that_all_matches_have(expression: str, expected: str) -> None:
    assert needed_text(expression) == expected


@pytest.mark.parametrize(
    ("rule", "path", "expected"),
    [
        (SessionRule("r", executable="claude"), "/usr/bin/cc1", False),
        (SessionRule("r", executable="claude"), "/opt/claude", True),
        (SessionRule("r", executable="c*"), "/usr/bin/cc1", True),
        # The file may be moved to where the rule looks.
        (SessionRule("r", executable="/opt/agents/run"), "/usr/bin/run", True),
        (SessionRule("r", executable="/opt/agents/run"), "/usr/bin/cc1", False),
        (SessionRule("r", executable="/opt/*/run"), "/usr/bin/cc1", True),
        (SessionRule("r", argv="one|other"), "/usr/bin/cc1", True),
        (SessionRule("r", argv="one|other", executable="node"), "/usr/bin/cc1", False),
        (SessionRule("r", user="1"), "/usr/bin/cc1", True),
        (SessionRule("r", container="a*"), "/usr/bin/cc1", True),
        (SessionRule("r", argv="marked"), "/usr/bin/cc1", False),
    ],
)
def test_programs_that_a_rule_without_mark_may_match(
    rule: SessionRule, path: str, expected: bool
) -> None:
    assert Interest([rule], max_marks=8).may_match(path) is expected


def test_rules_beyond_the_marks_that_there_are_have_all_their_programs_told() -> None:
    rules = [SessionRule(name, argv=name) for name in ("one", "two", "one", "three")]
    interest = Interest(rules, max_marks=2)
    assert interest.marks == (b"one", b"two")
    assert interest.may_match("/usr/bin/cc1")
    assert not Interest(rules[:3], max_marks=2).may_match("/usr/bin/cc1")

"""What makes a family of rules cheap must not make it blind."""

import re

import pytest
from agentsight_agent.redact.rules import FAMILIES, Family, Rule, Scanner, compile_pattern
from hypothesis import given, settings
from hypothesis import strategies as st

CASES = [(family, rule) for family in FAMILIES for rule in family.rules]
NAMES = [f"{rule.name}-{number}" for number, (_, rule) in enumerate(CASES)]


@pytest.mark.parametrize(("family", "rule"), CASES, ids=NAMES)
def test_the_search_of_a_family_finds_all_that_its_rules_find(family: Family, rule: Rule) -> None:
    search = compile_pattern(family.search)
    suspicious = Scanner((family,))

    @settings(max_examples=40, deadline=None)
    @given(st.from_regex(re.compile(rule.pattern)))
    def check(text: bytes) -> None:
        if compile_pattern(rule.pattern).search(text):
            assert search.search(text)
            found = suspicious.scan(text)
            # A word without a digit is no key of some rules.
            assert found or rule.needs_digit or b"<redacted" in text

    check()

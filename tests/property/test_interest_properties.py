"""No expression matches a text that lacks what `needed_text` says is in all of them."""

import re

import re2
from agentsight_agent.sessions.interest import needed_text
from hypothesis import assume, given, note
from hypothesis import strategies as st

LETTERS = st.text("abc-_/ ö", min_size=1, max_size=4)
ATOMS = st.one_of(
    LETTERS,
    LETTERS.map(lambda text: f"({text})"),
    LETTERS.map(lambda text: f"[{text.replace('-', '')}x]"),
    LETTERS.map(lambda text: f"[^{text.replace('-', '')}x]"),
    st.sampled_from(
        [r"\.", r"\w", r"\d", r"\b", r"\\", r"\(", r"\$", ".", "^", "$", "[]a]", "a|b"]
    ),
)
COUNTS = st.sampled_from(["", "", "", "*", "+", "?", "{0}", "{2}", "{0,1}", "*?", "+?", "{1,}"])
EXPRESSIONS = st.lists(st.tuples(ATOMS, COUNTS).map("".join), max_size=6).map("".join)


@given(EXPRESSIONS, st.data())
def test_every_match_has_the_text(expression: str, data: st.DataObject) -> None:
    needed = needed_text(expression)
    try:
        compiled = re.compile(expression)
    except re.error:
        assume(False)
    text = data.draw(st.from_regex(compiled))
    note(repr(needed))
    if needed:
        assert re2.search(expression, text) is None or needed in text


@given(st.text("ab*+?{}[]()|\\.^$ ,1x-", max_size=12), st.text("ab1x- ", max_size=12))
def test_what_is_written_anyhow(expression: str, text: str) -> None:
    needed = needed_text(expression)
    options = re2.Options()
    options.log_errors = False
    try:
        found = re2.compile(expression, options).search(text)
    except re2.error:
        return
    assert found is None or needed in text

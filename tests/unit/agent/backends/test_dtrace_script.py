"""The D script and the reader agree, as far as can be seen without a DTrace: it was not run."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from agentsight_agent.backends.dtrace.lines import _COMMON, _FORMS

SCRIPT = files("agentsight_agent.backends.dtrace").joinpath("agentsight.d").read_text()
CODE = re.sub(r"/\*.*?\*/", "", SCRIPT, flags=re.DOTALL)
PRINTS = re.findall(r'printf\("@(\w+)((?:[^"\\]|\\.)*)",(.*?)\);\s*(tracemem)?', CODE, re.DOTALL)


def test_every_kind_is_printed_and_known() -> None:
    assert {kind for kind, *_ in PRINTS} == {kind.decode() for kind in _FORMS}


@pytest.mark.parametrize(("kind", "form", "arguments", "dump"), PRINTS)
def test_a_record_has_the_fields_that_the_reader_expects(
    kind: str, form: str, arguments: str, dump: str
) -> None:
    # The version of the begin stands in the text.
    fields = re.findall(r' (?:%d|1\b|(\\"%S\\"))', form)
    assert len(re.findall(r"%", form)) == len(fields) - (kind == "begin")
    shape = "".join("s" if field else "d" for field in fields)
    if dump:
        assert not form.endswith("\\n")  # tracemem begins a line by itself
        shape = shape[:-1] + "x"
    else:
        assert form.endswith("\\n")
    assert shape == _COMMON + _FORMS[kind.encode()]
    # Commas in parentheses and brackets divide no arguments.
    while (flat := re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", arguments)) != arguments:
        arguments = flat
    assert len(arguments.split(",")) == form.count("%")


def test_texts_are_printed_with_escapes_only() -> None:
    assert "%s" not in CODE


def test_braces_and_quotes_are_even() -> None:
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", CODE)
    assert '"' not in bare
    for begin, end in ("{}", "()", "[]"):
        assert bare.count(begin) == bare.count(end)

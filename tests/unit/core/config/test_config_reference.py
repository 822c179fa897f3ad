"""The reference is complete and not stale; names of variables are unambiguous."""

from __future__ import annotations

from pathlib import Path

from agentsight_core.config import keys
from agentsight_core.config.reference import render_reference
from agentsight_core.config.section import parse_size, size_text

REPOSITORY = Path(__file__).resolve().parents[4]


def test_the_committed_reference_is_what_the_models_say() -> None:
    committed = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert committed == render_reference(), "run scripts/gen_config_reference.py"


def test_every_key_has_a_sentence_and_a_variable_of_its_own() -> None:
    text = render_reference()
    found = list(keys.all_keys())
    assert len({key.variable for key in found}) == len(found) > 40
    for key in found:
        assert key.field.description, key.text
        assert " ".join(key.field.description.split()).endswith("."), key.text
        assert f"`{key.variable}`" in text


def test_sizes_are_written_so_that_they_can_be_read_back() -> None:
    for value in (0, 1, 1000, 1024, 1536, 5 << 20, 3 << 30):
        assert parse_size(size_text(value)) == value

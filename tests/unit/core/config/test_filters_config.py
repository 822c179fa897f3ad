"""What filters over paths accept, and what they say of what they do not."""

import pytest
from agentsight_core.config.filters import FiltersConfig
from agentsight_core.config.node import LimitsConfig
from pydantic import ValidationError


def test_paths_lose_the_slash_at_their_end() -> None:
    filters = FiltersConfig(exclude_paths=("/usr/", "/"), include_paths=("/work/a b",))
    assert filters.exclude_paths == ("/usr", "/")
    assert filters.include_paths == ("/work/a b",)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("usr", "must be an absolute path"),
        ("/usr/../etc", "must be an absolute path"),
        ("/usr//lib", "must be an absolute path"),
        ("/usr/*", "all below a path is meant"),
        ("/" + "x" * 127, "at most 127 bytes"),
    ],
)
def test_paths_that_would_never_fit_are_refused(path: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FiltersConfig(exclude_paths=(path,))


def test_limits_of_less_than_one_are_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        LimitsConfig.model_validate({"files": {"one_in": 0}})

"""What all sections share: unknown keys are errors, values never change, docstrings describe."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_SIZE = re.compile(r"(\d+)\s*([KMGT]i?)?B?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(value: object) -> object:
    """Return the bytes that a text such as "16MiB" or "2 GB" stands for; other values unchanged."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError("must be a number of bytes or a text such as 512KiB, 16MiB, 2GiB")
    unit = (match[2] or "").upper()
    base = 1024 if unit.endswith("I") else 1000
    return int(match[1]) * int(base ** _POWERS[unit[:1]])


def size_text(value: int) -> str:
    """Return the shortest exact form of `value` bytes: "16MiB"."""
    for unit, power in (("GiB", 3), ("MiB", 2), ("KiB", 1)):
        if value and value % 1024**power == 0:
            return f"{value // 1024**power}{unit}"
    return str(value)


SIZE = BeforeValidator(parse_size)

# A number of bytes, or a text such as "16MiB".
Bytes = Annotated[int, SIZE, Field(ge=0)]
PositiveBytes = Annotated[int, SIZE, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65535)]
Milliseconds = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of the configuration; the docstring under each field is its reference text."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )

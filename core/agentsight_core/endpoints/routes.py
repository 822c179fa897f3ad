"""What a request head tells of a call: first by its path, then with its host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """What a path says of a call, before the host is looked at."""

    api: str
    operation: str
    # The model that the path names, decoded; "" when the body has it.
    model: str = ""
    # True or False when the path decides on streaming; None when the body does.
    stream: bool | None = None
    # False when other programs use the same path too.
    certain: bool = True
    # True when even the provider uses the path for other things: the body has to tell.
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of call of one provider."""

    # gen_ai.provider.name
    provider: str
    # The wire format, "openai.chat".
    api: str
    # gen_ai.operation.name
    operation: str
    model: str = ""
    stream: bool | None = None
    # False when only the body can prove that this is a call of a model.
    certain: bool = True

"""The keys of the configuration as paths: which exist, how the environment names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, get_origin

from pydantic.fields import FieldInfo

from agentsight_core.config.models import AgentSightConfig
from agentsight_core.config.section import Section

Path = tuple[str | int, ...]

VARIABLE_PREFIX = "AGENTSIGHT_"


class Key(NamedTuple):
    """One value that may be set."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def text(self) -> str:
        """The form that people read: `exporters.otlp.endpoint`."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable: `AGENTSIGHT_EXPORTERS_OTLP_ENDPOINT`."""
        return VARIABLE_PREFIX + "_".join(self.path).upper()

    @property
    def is_structured(self) -> bool:
        """Whether the value is a list or a mapping: in the environment it is written as YAML."""
        return get_origin(self.field.annotation) in {tuple, dict}


def section_of(field: FieldInfo) -> type[Section] | None:
    """Return the model of a field that is a section, None for a value."""
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return None


def all_keys(
    model: type[Section] = AgentSightConfig, prefix: tuple[str, ...] = ()
) -> Iterator[Key]:
    """Yield every key of `model`, depth first, in the order of the models."""
    for name, field in model.model_fields.items():
        section = section_of(field)
        if section is None:
            yield Key((*prefix, name), field)
        else:
            yield from all_keys(section, (*prefix, name))


def allowed_names(path: Path) -> tuple[str, ...]:
    """Return the keys that may stand where `path` leads to; empty when there is no section."""
    model: type[Section] | None = AgentSightConfig
    for step in path:
        if isinstance(step, int):
            continue
        if model is None or step not in model.model_fields:
            return ()
        field = model.model_fields[step]
        model = section_of(field) or item_section(field)
    return tuple(model.model_fields) if model is not None else ()


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that `name` was probably meant to be."""
    import difflib  # noqa: PLC0415  for mistakes only

    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def path_text(path: Path) -> str:
    """Return `path` as people read it: `sessions.rules[0].name`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def item_section(field: FieldInfo) -> type[Section] | None:
    """Return the model of the items of a list field."""
    for argument in getattr(field.annotation, "__args__", ()):
        if isinstance(argument, type) and issubclass(argument, Section):
            return argument
    return None

"""Typed attributes of findings as plain Python values.

Must not rename, filter or reorder: attributes come sorted by key from the analyzers.
"""

from __future__ import annotations

from collections.abc import Iterable

from agentsight_core.pb import findings_pb2 as pb

PlainValue = str | int | float | bool | list[str] | None


def plain_value(attribute: pb.Attribute) -> PlainValue:
    """Return the value of `attribute` in its native type; None when it has none."""
    match attribute.WhichOneof("value"):
        case "string_value":
            return attribute.string_value
        case "int_value":
            return attribute.int_value
        case "double_value":
            return attribute.double_value
        case "bool_value":
            return attribute.bool_value
        case "strings_value":
            return list(attribute.strings_value.values)
        case _:
            return None


def plain(attributes: Iterable[pb.Attribute]) -> dict[str, PlainValue]:
    """Return `attributes` as a flat dict in their order."""
    return {attribute.key: plain_value(attribute) for attribute in attributes}

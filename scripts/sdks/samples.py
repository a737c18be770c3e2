"""Values of the types that a vendor's package declares, so that every one of them is seen.

Used by `check_against_sdks.py` in an environment that has pydantic.
"""

from __future__ import annotations

import datetime as dt
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

_PLAIN: dict[Any, Any] = {
    str: "word",
    int: 3,
    float: 0.5,
    bool: True,
    Path: "word",
    bytes: "c2lnbmF0dXJl",
    dt.datetime: "2026-11-21T00:00:00Z",
    Any: {"any": 1},
    object: {"any": 1},
}
_DEEPEST = 4


def samples(kind: Any, depth: int = 0) -> list[Any]:  # noqa: PLR0911 - one for each sort of type
    """Give values of a type, as JSON has them: each member of a union, each word of a literal.

    A model is given full, with only what it requires, and once for each further value of a field.
    """
    kind = _bare(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in _PLAIN:
        return [_PLAIN[kind]]
    if kind is type(None):
        return [None]
    if origin is typing.Literal:
        return list(arguments)
    if origin in (typing.Union, types.UnionType):
        members = sorted(arguments, key=lambda each: each is type(None))
        return [value for each in members for value in samples(each, depth)]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [each.value for each in kind]
    if hasattr(kind, "model_fields"):
        return list(_models(kind, depth))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return [{"name": value} for value in samples(arguments[1], depth)[:1]]
    if isinstance(origin, type) and issubclass(origin, Iterable):
        return [[value for value in samples(arguments[0], depth) if value is not None]]
    # A number of bytes, a date: what pydantic reads from a number.
    return [3]


def _bare(kind: Any) -> Any:
    while hasattr(kind, "__value__") or typing.get_origin(kind) is typing.Annotated:
        kind = kind.__value__ if hasattr(kind, "__value__") else typing.get_args(kind)[0]
    return kind


def _models(kind: Any, depth: int) -> Iterator[dict[str, Any]]:
    fields = {
        field.alias or name: (field.annotation, field.is_required())
        for name, field in kind.model_fields.items()
    }
    if depth >= _DEEPEST:
        fields = {name: each for name, each in fields.items() if each[1]}
    found = {name: samples(annotation, depth + 1) for name, (annotation, _) in fields.items()}
    full = {name: values[0] for name, values in found.items()}
    yield full
    yield {name: full[name] for name, (_, required) in fields.items() if required}
    for name, values in found.items():
        for value in values[1:]:
            yield {**full, name: value}


def numbered(usage: Any, path: str = "") -> tuple[Any, dict[str, int]]:
    """Put a power of two in the place of every count, so that a sum tells what is in it."""
    numbers: dict[str, int] = {}

    def put(value: Any, path: str) -> Any:
        if isinstance(value, dict):
            kind = f"[{value['modality']}]" if "modality" in value else ""
            return {name: put(each, f"{path}{kind}.{name}") for name, each in value.items()}
        if isinstance(value, list):
            return [put(each, path) for each in value]
        if type(value) is int:
            numbers[path.lstrip(".")] = 1 << len(numbers)
            return numbers[path.lstrip(".")]
        return value

    return put(usage, path), numbers


def summands(total: int, numbers: Mapping[str, int]) -> frozenset[str]:
    """Tell which of the counts a sum holds."""
    return frozenset(path for path, number in numbers.items() if total & number)


def unknown(sent: Any, understood: Any, path: str = "") -> list[str]:
    """Name the fields of what was sent that the vendor's type did not keep."""
    if isinstance(sent, dict) and isinstance(understood, dict):
        return [
            name
            for key, value in sent.items()
            for name in (
                unknown(value, understood[key], f"{path}.{key}")
                if key in understood
                else [f"{path}.{key}".lstrip(".")]
            )
        ]
    if isinstance(sent, list) and isinstance(understood, list):
        pairs = zip(sent, understood, strict=True)
        return [name for one, other in pairs for name in unknown(one, other, path)]
    return []

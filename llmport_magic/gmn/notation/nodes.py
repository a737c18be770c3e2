"""What every dialect of the notation is read into: named nodes with fields, and their values.

A value is what was written, not what it stands for: `grid(5, 5)` stays a call, so that a
specification can be written out as short as it came in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from llmport_magic.errors import GMNError

# How deep lists and calls may stand in each other: a matrix has an axis for each factor.
MAX_DEPTH = 8
# Beyond that, sums and products of a few numbers would not be finite.
MOST = 1e100


@dataclass(frozen=True, slots=True)
class Call:
    """A compact constructor: `grid(5, 5, slip=0.1)`, or only `uniform`.

    Attributes:
        name: which one, see `constructors.py`.
        arguments: in their order.
        named: those with a name, in their order.
    """

    name: str
    arguments: tuple[Value, ...] = ()
    named: tuple[tuple[str, Value], ...] = ()


# A tuple is a list as it was written: `[[0.9, 0.1], [0.1, 0.9]]`.
Value: TypeAlias = "bool | int | float | str | Call | tuple[Value, ...]"

# The value of a field that is there and could not be read: it has a finding already.
UNREAD = Call("")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a node, with where it stands in the text (from 1; 0 where there is no text)."""

    value: Value
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a specification.

    Attributes:
        kind: `agent`, `state`, `observation`, `action`, `emission`, `transition`, `preference` or
            `habit`; what was written, where it is none of these.
        name: its name.
        fields: by name, in the order in which they were written.
        line: where it begins in the text, from 1; 0 where there is no text.
        column: the column there, from 1.
    """

    kind: str
    name: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    line: int = 0
    column: int = 0


def value_of(given: Any, _depth: int = 0) -> Value:
    """Give a value of Python as one of the notation: lists and arrays become tuples.

    Args:
        given: a number, a text, a `Call`, a list, a tuple or an array of numpy.

    Raises:
        GMNError: it is something else, or nested deeper than 8.
    """
    if _depth > MAX_DEPTH:
        raise GMNError(f"a value is nested deeper than {MAX_DEPTH}")
    if isinstance(given, bool | int | float | str):
        # What numpy derives from float must be written as a plain number.
        return given if type(given) in (bool, int, float, str) else _plain(given)
    if isinstance(given, Call):
        return Call(
            given.name,
            tuple(value_of(each, _depth + 1) for each in given.arguments),
            tuple((name, value_of(each, _depth + 1)) for name, each in given.named),
        )
    if isinstance(given, list | tuple):
        return tuple(value_of(each, _depth + 1) for each in given)
    if hasattr(given, "tolist"):
        return value_of(given.tolist(), _depth)
    raise GMNError(
        f"a value of type {type(given).__name__} is no number, text, list or constructor"
    )


def _plain(given: float | str) -> float | int | str:
    for kind in (int, float):
        if isinstance(given, kind):
            return kind(given)
    return str.__str__(given)

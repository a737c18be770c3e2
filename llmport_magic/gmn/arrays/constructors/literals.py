"""Numbers written out: their shape, and what was probably meant where it does not fit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from llmport_magic.gmn.arrays.constructors.axes import (
    Here,
    PartError,
    is_finite,
    is_number,
    said,
    shaped,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmport_magic.gmn.notation.nodes import Value

_DEEPEST = 12


def literal(value: tuple[Value, ...], here: Here) -> NDArray[np.float64]:
    """Give the array that a list stands for.

    Raises:
        ValueError: something in it is no finite number, or the shape is another one.
    """
    found = _shape(value, ())
    expected = here.shape
    # One action is no choice: a last axis of length 1 says the same as none.
    if found not in {expected, (*expected, 1)}:
        names = " x ".join(f"`{axis.name}`" for axis in here.axes)
        raise ValueError(
            f"expected {shaped(expected)} ({names}), found {shaped(found)}: {_mend(found, here)}"
        )
    return np.array(value, dtype=float).reshape(expected)


def _shape(value: Value, at: tuple[int, ...]) -> tuple[int, ...]:
    """Give the shape of nested lists of which each has as many parts as its neighbours."""
    if not isinstance(value, tuple):
        where = f" at {list(at)}" if at else ""
        if not is_number(value):
            raise PartError(f"{said(value)}{where} is no number", at)
        if not is_finite(value):
            raise PartError(f"{said(value)}{where} is no finite number", at)
        return ()
    if len(at) > _DEEPEST:
        raise ValueError(f"lists are nested more than {_DEEPEST} deep")
    shapes = [_shape(part, (*at, number)) for number, part in enumerate(value)]
    for number, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise PartError(
                f"the rows are not equally long: {_counted(shapes[0])} at {[*at, 0]}, "
                f"{_counted(shape)} at {[*at, number]}",
                (*at, number),
            )
    return (len(value), *(shapes[0] if shapes else ()))


def _counted(shape: tuple[int, ...]) -> str:
    return shaped(shape) if shape else "a number"


def _mend(found: tuple[int, ...], here: Here) -> str:
    """Say what was probably meant."""
    expected, to = here.shape, here.to
    if not here.axes[1:] and to.what == "policy":
        return "one number for each policy, the last action changing fastest"
    if not here.axes[1:]:
        return f"one number for each {to.what} of `{to.name}`"
    control = here.axes[-1] if here.control is not None else None
    several = len(expected) > 2  # a first axis, and more than one other
    if control is not None and found == expected[:-1]:
        mend = (
            f"the axis of `{control.name}` is missing: write one matrix for each action with "
            f"`by({control.name}, [ … ])`, or leave `{control.name}` out of `from`"
        )
    elif control is not None and found == (expected[-1], *expected[:-1]):
        mend = f"the actions are the last axis: write `by({control.name}, [ … ])`, a matrix each"
    elif found == expected[::-1]:
        mend = f"transposed? one row for each {to.what} of `{to.name}`, so that columns sum to 1"
    elif found == (math.prod(expected),):
        mend = f"write it as rows, one for each {to.what} of `{to.name}`"
    elif several and found == (expected[0], math.prod(expected[1:])):
        last = here.axes[-1]
        mend = f"write `by({last.name}, [ … ])`, one matrix for each {last.what} of `{last.name}`"
    elif several:
        mend = f"one table for each {to.what} of `{to.name}`, of {shaped(expected[1:])}"
    else:
        mend = f"one row for each {to.what} of `{to.name}`, of {expected[1]} numbers"
    return mend

"""Columns that sum to 1: what is wrong with them, and the small part that can be put right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmport_magic.gmn.arrays.constructors import Axis, PartError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# How far from 1 a column may be, for 0.33 three times is meant as a third; what `float` cannot do
# better is not worth a word.
TOLERANCE = 1e-3
_EXACT = 1e-6
_PERCENT = 100


def normalised(
    array: NDArray[np.float64], axes: Sequence[Axis], *, plain: bool = True
) -> tuple[NDArray[np.float64], str]:
    """Divide each column along the first axis by its sum.

    Args:
        array: the numbers.
        axes: what they are about.
        plain: whether they were written as numbers, and not with a constructor.

    Returns:
        The array, and what is worth a word; empty where nothing is.

    Raises:
        PartError: a number is negative, or a column does not sum to 1.
    """
    negative = np.argwhere(array < 0)
    if len(negative):
        at = tuple(int(index) for index in negative[0])
        more = _more(len(negative), "number")
        raise PartError(f"{array[at]:g} at {_place(at, axes)} is no probability{more}", at)
    sums = array.sum(axis=0)
    off = abs(sums - 1)
    # A sum of 0.999 is within, whatever the binary numbers make of it.
    wrong = np.argwhere(off > TOLERANCE + 1e-12)
    if len(wrong):
        raise _not_one(array, sums, wrong, axes, plain=plain)
    worst = float(off.max(initial=0.0))
    note = ""
    if worst > _EXACT:
        total = float(sums.flat[int(off.argmax())])
        what = "a column sums" if axes[1:] else "they sum"
        note = f"{what} to {total:.6g}, not exactly 1: each was divided by its sum"
    return array / sums, note


def _not_one(
    array: NDArray[np.float64],
    sums: NDArray[Any],
    wrong: NDArray[Any],
    axes: Sequence[Axis],
    *,
    plain: bool,
) -> PartError:
    """Say which column does not sum to 1, at its head, or what is wrong with all of them."""
    at = tuple(int(index) for index in wrong[0])
    place = f"the column at {_place(at, axes[1:])} sums" if axes[1:] else "they sum"
    text = f"{place} to {sums[at]:.6g}, expected 1{_more(len(wrong), 'column')}"
    if bool((abs(sums - _PERCENT) < 1).all()):
        return PartError(f"{text}: percent? write 0.9 for 90")
    for position in range(1, array.ndim):
        if bool((abs(array.sum(axis=position) - 1) <= TOLERANCE).all()):
            first, other, last = axes[0], axes[position], axes[-1]
            along = "each row does" if array.ndim == 2 else f"along `{other.name}` all do"
            if plain and position == 1 and last.what == "action" and last.size == first.size:
                return PartError(
                    f"{text}; {along}: [action, next, previous]? write `by({last.name}, [ … ])` "
                    "around these numbers; or [previous, next, action]? the first axis is the "
                    f"{first.what} that follows"
                )
            return PartError(
                f"{text}; {along}: transposed? the first axis is the {first.what} that follows, "
                f"one row for each {first.what} of `{first.name}`"
            )
    return PartError(text, (0, *at) if axes[1:] else ())


def _place(at: Sequence[int], axes: Sequence[Axis]) -> str:
    """Name a place by its labels: `location` = `cue`, `context` = 1."""
    return ", ".join(
        f"`{axis.name}` = {f'`{axis.say(index)}`' if axis.labels else index}"
        for axis, index in zip(axes, at, strict=True)
    )


def _more(count: int, what: str) -> str:
    if count == 1:
        return ""
    return f" (and {count - 1} more {what}{'s' if count > 2 else ''})"

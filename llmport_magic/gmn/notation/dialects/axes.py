"""In which order the axes of a matrix were written, found from its shape and its sums.

Files of one format order the axes of a transition in several ways. A matrix whose axes can be read
in one way only is put into our order, and that is said; where two ways give two matrices, the
writer is asked. None is turned around in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmport_magic.gmn.notation.dialects.literals import Literal, size_text

# As for validation: what is off by less was rounded when it was written. The last digits are the
# computer's own: three times 0.333 is off by a little more than 0.001.
TOLERANCE = 1e-3 + 1e-9
_ABOUT = " or "


@dataclass(frozen=True, slots=True)
class Reading:
    """A matrix in our order of axes.

    Attributes:
        array: the matrix; its elements are the numbers as they were written.
        written: the order of the axes in which it was written.
        rarely: another order that it fits, in which hardly anybody writes; else empty.
    """

    array: NDArray[Any]
    written: tuple[str, ...]
    rarely: tuple[str, ...] = ()

    @property
    def value(self) -> Literal:
        """The matrix as nested tuples, each number as it was written."""
        return _tuples(self.array.tolist())


class AxesError(ValueError):
    """A matrix cannot be read in any order of its axes, or in more than one."""


def read_axes(
    name: str,
    value: Literal,
    sizes: Mapping[str, int | None],
    orders: Sequence[Sequence[str]],
    *,
    rare: Sequence[Sequence[str]] = (),
    told: Sequence[str] = (),
) -> Reading:
    """Find in which order the axes of a matrix were written.

    Args:
        name: of the matrix, for what is said.
        value: the matrix; its rows are of one length.
        sizes: how long each axis is, in our order; `None` where only the matrix says it. The first
            is the axis that sums to 1.
        orders: the orders that are possible, by the axes' names.
        rare: further ones, taken where none of `orders` fits.
        told: the order, where the writer said which it is.

    Raises:
        AxesError: none fits, or several do and give different matrices.
    """
    array = np.array(value, dtype=object)
    ours = tuple(sizes)
    if array.ndim != len(ours):
        raise AxesError(f"`{name}` has {array.ndim} axes and must have {_row(ours)}")
    numbers = array.astype(float)
    if not array.size:
        raise AxesError(f"`{name}` is empty and must have {_row(ours)}")
    if (numbers < 0).any():
        raise AxesError(f"`{name}` holds {numbers.min():g}; a probability is not negative")
    readings = [_reading(array, ours, order) for order in ([told] if told else (*orders, *rare))]
    sized = [each for each in readings if _has_sizes(each, sizes)]
    if not sized:
        must = ", ".join(f"{axis} {size or '?'}" for axis, size in sizes.items())
        shape = size_text(array.shape)
        raise AxesError(f"`{name}` has the shape {shape} and must have [{must}]")
    summing = [each for each in sized if _off(each) <= TOLERANCE]
    if not summing:
        raise AxesError(_nothing_sums(name, ours[0], sized))
    usual = [each for each in summing if each.written not in map(tuple, rare)] or summing
    first = usual[0]
    others = [each for each in usual[1:] if not _equal(each, first)]
    if others:
        choice = [_row(each.written) for each in (first, *others)]
        say = _ABOUT.join(f"`{name}_axes: {', '.join(each.written)}`" for each in (first, *others))
        raise AxesError(
            f"`{name}` can be read as {_ABOUT.join(choice)}, which are different matrices: "
            f"say which it is, with {say} under ## ModelParameters"
        )
    rarely = [each.written for each in summing[len(usual) :] if not _equal(each, first)]
    return replace(first, rarely=rarely[0]) if rarely else first


def _reading(array: NDArray[Any], ours: Sequence[str], written: Sequence[str]) -> Reading:
    order = [written.index(axis) for axis in ours]
    return Reading(array.transpose(order), tuple(written))


def _has_sizes(reading: Reading, sizes: Mapping[str, int | None]) -> bool:
    pairs = zip(reading.array.shape, sizes.values(), strict=True)
    return all(size in {None, length} for length, size in pairs)


def _off(reading: Reading) -> float:
    """Give by how much the first axis misses 1 at most."""
    sums = reading.array.astype(float).sum(axis=0)
    return float(np.abs(sums - 1).max(initial=0.0))


def _equal(one: Reading, other: Reading) -> bool:
    return np.array_equal(one.array.astype(float), other.array.astype(float))


def _nothing_sums(name: str, axis: str, sized: Sequence[Reading]) -> str:
    parts = []
    for each in sized:
        sums = each.array.astype(float).sum(axis=0)
        parts.append(f"read as {_row(each.written)} from {sums.min():g} to {sums.max():g}")
    return f"`{name}` must sum to 1 over the axis {axis}; its sums go, {', '.join(parts)}"


def _row(axes: Sequence[str]) -> str:
    return f"[{', '.join(axes)}]"


def _tuples(value: Any) -> Literal:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value

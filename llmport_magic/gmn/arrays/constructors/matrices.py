"""Constructors of emissions and transitions that know no actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmport_magic.gmn.arrays.constructors.axes import MATRICES, Here, listed, probability, said
from llmport_magic.gmn.arrays.constructors.registry import constructor, filled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmport_magic.gmn.notation.nodes import Value


def certain(size: int, index: int, p: float = 1.0) -> NDArray[np.float64]:
    """Give `p` at one place, and the rest evenly at all the others."""
    if size == 1:
        return np.ones(1)
    column = np.full(size, (1 - p) / (size - 1))
    column[index] = p
    return column


def _same(here: Here, position: int, p: float) -> NDArray[np.float64]:
    """Give what follows the index of another axis with probability `p`."""
    _alike(here, position)
    size = here.to.size
    table = np.stack([certain(size, index, p) for index in range(size)], axis=1)
    return here.along(table, position)


def _alike(here: Here, position: int) -> None:
    to, source = here.to, here.axes[position]
    if to.size != source.size:
        raise ValueError(
            f"as many of both are needed: `{to.name}` has {to.counted}, "
            f"`{source.name}` has {source.counted}"
        )


@constructor("identity", *MATRICES, example="identity")
def identity(here: Here) -> NDArray[np.float64]:
    """What follows is what is there: observation i of state i, or the state stays as it is."""
    return _same(here, here.source, 1.0)


@constructor("noisy(p)", *MATRICES, example="noisy(0.9)")
def noisy(here: Here, p: Value) -> NDArray[np.float64]:
    """As `identity` with probability `p`; the rest evenly on all others.

    In a transition: a state that lasts, as a market's regime does.
    """
    return _same(here, here.source, probability("p", p))


@constructor("copy(factor, p=1.0)", *MATRICES, example="copy(context)")
def copy(here: Here, factor: Value, p: Value = 1.0) -> NDArray[np.float64]:
    """What follows has the index of the factor named, with probability `p`; the rest evenly.

    In a transition, a memory of where that factor was one step before.
    """
    return _same(here, here.find(factor), probability("p", p))


@constructor("near(p, factor=own)", *MATRICES, example="near(0.8)")
def near(here: Here, p: Value, factor: Value | None = None) -> NDArray[np.float64]:
    """As `identity` with probability `p`; the rest evenly on the neighbours.

    They are the cells above, right, below and left where the states have a `shape`, else the states
    before and after; one without neighbours is certain.
    """
    position = here.source if factor is None else here.find(factor)
    chance, size = probability("p", p), here.to.size
    _alike(here, position)
    shape = here.axes[position].shape or here.to.shape or (1, size)
    table = np.zeros((size, size))
    for index in range(size):
        beside = _neighbours(index, shape)
        table[index, index] = chance if beside else 1.0
        for other in beside:
            table[other, index] = (1 - chance) / len(beside)
    return here.along(table, position)


def _neighbours(index: int, shape: tuple[int, ...]) -> list[int]:
    rows, columns = shape[0], shape[-1]
    row, column = divmod(index, columns)
    around = ((row - 1, column), (row, column + 1), (row + 1, column), (row, column - 1))
    return [r * columns + c for r, c in around if 0 <= r < rows and 0 <= c < columns]


@constructor("map([…], p=1.0, of=NAME)", *MATRICES, example="map([0, 0, 1])")
def map_(
    here: Here, targets: Value, p: Value = 1.0, of: Value | None = None
) -> NDArray[np.float64]:
    """State i gives what stands at place i of the list, with probability `p`; the rest evenly.

    `of` names what the list goes over where it is not clear: `map([1, 2, 0], of=move)` leads by
    action. Without it, lists in lists go over everything that it depends on, in that order.
    """
    chance = probability("p", p)
    positions = tuple(range(1, len(here.axes)))
    if of is not None:
        positions = (here.find(of),)
    elif (
        len(positions) > 1
        and isinstance(targets, tuple)
        and not any(isinstance(each, tuple) for each in targets)
    ):
        names = [axis.name for axis in here.axes[1:]]
        raise ValueError(f"say what the list goes over: `of=` one of {listed(names)}")
    table = _mapped(here, targets, positions, chance)
    return here.along(table, *positions)


def _mapped(
    here: Here, targets: Value, positions: tuple[int, ...], p: float
) -> NDArray[np.float64]:
    if not positions:
        return certain(here.to.size, here.to.index(targets), p)
    axis = here.axes[positions[0]]
    if not isinstance(targets, tuple) or len(targets) != axis.size:
        found = len(targets) if isinstance(targets, tuple) else said(targets)
        raise ValueError(
            f"a list of {axis.size} for the {axis.counted} of `{axis.name}`, found {found}"
        )
    return np.stack([_mapped(here, each, positions[1:], p) for each in targets], axis=1)


@constructor("by(name, [matrix, …])", *MATRICES, example="by(context, [identity, uniform])")
def by(
    here: Here, name: Value, matrices: Value | None = None, /, **labelled: Value
) -> NDArray[np.float64]:
    """One matrix for each state, or action, of `name`, in their order; each is over what is left.

    `by(context, left=identity, right=uniform)` names them by label. An
    index or a label is what is certain, and where one column is left, a list of numbers is that.
    """
    position = here.find(name)
    axis = here.axes[position]
    if matrices is None and labelled:
        matrices = _labelled(here, position, labelled)
    elif labelled:
        raise ValueError("write either a list or one matrix for each label, not both")
    if not isinstance(matrices, tuple) or len(matrices) != axis.size:
        found = len(matrices) if isinstance(matrices, tuple) else said(matrices)
        raise ValueError(
            f"a list of {axis.size} matrices for the {axis.counted} of `{axis.name}`, found {found}"
        )
    rest = here.without(position)
    return np.stack([filled(each, rest) for each in matrices], axis=position)


def _labelled(here: Here, position: int, labelled: dict[str, Value]) -> tuple[Value, ...]:
    axis = here.axes[position]
    given = {axis.index(label): matrix for label, matrix in labelled.items()}
    missing = [axis.say(index) for index in range(axis.size) if index not in given]
    if missing:
        raise ValueError(
            f"one matrix for each {axis.what} of `{axis.name}`: {listed(missing)} missing"
        )
    return tuple(given[index] for index in range(axis.size))


@constructor(
    "where(name, states, matrix, otherwise)",
    *MATRICES,
    example="where(location, cue, copy(context), uniform)",
)
def where(
    here: Here, name: Value, states: Value, matrix: Value, otherwise: Value
) -> NDArray[np.float64]:
    """One matrix for the states, or actions, of `name` that are listed, another for all others.

    Both are over what is left, as in `by`.
    """
    position = here.find(name)
    axis, rest = here.axes[position], here.without(position)
    chosen = set(axis.indices(states))
    then, other = filled(matrix, rest), filled(otherwise, rest)
    parts = [then if index in chosen else other for index in range(axis.size)]
    return np.stack(parts, axis=position)

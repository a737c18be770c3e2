"""Constructors of vectors: beliefs, preferences and habits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmport_magic.gmn.arrays.constructors.axes import MATRICES, VECTORS, Here, number, probability
from llmport_magic.gmn.arrays.constructors.matrices import certain
from llmport_magic.gmn.arrays.constructors.registry import constructor, filled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmport_magic.gmn.notation.nodes import Value


@constructor("uniform(states=all)", *MATRICES, *VECTORS, example="uniform")
def uniform(here: Here, states: Value | None = None) -> NDArray[np.float64]:
    """Everything is equally probable, or only what is listed; as a preference, equally wanted."""
    if here.place == "preference":
        if states is not None:
            raise ValueError("as a preference it takes no list: write `goal([ … ])`")
        return np.zeros(here.to.size)
    chosen = list(range(here.to.size)) if states is None else here.to.indices(states)
    column = np.zeros(here.to.size)
    column[chosen] = 1 / len(chosen)
    return here.along(column)


@constructor("onehot(i, p=1.0)", *MATRICES, *VECTORS, example="onehot(0)")
def onehot(here: Here, i: Value, p: Value = 1.0) -> NDArray[np.float64]:
    """`p` at index or label i, the rest evenly at all others; as a matrix, every column is that.

    As a preference: `p` at i and 0 elsewhere, which is `goal(i, p)`.
    """
    if here.place == "preference":
        return _at(here, i, number("p", p))
    return here.along(certain(here.to.size, here.to.index(i), probability("p", p)))


@constructor("goal(i, strength=1.0)", "preference", example="goal(24, 3.0)")
def goal(here: Here, i: Value, strength: Value = 1.0) -> NDArray[np.float64]:
    """`strength` at index or label i, or at each of a list, and 0 elsewhere."""
    return _at(here, i, number("strength", strength))


@constructor("avoid(i, strength=1.0)", "preference", example="avoid([6, 12], 2.0)")
def avoid(here: Here, i: Value, strength: Value = 1.0) -> NDArray[np.float64]:
    """The opposite of `goal`: `-strength` at index or label i, or at each of a list."""
    return _at(here, i, -number("strength", strength))


def _at(here: Here, where: Value, strength: float) -> NDArray[np.float64]:
    column = np.zeros(here.to.size)
    column[here.to.indices(where)] = strength
    return column


@constructor("toward(i, strength=1.0)", "preference", example="toward(24, 0.5)")
def toward(here: Here, i: Value, strength: Value = 1.0) -> NDArray[np.float64]:
    """`-strength` for each step away from index or label i, so that it draws from afar.

    `goal` is felt only within the horizon. Steps go along the line, or through the grid where there
    is a `shape`.
    """
    to = here.to
    columns = to.shape[-1] if to.shape else to.size
    row, column = divmod(to.index(i), columns)
    cells = np.arange(to.size)
    away = abs(cells // columns - row) + abs(cells % columns - column)
    return np.asarray(-number("strength", strength) * away, dtype=np.float64)


@constructor("sum(vector, …)", "preference", example="sum(goal(24, 3.0), avoid(12))")
def total(here: Here, *vectors: Value) -> NDArray[np.float64]:
    """Several preferences at once, added."""
    if not vectors:
        raise ValueError("there is nothing to add: write `sum(goal(0), avoid(1))`")
    added = np.zeros(here.to.size)
    for each in vectors:
        added += filled(each, here.deeper())
    return added

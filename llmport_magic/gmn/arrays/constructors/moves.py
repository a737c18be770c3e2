"""Constructors of transitions: what actions do, and what time does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from llmport_magic.gmn.arrays.constructors.axes import (
    Axis,
    Here,
    listed,
    probability,
    said,
    truth,
    whole,
)
from llmport_magic.gmn.arrays.constructors.registry import constructor, filled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmport_magic.gmn.notation.nodes import Value

_Step = TypeVar("_Step")

# Where an action leads, by a word of its label: in a grid rows down and columns right.
_STAY = ("stay", "wait", "stop", "hold", "keep", "rest", "none", "nothing", "noop")
_GRID = {
    **dict.fromkeys(("up", "north"), (-1, 0)),
    **dict.fromkeys(("right", "east"), (0, 1)),
    **dict.fromkeys(("down", "south"), (1, 0)),
    **dict.fromkeys(("left", "west"), (0, -1)),
    **dict.fromkeys(_STAY, (0, 0)),
}
_GRID_ORDER = ("up", "right", "down", "left", "stay")
_BACK = ("left", "down", "back", "backward", "decrease", "lower", "less", "cool", "previous")
_ON = ("right", "up", "on", "forward", "increase", "raise", "more", "heat", "next")
_LINE = {**dict.fromkeys(_BACK, -1), **dict.fromkeys(_ON, 1), **dict.fromkeys(_STAY, 0)}
_LINE_ORDER = ("left", "right", "stay")


def _moved(here: Here, lands: list[list[int]], slip: float) -> NDArray[np.float64]:
    """Give the transition in which action `a` leads from state `s` to `lands[a][s]`, but slips."""
    size, own, control = here.to.size, here.own, here.control
    table = np.zeros((size, size, len(lands)))
    states = np.arange(size)
    for action, landing in enumerate(lands):
        table[landing, states, action] += 1 - slip
        table[states, states, action] += slip
    if control is None:
        return here.along(table[:, :, 0], own)
    return here.along(table, own, control)


def _controlled(here: Here) -> Axis:
    if here.control is None:
        raise ValueError(
            f"it needs a control: name an action node in `from`, after `{here.to.name}`"
        )
    return here.axes[here.control]


def _steps(
    control: Axis, known: Mapping[str, _Step], order: Sequence[str], least: int
) -> list[_Step]:
    """Give where each action leads: by its label, else by its place in the order."""
    if not control.labels:
        if not least <= control.size <= len(order):
            raise ValueError(
                f"`{control.name}` has {control.counted}, expected {least} to {len(order)}: "
                f"{listed(order)}"
            )
        return [known[word] for word in order[: control.size]]
    steps: list[_Step] = []
    for label in control.labels:
        # `move_up` is up; `up_or_down` is neither.
        words = {known[word] for word in re.split(r"[\W_]+", label.lower()) if word in known}
        if len(words) != 1:
            raise ValueError(
                f"it is not clear where the action `{label}` of `{control.name}` leads: label the "
                f"actions {listed(order)}"
            )
        (step,) = words
        if step in steps:
            same = [control.labels[steps.index(step)], label]
            raise ValueError(f"the actions {listed(same)} of `{control.name}` are the same move")
        steps.append(step)
    return steps


@constructor(
    "grid(rows, columns, slip=0.0, wrap=false, walls=[])", "transition", example="grid(5, 5)"
)
def grid(  # noqa: PLR0917 - in the notation they may stand without their names
    here: Here,
    rows: Value | None = None,
    columns: Value | None = None,
    slip: Value = 0.0,
    wrap: Value = False,
    walls: Value = (),
) -> NDArray[np.float64]:
    """Walking in a grid: actions up, right, down, left, stay; at an edge one stays.

    Cells are numbered row by row from 0. Actions are known by a word of their labels (also
    north, east, south, west, wait), else they are in that order, four of them or five. With
    probability `slip` one stays where one is; with `wrap` the edges are joined; `walls` are cells
    that cannot be entered. Without `rows` and `columns` they are the factor's `shape`.
    """
    if rows is None and columns is None and len(here.to.shape) == 2:
        rows, columns = here.to.shape
    if rows is None or columns is None:
        raise ValueError(f"`{here.to.name}` has no `shape`: write `grid(rows, columns)`")
    high, wide = whole("rows", rows, 1), whole("columns", columns, 1)
    if high * wide != here.to.size:
        raise ValueError(
            f"{high} x {wide} has {high * wide} cells, `{here.to.name}` has {here.to.counted}: "
            f"{_grid_mend(high, wide, here.to)}"
        )
    p, joined = probability("slip", slip), truth("wrap", wrap)
    closed = set(here.to.indices(walls)) if walls != () else set()
    control = _controlled(here)
    lands = []
    for step in _steps(control, _GRID, _GRID_ORDER, 4):
        landings = _landings((high, wide), step, joined=joined)
        lands.append([cell if to in closed else to for cell, to in enumerate(landings)])
    return _moved(here, lands, p)


def _landings(shape: tuple[int, int], step: tuple[int, int], *, joined: bool) -> list[int]:
    """Give for each cell the one where a step leads."""
    rows, columns = shape
    lands = []
    for cell in range(rows * columns):
        row, column = cell // columns + step[0], cell % columns + step[1]
        if joined:
            row, column = row % rows, column % columns
        inside = 0 <= row < rows and 0 <= column < columns
        lands.append(row * columns + column if inside else cell)
    return lands


def _grid_mend(rows: int, columns: int, to: Axis) -> str:
    """Tell the size that fits, and the grid."""
    if len(to.shape) == 2:  # rows and columns
        return f"write `grid({to.shape[0]}, {to.shape[1]})`"
    size = to.size
    ways = [f"`size: {rows * columns}`"]
    if size % columns == 0:
        ways.append(f"`grid({size // columns}, {columns})`")
    elif size % rows == 0:
        ways.append(f"`grid({rows}, {size // rows})`")
    return f"write {' or '.join(ways)}"


@constructor(
    "line(slip=0.0, wrap=false, steps=[…])", "transition", example="line(steps=[1, -1, 0])"
)
def line(
    here: Here, slip: Value = 0.0, wrap: Value = False, steps: Value | None = None
) -> NDArray[np.float64]:
    """Walking along the states: actions left, right, stay; at the ends one stays.

    Actions are known by a word of their labels (also down and up, back and on, less and more, cool
    and heat, wait), else they are in that order, two of them or three. `steps`
    says of each action how many states it goes on, so that actions may be called anything: of
    actions `heat`, `off` a heating is `line(steps=[1, -1])`; a step longer than the way left goes
    to the end. With probability `slip` one stays; with `wrap` the ends are joined. Without a
    control, `steps` is one number: what time does.
    """
    p, joined, size = probability("slip", slip), truth("wrap", wrap), here.to.size
    if steps is None:
        try:
            taken = _steps(_controlled(here), _LINE, _LINE_ORDER, 2)
        except ValueError as error:
            raise ValueError(f"{error}, or write `line(steps=[ … ])`") from None
    else:
        parts = steps if isinstance(steps, tuple) else (steps,)
        taken = [whole("steps", each) for each in parts]
        expected = 1 if here.control is None else here.axes[here.control].size
        if len(taken) != expected:
            name = "no control" if here.control is None else f"`{here.axes[here.control].name}`"
            raise ValueError(f"`steps` has {len(taken)} of {expected} numbers, those for {name}")
    lands = [
        [(s + step) % size if joined else min(max(s + step, 0), size - 1) for s in range(size)]
        for step in taken
    ]
    return _moved(here, lands, p)


@constructor("cycle(step=1, p=1.0)", "transition", example="cycle")
def cycle(here: Here, step: Value = 1, p: Value = 1.0) -> NDArray[np.float64]:
    """From each state to the one `step` further with probability `p`, else it stays.

    After the last comes the first. No action changes that.
    """
    size, further = here.to.size, whole("step", step)
    landing = [(state + further) % size for state in range(size)]
    table = _moved(_alone(here), [landing], 1 - probability("p", p))
    return here.along(table, here.own)


@constructor("drift(up=0.1, down=0.1)", "transition", example="drift(0.1, 0.1)")
def drift(here: Here, up: Value = 0.1, down: Value = 0.1) -> NDArray[np.float64]:
    """A random walk: one state up with probability `up`, one down with `down`, else it stays.

    So it does where there is no further state. No action changes that.
    """
    rise, fall, size = probability("up", up), probability("down", down), here.to.size
    if rise + fall > 1:
        raise ValueError(f"`up` and `down` are together at most 1, found {rise + fall:g}")
    table = np.zeros((size, size))
    for state in range(size):
        table[min(state + 1, size - 1), state] += rise
        table[max(state - 1, 0), state] += fall
        table[state, state] += 1 - rise - fall
    return here.along(table, here.own)


def _alone(here: Here) -> Here:
    return Here(here.place, (here.to, here.axes[here.own]), here.depth)


@constructor("goto(p=1.0)", "transition", example="goto")
def goto(here: Here, p: Value = 1.0) -> NDArray[np.float64]:
    """Action i leads to state i from everywhere with probability `p`, else one stays.

    Where every action is called after a state, `depot` or `go_depot`, it leads to that state.
    """
    chance, control, own = probability("p", p), _controlled(here), here.own
    goals = _goals(here.to, control)
    return _moved(here, [[goal] * here.axes[own].size for goal in goals], 1 - chance)


def _goals(to: Axis, control: Axis) -> list[int]:
    named = [_state_of(label, to) for label in control.labels]
    if named and None not in named:
        return [index for index in named if index is not None]
    for action, index in enumerate(named):
        if index not in (None, action):
            raise ValueError(
                f"action {action} of `{control.name}` is called like state {index} of `{to.name}`, "
                "but not every action is called like a state: give all actions names of states, or "
                f"write `map([ … ], of={control.name})`"
            )
    if control.size != to.size:
        raise ValueError(
            f"`{control.name}` has {control.counted}, `{to.name}` has {to.counted}: give each "
            f"action the label of a state, or write `map([ … ], of={control.name})`"
        )
    return list(range(to.size))


def _state_of(label: str, to: Axis) -> int | None:
    """Give the state that an action is called after: `depot`, `go_depot`."""
    if label in to.labels:
        return to.labels.index(label)
    ends = [index for index, state in enumerate(to.labels) if label.endswith(f"_{state}")]
    return ends[0] if len(ends) == 1 else None


@constructor("latch(factor, states)", "transition", example="latch(location, [3, 4])")
def latch(here: Here, factor: Value, states: Value) -> NDArray[np.float64]:
    """A memory that `factor` was in a state: 0 until then, and what it became it stays.

    With two states it becomes 1 in any of `states`; with one more than `states` has, it becomes
    1 in the first of them, 2 in the second and so on.
    """
    position, own = here.find(factor), here.own
    chosen = here.axes[position].indices(states)
    size = here.to.size
    if size not in (2, len(chosen) + 1):
        either = "2" if len(chosen) == 1 else f"2 or {len(chosen) + 1}"
        raise ValueError(
            f"a memory of {said(states)} has {either} states, `{here.to.name}` has {size}"
        )
    table = np.zeros((size, size, here.axes[position].size))
    for before in range(size):
        table[before, before, :] = 1.0
    for number, state in enumerate(chosen):
        table[:, 0, state] = 0.0
        table[1 if size == 2 else number + 1, 0, state] = 1.0
    if own > position:
        table = table.swapaxes(1, 2)
    return here.along(table, own, position)


@constructor("absorbing(matrix, states)", "transition", example="absorbing(goto, [1, 2])")
def absorbing(here: Here, matrix: Value, states: Value) -> NDArray[np.float64]:
    """As the matrix says, but the states listed are never left."""
    own = here.own
    array = filled(matrix, here.deeper())
    for state in here.axes[own].indices(states):
        column = np.moveaxis(array, own, 1)[:, state]
        column[...] = 0.0
        column[state] = 1.0
    return array

"""What a value stands for: the axes of an array, and how one names a place on them."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeGuard

import numpy as np

from llmport_magic.gmn.notation.nodes import MOST, Call

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmport_magic.gmn.notation.nodes import Value

Place: TypeAlias = Literal["emission", "transition", "initial", "preference", "habit"]
MATRICES: tuple[Place, ...] = ("emission", "transition")
VECTORS: tuple[Place, ...] = ("initial", "preference", "habit")


class PartError(ValueError):
    """A part of a list is wrong.

    Args:
        text: what is wrong.
        at: which part: the index in each of the lists that hold it; none for the whole list.
    """

    def __init__(self, text: str, at: Sequence[int] = ()) -> None:
        super().__init__(text)
        self.at = tuple(at)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of an array.

    Attributes:
        name: of the node whose states, observations or actions are counted along it.
        size: how many there are.
        labels: their names, in order; empty where they have none.
        shape: rows and columns where they are cells of a grid, row by row; else empty.
        what: what they are.
    """

    name: str
    size: int
    labels: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    what: Literal["state", "observation", "action", "policy"] = "state"

    @property
    def counted(self) -> str:
        """How many of what: `5 actions`."""
        plural = "policies" if self.what == "policy" else f"{self.what}s"
        return f"1 {self.what}" if self.size == 1 else f"{self.size} {plural}"

    def index(self, value: Value) -> int:
        """Give the place that an index from 0, or a label, names.

        Raises:
            ValueError: there is none.
        """
        if isinstance(value, Call) and not value.arguments and not value.named:
            value = value.name
        if isinstance(value, str):
            if value in self.labels:
                return self.labels.index(value)
            raise ValueError(self._no_label(value))
        if not is_whole(value):
            raise ValueError(
                f"{said(value)} names no {self.what} of `{self.name}`: {self._known()}"
            )
        if not 0 <= value < self.size:
            raise ValueError(f"`{self.name}` has no {self.what} {said(value)}: {self._known()}")
        return value

    def indices(self, value: Value) -> list[int]:
        """Give the places that an index, a label or a list of them names, each once.

        Raises:
            ValueError: there is none, or one is named twice.
        """
        if not isinstance(value, tuple):
            return [self.index(value)]
        known = dict(zip(self.labels, range(self.size), strict=False))
        found = [
            known[each] if isinstance(each, str) and each in known else self.index(each)
            for each in value
        ]
        if not found:
            raise ValueError(
                f"an empty list names no {self.what} of `{self.name}`: {self._known()}"
            )
        if len(set(found)) < len(found):
            twice = Counter(found).most_common(1)[0][0]
            raise ValueError(f"{said(value)} names {self.say(twice)} twice{self._cell(found)}")
        return found

    def say(self, index: int) -> str:
        """Give a place's label, or its index where it has none."""
        return self.labels[index] if index < len(self.labels) else str(index)

    def _cell(self, found: list[int]) -> str:
        """Tell which cell a row and a column are, where two indices may have meant that."""
        if len(found) != 2 or len(self.shape) != 2:  # a row and a column
            return ""
        row, column = found
        if row >= self.shape[0] or column >= self.shape[1]:
            return ""
        return f": for row {row}, column {column} write {row * self.shape[1] + column}"

    def _known(self) -> str:
        if self.labels:
            return f"it has {listed(self.labels)}"
        return f"they are numbered 0 to {self.size - 1}"

    def _no_label(self, label: str) -> str:
        near = difflib.get_close_matches(label[:_LONGEST], self.labels[:_COMPARED], n=1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        return f"`{self.name}` has no {self.what} `{label}`: {hint}{self._known()}"


@dataclass(frozen=True, slots=True)
class Here:
    """Where a value stands.

    Attributes:
        place: in which field of which node.
        axes: the array's; the first one is what follows, and each column along it sums to 1.
        depth: how many constructors it stands in.
    """

    place: Place
    axes: tuple[Axis, ...]
    depth: int = 0

    @property
    def to(self) -> Axis:
        """What follows: the first axis."""
        return self.axes[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's."""
        return tuple(axis.size for axis in self.axes)

    @property
    def own(self) -> int:
        """The axis of the factor's own previous state.

        Raises:
            ValueError: it is not there.
        """
        return self.find(self.to.name)

    @property
    def control(self) -> int | None:
        """The axis of the actions, or `None`."""
        return len(self.axes) - 1 if self.axes[-1].what == "action" else None

    @property
    def source(self) -> int:
        """The one axis that what follows is compared with, state by state.

        Raises:
            ValueError: there is none, or more than one.
        """
        if self.place == "transition":
            return self.own
        if len(self.axes) != 2:  # an observation and a state
            names = ", ".join(f"`{axis.name}`" for axis in self.axes[1:]) or "nothing"
            mend = f"write `copy({self.axes[1].name})`" if self.axes[1:] else "write `onehot(0)`"
            raise ValueError(
                f"it is not clear of what: `{self.to.name}` depends on {names}: {mend}"
            )
        return 1

    def find(self, name: Value) -> int:
        """Give the position of the axis of that name; never the first one.

        Raises:
            ValueError: there is none.
        """
        if isinstance(name, Call) and not name.arguments and not name.named:
            name = name.name
        names = [axis.name for axis in self.axes[1:]]
        if name in names:
            return names.index(str(name)) + 1
        has = f"here it can be {listed(names)}" if names else "nothing is left here"
        raise ValueError(
            f"{said(name)} is not among what `{self.to.name}` depends on: {has}; "
            "what it depends on is listed in `from`"
        )

    def without(self, position: int) -> Here:
        """Give the same without one axis, one deeper."""
        axes = self.axes[:position] + self.axes[position + 1 :]
        return Here(self.place, axes, self.depth + 1)

    def deeper(self) -> Here:
        """Give the same, one deeper."""
        return Here(self.place, self.axes, self.depth + 1)

    def along(self, table: NDArray[Any], *positions: int) -> NDArray[np.float64]:
        """Repeat a table over every axis that it does not have.

        Args:
            table: its first axis is what follows.
            *positions: those of its other axes, in ascending order.
        """
        missing = [at for at in range(1, len(self.axes)) if at not in positions]
        return np.array(
            np.broadcast_to(np.expand_dims(table, tuple(missing)), self.shape), dtype=np.float64
        )


# -- arguments ---------------------------------------------------------------------------------


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether it is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether it is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_finite(value: float) -> bool:
    """Tell whether one can calculate with it."""
    return abs(value) <= MOST


def number(name: str, value: Value) -> float:
    """Give a finite number.

    Raises:
        ValueError: it is none.
    """
    if not is_number(value):
        raise ValueError(f"`{name}` is a number, found {said(value)}")
    if not is_finite(value):
        raise ValueError(f"`{name}` is a finite number, found {said(value)}")
    return float(value)


def probability(name: str, value: Value) -> float:
    """Give a number from 0 to 1.

    Raises:
        ValueError: it is none.
    """
    found = number(name, value)
    if not 0 <= found <= 1:
        raise ValueError(f"`{name}` is a probability from 0 to 1, found {said(value)}")
    return found


def whole(name: str, value: Value, least: int | None = None) -> int:
    """Give a whole number.

    Raises:
        ValueError: it is none, or less than the least.
    """
    if not is_whole(value):
        raise ValueError(f"`{name}` is a whole number, found {said(value)}")
    if least is not None and value < least:
        raise ValueError(f"`{name}` is at least {least}, found {said(value)}")
    return value


def truth(name: str, value: Value) -> bool:
    """Give true or false.

    Raises:
        ValueError: it is neither.
    """
    if value is True or value is False:
        return value
    raise ValueError(f"`{name}` is true or false, found {said(value)}")


# -- words -------------------------------------------------------------------------------------

_LISTED = 12
# Comparing more of them takes longer than anybody waits for a hint.
_COMPARED = 200
_LONGEST = 60
_SHOWN = 8


def said(value: object) -> str:
    """Write a value as the notation does, short."""
    text = _written(value)
    return f"`{text if len(text) <= _LONGEST else text[:_LONGEST] + '…'}`"


def _written(value: object, depth: int = 0) -> str:
    if isinstance(value, Call | tuple):
        if depth > _SHOWN:
            return "…"
        if isinstance(value, tuple):
            return f"[{_several(value, depth)}]"
        named = tuple(f"{name}={_written(each, depth + 1)}" for name, each in value.named)
        arguments = ", ".join(filter(None, (_several(value.arguments, depth), *named)))
        return f"{value.name}({arguments})" if arguments else value.name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > MOST:
        return "a number too large"
    return str(value)


def _several(values: tuple[object, ...], depth: int) -> str:
    # More than is shown need not be written.
    return ", ".join(_written(each, depth + 1) for each in values[:_LONGEST])


def listed(names: Sequence[str]) -> str:
    """Name several, the first ones where they are many."""
    shown = ", ".join(f"`{name}`" for name in names[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown}, … ({len(names)} in all)"


def shaped(sizes: Sequence[int]) -> str:
    """Write a shape: `3x2`; of a vector, how many numbers."""
    return "x".join(map(str, sizes)) if len(sizes) != 1 else f"{sizes[0]} numbers"

"""From what is written to arrays, with everything that is wrong on the way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from llmport_magic.gmn.arrays.constructors import Axis, PartError, Place, expand
from llmport_magic.gmn.arrays.limits import (
    MAX_TOTAL,
    Flaw,
    count_policies,
    policies_flaw,
    too_many,
    too_many_policies,
)
from llmport_magic.gmn.arrays.model import Model
from llmport_magic.gmn.arrays.probabilities import TOLERANCE, normalised

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmport_magic.gmn.notation.nodes import Value
    from llmport_magic.gmn.spec import Preference, Spec, Transition


def assemble(spec: Spec) -> tuple[Model | None, list[Flaw]]:
    """Give the arrays of a specification, read-only, or all that is wrong with it.

    Its names and references are those of `building.build`: they are not looked at again.
    """
    return _Assembly(spec).result()


class _Assembly:
    """One specification on its way to arrays."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.flaws: list[Flaw] = []
        self.entries = 0
        self.states = {
            each.name: Axis(each.name, each.size, each.labels, each.shape) for each in spec.factors
        }
        self.observations = {
            each.name: Axis(each.name, each.size, each.labels, each.shape, "observation")
            for each in spec.modalities
        }
        self.actions = {
            each.name: Axis(each.name, each.size, each.labels, what="action")
            for each in spec.controls
        }

    def result(self) -> tuple[Model | None, list[Flaw]]:
        """Give the model, or `None`, and all flaws."""
        spec = self.spec
        emitted = {each.to: each for each in spec.emissions}
        moved = {each.to: each for each in spec.transitions}
        wants = {each.over: each for each in spec.preferences}
        emissions = [emitted[name] for name in self.observations]
        factors, names = tuple(self.states), list(self.actions)
        parts = {
            "A": [self._emission(each.name, each.to, each.of, each.matrix) for each in emissions],
            "B": [self._transition(moved.get(name), name) for name in factors],
            "C": [self._wanted(wants.get(name), axis) for name, axis in self.observations.items()],
            "D": [self._initial(each.name, each.initial) for each in spec.factors],
            "H": [self._wanted(wants.get(name), axis) for name, axis in self.states.items()],
            "E": [self._habit()],
        }
        if any(flaw.level == "error" for flaw in self.flaws):
            return None, self.flaws
        model = Model(
            A=_held(parts["A"]),
            A_of=tuple(_indices(each.of, factors) for each in emissions),
            B=_held(parts["B"]),
            B_of=tuple(_indices(_of(moved.get(name), name), factors) for name in factors),
            B_by=tuple(_by(moved.get(name), names) for name in factors),
            C=_held(
                np.zeros(axis.size) if values is None else values
                for axis, values in zip(self.observations.values(), parts["C"], strict=True)
            ),
            D=_held(parts["D"]),
            E=_maybe(parts["E"][0]),
            H=tuple(_maybe(values) for values in parts["H"]),
            controls=tuple(each.size for each in spec.controls),
            factors=factors,
            modalities=tuple(self.observations),
            control_names=tuple(names),
            labels={name: axis.labels for name, axis in self._axes() if axis.labels},
            shapes={name: axis.shape for name, axis in self._axes() if axis.shape},
        )
        return model, self.flaws

    def _axes(self) -> Iterable[tuple[str, Axis]]:
        return (self.states | self.observations | self.actions).items()

    # -- one array each; `None` where there is none, or something is wrong --------------------

    def _emission(
        self, name: str, to: str, of: Sequence[str], matrix: Value
    ) -> NDArray[np.float64] | None:
        axes = (self.observations[to], *(self.states[each] for each in of))
        return self._probable(name, "matrix", matrix, axes, "emission")

    def _transition(self, transition: Transition | None, factor: str) -> NDArray[np.float64] | None:
        own = self.states[factor]
        if transition is None:
            array = self._probable(factor, "size", "identity", (own, own), "transition")
            return None if array is None else array[..., np.newaxis]
        axes = (own, *(self.states[each] for each in transition.of))
        if transition.by is not None:
            axes = (*axes, self.actions[transition.by])
        array = self._probable(transition.name, "matrix", transition.matrix, axes, "transition")
        return array if array is None or transition.by is not None else array[..., np.newaxis]

    def _initial(self, factor: str, value: Value | None) -> NDArray[np.float64] | None:
        value = "uniform" if value is None else value
        return self._probable(factor, "initial", value, (self.states[factor],), "initial")

    def _wanted(self, preference: Preference | None, axis: Axis) -> NDArray[np.float64] | None:
        if preference is None:
            return None
        value = preference.values
        array = self._expanded(preference.name, "values", value, (axis,), "preference")
        if array is not None and isinstance(value, tuple):
            note = _like_probabilities(array)
            if note:
                text = f"`{preference.name}`: {note}"
                self.flaws.append(Flaw(preference.name, "values", text, "warning"))
        return array

    def _habit(self) -> NDArray[np.float64] | None:
        value = self.spec.habit
        if value is None:
            return None
        if too_many_policies(self.spec):
            self.flaws.append(policies_flaw(self.spec))
            return None
        axis = Axis("policies", count_policies(self.spec), what="policy")
        return self._probable("habit", "values", value, (axis,), "habit")

    def _probable(
        self, name: str, field: str, value: Value, axes: Sequence[Axis], place: Place
    ) -> NDArray[np.float64] | None:
        """Expand what has to sum to 1."""
        array = self._expanded(name, field, value, axes, place)
        if array is None:
            return None
        try:
            array, note = normalised(array, axes, plain=isinstance(value, tuple))
        except ValueError as error:
            self._refuse(name, field, value, error)
            return None
        if note:
            self.flaws.append(Flaw(name, field, f"`{name}`: {note}", "warning"))
        return array

    def _expanded(
        self, name: str, field: str, value: Value, axes: Sequence[Axis], place: Place
    ) -> NDArray[np.float64] | None:
        wrong = too_many(name, axes)
        self.entries += 0 if wrong else math.prod(axis.size for axis in axes)
        if not wrong and self.entries > MAX_TOTAL:
            wrong = (
                f"with `{name}` all arrays have {self.entries:,} numbers, and {MAX_TOTAL:,} are "
                "allowed: have smaller nodes, or fewer"
            )
        if wrong:
            self.flaws.append(Flaw(name, field, wrong))
            return None
        try:
            return expand(value, axes, place)
        except ValueError as error:
            self._refuse(name, field, value, error)
            return None

    def _refuse(self, name: str, field: str, value: Value, error: ValueError) -> None:
        # Where a constructor stands, the array's parts are not those of what is written.
        at = error.at if isinstance(error, PartError) and isinstance(value, tuple) else ()
        self.flaws.append(Flaw(name, field, f"`{name}`: {error}", at=at))


def _like_probabilities(array: NDArray[np.float64]) -> str:
    """Say of preferences that look like probabilities what they are; empty where they do not."""
    several = int((array > 0).sum()) > 1
    if not several or array.min() < 0 or abs(array.sum() - 1) > TOLERANCE:
        return ""
    mend = "write their logarithms"
    if array.min() > 0 and array.size <= 8:  # what fits into a line
        mend += f" [{', '.join(f'{value:.2f}' for value in np.log(array))}]"
    return f"these are log-preferences, not probabilities: if probabilities were meant, {mend}"


def _of(transition: Transition | None, factor: str) -> tuple[str, ...]:
    return (factor,) if transition is None else transition.of


def _by(transition: Transition | None, controls: list[str]) -> int:
    return controls.index(transition.by) if transition and transition.by is not None else -1


def _indices(names: Sequence[str], among: Sequence[str]) -> tuple[int, ...]:
    return tuple(among.index(name) for name in names)


def _maybe(array: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    if array is not None:
        array.setflags(write=False)
    return array


def _held(arrays: Iterable[NDArray[np.float64] | None]) -> tuple[NDArray[np.float64], ...]:
    """Make arrays read-only."""
    found = tuple(array for array in arrays if array is not None)
    for array in found:
        array.setflags(write=False)
    return found

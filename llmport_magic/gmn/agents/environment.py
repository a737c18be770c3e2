"""Worlds that an agent can be run in: anything with `reset`, `step`, `state` and `done`.

A `Process` is the world that a model describes: it draws states and observations from the model's
own arrays. `GridWorld` and `TMaze` are two of them that need no specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from llmport_magic.errors import GMNError
from llmport_magic.gmn.agents.seeding import generator
from llmport_magic.gmn.arrays.model import Model
from llmport_magic.gmn.notation.nodes import Call
from llmport_magic.gmn.spec import Control, Emission, Factor, Modality, Spec, Transition

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOVES = ("up", "right", "down", "left", "stay")
LOCATIONS = ("centre", "left", "right", "cue")
SIDES = ("left", "right")
OUTCOMES = ("nothing", "reward", "loss")
CUES = ("none", "left", "right")


class Environment(Protocol):
    """What an agent can be run in; a class with these four needs no base class.

    One that has also `factors`, the names of what its state is made of, gets its true states
    marked in pictures for the agent's factors of the same names.
    """

    def reset(self) -> tuple[int, ...]:
        """Begin anew and give the first observation: for each modality an index."""
        ...

    def step(self, action: tuple[int, ...]) -> tuple[int, ...]:
        """Carry out an action, for each control an index, and give the next observation."""
        ...

    @property
    def state(self) -> tuple[int, ...]:
        """The true state, which the agent does not see: for each factor an index."""
        ...

    @property
    def done(self) -> bool:
        """Whether there is nothing more to do."""
        ...


class Process:
    """The world that a model describes; it is never done.

    Args:
        source: a model, or a specification, of which the model is taken.
        seed: of what is drawn; the same seed and actions give the same walk, after each `reset`.
        start: the first state, for each factor an index; drawn from `D` unless given.

    Attributes:
        model: the arrays that it draws from.
        factors: the names of what its state is made of.

    Raises:
        GMNError: there is no model, or `start` does not fit it.
    """

    def __init__(
        self, source: Model | Spec, seed: int = 0, *, start: Sequence[int] | None = None
    ) -> None:
        self.model = source.model if isinstance(source, Spec) else source
        if not isinstance(self.model, Model):
            raise GMNError(
                f"a world is made of a specification or a `Model`, not of {type(source).__name__}"
            )
        self.factors = self.model.factors
        self._seed = seed
        self._start = None if start is None else tuple(start)
        if self._start is not None:
            sizes = [len(each) for each in self.model.D]
            _check("start", self._start, sizes, self.factors, "states")
        self.reset()

    def reset(self) -> tuple[int, ...]:
        """Begin anew and give the first observation; the same each time."""
        self._random = generator(self._seed)
        drawn = tuple(self._draw(each) for each in self.model.D)
        self._state = drawn if self._start is None else self._start
        return self._observe()

    def step(self, action: Sequence[int]) -> tuple[int, ...]:
        """Draw the next state and give what is observed in it.

        Raises:
            GMNError: the action does not fit the model's controls.
        """
        model, before = self.model, self._state
        _check("action", action, model.controls, model.control_names, "actions")
        self._state = tuple(
            self._draw(array, *(before[i] for i in of), action[by] if by >= 0 else 0)
            for array, of, by in zip(model.B, model.B_of, model.B_by, strict=True)
        )
        return self._observe()

    @property
    def state(self) -> tuple[int, ...]:
        """The true state: for each factor an index."""
        return self._state

    @property
    def done(self) -> bool:
        """Never: a model says nothing of an end."""
        return False

    def __repr__(self) -> str:
        """Say what it is a world of."""
        return f"<{type(self).__name__}: {', '.join(self.factors)}>"

    def _observe(self) -> tuple[int, ...]:
        return tuple(
            self._draw(array, *(self._state[i] for i in of))
            for array, of in zip(self.model.A, self.model.A_of, strict=True)
        )

    def _draw(self, array: NDArray[Any], *given: int) -> int:
        """Draw an index of the first axis, with the others held at what is given."""
        column: Any = (slice(None), *given)
        # An index of probability 0 is never drawn: its sum is no larger than the one before it.
        sums = np.cumsum(array[column])
        return int(np.searchsorted(sums, self._random.random() * sums[-1], side="right"))


class GridWorld(Process):
    """A grid of cells, seen without error: `move` goes up, right, down, left, or stays.

    Its one factor is `location`, cells row by row from the top left, its one modality `sight`.

    Args:
        rows: of cells.
        columns: of cells.
        start: the first cell.
        goal: the cell where it is done; it is never done unless given.
        slip: the probability that a move is not carried out, as in the constructor `grid`.
        seed: of what is drawn.
    """

    def __init__(
        self,
        rows: int = 5,
        columns: int = 5,
        *,
        start: int = 0,
        goal: int | None = None,
        slip: float = 0.0,
        seed: int = 0,
    ) -> None:
        cells, shape = rows * columns, (rows, columns)
        if goal is not None:
            _check("goal", (goal,), (cells,), ("location",), "states")
        self.goal = goal
        spec = Spec(
            name="grid_world",
            factors=(Factor(name="location", size=cells, shape=shape, initial=_certain(start)),),
            modalities=(Modality(name="sight", size=cells, shape=shape),),
            controls=(Control(name="move", size=len(MOVES), labels=MOVES),),
            emissions=(Emission(name="see", to="sight", of=("location",), matrix="identity"),),
            transitions=(
                Transition(
                    name="walk",
                    to="location",
                    of=("location",),
                    by="move",
                    matrix=Call("grid", (rows, columns), (("slip", slip),)),
                ),
            ),
        )
        super().__init__(spec, seed)

    @property
    def done(self) -> bool:
        """Whether the goal is reached."""
        return self.goal is not None and self.state == (self.goal,)


class TMaze(Process):
    """The T-maze: a reward in the left or the right arm, and a cue that tells which.

    Factors are `location` (centre, left, right, cue) and `context` (left, right: where the reward
    is), modalities `place`, `outcome` (nothing, reward, loss) and `cue` (none, left, right); `move`
    goes to one of the four places from any other, and an arm ends it. It is the task of Friston et
    al. (2015), "Active inference and epistemic value", https://pubmed.ncbi.nlm.nih.gov/25689102/,
    laid out as in the T-maze demo of pymdp, examples/envs/tmaze_demo.ipynb at
    https://github.com/infer-actively/pymdp (read on 2026-11-21).

    Args:
        context: where the reward is, `left` or `right`; drawn with the seed unless given.
        reward: the probability of the reward in the right arm of the two, and of a loss in the
            other.
        seed: of what is drawn.
    """

    def __init__(self, context: str | None = None, *, reward: float = 0.98, seed: int = 0) -> None:
        if context is not None and context not in SIDES:
            raise GMNError(f"`context` is {context!r}; give `left`, `right` or nothing")
        certain = None if context is None else _certain(SIDES.index(context))
        both = ("location", "context")
        spec = Spec(
            name="t_maze",
            factors=(
                Factor(name="location", size=4, labels=LOCATIONS, initial=_certain(0)),
                Factor(name="context", size=2, labels=SIDES, initial=certain),
            ),
            modalities=(
                Modality(name="place", size=4, labels=LOCATIONS),
                Modality(name="outcome", size=3, labels=OUTCOMES),
                Modality(name="cue", size=3, labels=CUES),
            ),
            controls=(Control(name="move", size=4, labels=LOCATIONS),),
            emissions=(
                Emission(name="where", to="place", of=("location",), matrix="identity"),
                Emission(name="pay", to="outcome", of=both, matrix=_outcomes(reward)),
                Emission(name="tell", to="cue", of=both, matrix=_cues()),
            ),
            transitions=(
                Transition(
                    name="go", to="location", of=("location",), by="move", matrix=Call("goto")
                ),
                Transition(name="keep", to="context", of=("context",), matrix="identity"),
            ),
        )
        super().__init__(spec, seed)

    @property
    def done(self) -> bool:
        """Whether an arm is reached."""
        return LOCATIONS[self.state[0]] in SIDES


def _certain(index: int) -> Call:
    return Call("onehot", (index,))


def _outcomes(reward: float) -> tuple[tuple[tuple[float, ...], ...], ...]:
    """Give `[outcome, location, context]`: only the two arms pay."""

    def chance(outcome: str, place: str, side: str) -> float:
        if place not in SIDES:
            return float(outcome == "nothing")
        paid = reward if place == side else 1 - reward
        return {"nothing": 0.0, "reward": paid, "loss": 1 - paid}[outcome]

    return tuple(
        tuple(tuple(chance(outcome, place, side) for side in SIDES) for place in LOCATIONS)
        for outcome in OUTCOMES
    )


def _cues() -> tuple[tuple[tuple[float, ...], ...], ...]:
    """Give `[cue, location, context]`: only the place of the cue tells."""
    return tuple(
        tuple(
            tuple(float(cue == (side if place == "cue" else "none")) for side in SIDES)
            for place in LOCATIONS
        )
        for cue in CUES
    )


def _check(
    what: str, given: Sequence[int], sizes: Sequence[int], names: Sequence[str], kind: str
) -> None:
    """Refuse an index that is none: a negative one would count from the end."""
    names = names or [str(place) for place in range(len(sizes))]
    if len(given) != len(sizes):
        raise GMNError(
            f"`{what}` has {len(given)} numbers and should have {len(sizes)}: one for each of "
            f"{', '.join(f'`{name}`' for name in names)}"
        )
    for index, size, name in zip(given, sizes, names, strict=True):
        if not isinstance(index, int | np.integer) or not 0 <= index < size:
            raise GMNError(
                f"`{what}` is {index} for `{name}`, which has {size} {kind}: 0 to {size - 1}"
            )

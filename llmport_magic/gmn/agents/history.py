"""What an agent perceived, believed and did, step by step, and what was true all the while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmport_magic.errors import GMNError
from llmport_magic.gmn.arrays.model import Model

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from llmport_magic.gmn.agents.agent import Agent
    from llmport_magic.gmn.agents.environment import Environment


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One step of an agent.

    Attributes:
        observation: for each modality the index of what was observed; -1 for nothing.
        beliefs: for each factor the belief about its states, after the observation.
        free_energy: variational free energy of the beliefs, in nats.
        policies: the probability of each policy.
        neg_efe: the negative expected free energy of each policy, in nats; larger is better.
        action: for each control the index of the action that was chosen.
    """

    observation: tuple[int, ...]
    beliefs: tuple[NDArray[Any], ...]
    free_energy: float
    policies: NDArray[Any]
    neg_efe: NDArray[Any]
    action: tuple[int, ...]

    def __repr__(self) -> str:
        believed = ", ".join(f"{int(each.argmax())} ({each.max():.2f})" for each in self.beliefs)
        return (
            f"<Step: observed {self.observation}, believes {believed}, free energy "
            f"{self.free_energy:.3f}, acts {self.action}>"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class History:
    """A run of an agent in an environment; what it has of a factor is asked for by its name.

    Step 0 has the first observation. The action of the last step was chosen, and not carried out.

    Attributes:
        steps: in their order.
        states: the true state at each step, as the environment tells it.
        model: the agent's.
        policies: the actions of each policy, int array `[policies, policy_len, controls]`.
        world: the names of what a true state is made of; empty where the environment has none.
        ended: why it ended: `steps` ran out, the environment was `done`, or `until` held.
    """

    steps: tuple[Step, ...]
    states: tuple[tuple[int, ...], ...]
    model: Model
    policies: NDArray[Any]
    world: tuple[str, ...] = ()
    ended: Literal["steps", "done", "until"] = "steps"

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        why = {"steps": "", "done": ", the environment was done", "until": ", `until` held"}
        count = f"{len(self)} step{'' if len(self) == 1 else 's'}"
        last = "; ".join(self._last(name) for name in self.factors) if self.steps else ""
        return f"<History: {count}{why[self.ended]}{last and ': '}{last}>"

    # -- by name -----------------------------------------------------------------------------

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors' names; `factor 0` and so on where the model has none."""
        return _names("factor", self.model.factors, len(self.model.D))

    @property
    def controls(self) -> tuple[str, ...]:
        """The controls' names; `control 0` and so on where the model has none."""
        return _names("control", self.model.control_names, len(self.model.controls))

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities' names; `modality 0` and so on where the model has none."""
        return _names("modality", self.model.modalities, len(self.model.A))

    def beliefs(self, factor: str | int = 0) -> NDArray[Any]:
        """Give the beliefs about a factor, `[steps, states]`.

        Raises:
            GMNError: there is no such factor.
        """
        index = self.factor(factor)
        return np.array([step.beliefs[index] for step in self.steps])

    def entropy(self, factor: str | int = 0) -> NDArray[Any]:
        """Give the entropy of the beliefs about a factor in nats, `[steps]`: 0 is certainty.

        Raises:
            GMNError: there is no such factor.
        """
        beliefs = self.beliefs(factor)
        # What has no probability adds nothing, and has no logarithm.
        logs = np.log(beliefs, out=np.zeros_like(beliefs), where=beliefs > 0)
        entropy: NDArray[Any] = np.abs((beliefs * logs).sum(axis=1))
        return entropy

    def actions(self, control: str | int = 0) -> NDArray[Any]:
        """Give the actions chosen for a control, int array `[steps]`.

        Raises:
            GMNError: there is no such control.
        """
        index = _place("control", control, self.controls)
        return np.array([step.action[index] for step in self.steps], dtype=int)

    def observations(self, modality: str | int = 0) -> NDArray[Any]:
        """Give what was observed in a modality, int array `[steps]`; -1 where nothing was.

        Raises:
            GMNError: there is no such modality.
        """
        index = _place("modality", modality, self.modalities)
        return np.array([step.observation[index] for step in self.steps], dtype=int)

    def true_states(self, factor: str | int = 0) -> NDArray[Any] | None:
        """Give the true states of a factor, int array `[steps]`; `None` where they are not known.

        An environment's state belongs to the agent's factor of the same name; without names, to
        that in the same place, where there are as many.

        Raises:
            GMNError: there is no such factor.
        """
        index = self.factor(factor)
        if self.world:
            name = self.factors[index]
            where = self.world.index(name) if name in self.world else -1
        else:
            same = self.states and len(self.states[0]) == len(self.factors)
            where = index if same else -1
        if where < 0:
            return None
        states = np.array([state[where] for state in self.states], dtype=int)
        fits = states.size and states.min() >= 0 and states.max() < len(self.model.D[index])
        return states if fits else None

    @property
    def free_energy(self) -> NDArray[Any]:
        """The variational free energy of the beliefs in nats, `[steps]`."""
        return np.array([step.free_energy for step in self.steps])

    @property
    def neg_efe(self) -> NDArray[Any]:
        """The negative expected free energy in nats, `[steps, policies]`; larger is better."""
        return np.array([step.neg_efe for step in self.steps])

    @property
    def probabilities(self) -> NDArray[Any]:
        """The probability of each policy, `[steps, policies]`."""
        return np.array([step.policies for step in self.steps])

    def factor(self, which: str | int) -> int:
        """Give the index of a factor that is named.

        Raises:
            GMNError: there is no such factor.
        """
        return _place("factor", which, self.factors)

    def grid(self, factor: str | int = 0) -> tuple[int, int] | None:
        """Give rows and columns, where the states of a factor are the cells of a grid.

        Raises:
            GMNError: there is no such factor.
        """
        index = self.factor(factor)
        rows, columns, *more = (*(self.model.shapes or {}).get(self.factors[index], ()), 0, 0)
        fits = rows * columns == len(self.model.D[index]) and not any(more)
        return (rows, columns) if fits else None

    def wanted(self, factor: str | int = 0) -> tuple[int, ...]:
        """Give the states of a factor that the agent wants most; empty where no few stand out.

        They are read from preferences over the factor itself, and over observations that depend
        on it alone.

        Raises:
            GMNError: there is no such factor.
        """
        index, model = self.factor(factor), self.model
        values = np.zeros(len(model.D[index]))
        if model.H and (own := model.H[index]) is not None:
            values += own
        for array, of, preference in zip(model.A, model.A_of, model.C, strict=True):
            if of == (index,):
                values += preference @ array
        best = np.flatnonzero(values >= values.max() - 1e-9)
        return tuple(int(state) for state in best) if 2 * len(best) < len(values) else ()

    def label(self, node: str, index: int) -> str:
        """Give the name of a state, an observation or an action: `left`, or `3` where it has none.

        Args:
            node: the factor's, modality's or control's name.
            index: of the state, observation or action.
        """
        labels = (self.model.labels or {}).get(node, ())
        return labels[index] if labels else str(index)

    def moment(self, step: int) -> str:
        """Say which step it is and what was done next: `step 3, then right`; not for the last."""
        if not self.controls or step == len(self) - 1:
            return f"step {step}"
        action = zip(self.controls, self.steps[step].action, strict=True)
        return f"step {step}, then {', '.join(self.label(name, index) for name, index in action)}"

    # -- pictures ----------------------------------------------------------------------------

    def plot(self, *factors: str, theme: Literal["light", "dark"] = "light") -> Figure:
        """Draw beliefs, entropy, expected free energy and actions; needs matplotlib.

        Args:
            factors: whose beliefs are drawn; all of them unless given.
            theme: `light` or `dark`; either has a background of its own.

        Returns:
            A figure that pyplot does not know of. A notebook shows it when it is a cell's value.

        Raises:
            GMNError: there is no such factor or theme, no step, or no matplotlib.
        """
        from llmport_magic.gmn.pictures.plotting import plot

        return plot(self, factors, theme)

    def animate(
        self,
        factor: str | int = 0,
        *,
        theme: Literal["light", "dark"] = "light",
        interval: int = 500,
    ) -> FuncAnimation:
        """Draw the beliefs about a factor as they change; needs matplotlib.

        A notebook shows it as a player; `.save("walk.gif", writer="pillow")` writes a file.

        Args:
            factor: by name or index.
            theme: `light` or `dark`.
            interval: milliseconds a step.

        Raises:
            GMNError: there is no such factor or theme, no step, or no matplotlib.
        """
        from llmport_magic.gmn.pictures.animation import animate

        return animate(self, factor, theme, interval)

    def _last(self, name: str) -> str:
        belief, truth = self.beliefs(name)[-1], self.true_states(name)
        likely = int(belief.argmax())
        believed = f"{self.label(name, likely)} ({belief[likely]:.0%})"
        if truth is None:
            return f"{name} believed {believed}"
        return f"{name} {self.label(name, int(truth[-1]))}, believed {believed}"


def run(
    agent: Agent,
    environment: Environment,
    steps: int,
    until: Callable[[tuple[int, ...]], bool] | None = None,
) -> History:
    """Let an agent perceive and act; both begin anew.

    Args:
        agent: who acts.
        environment: what it acts in.
        steps: how many observations it gets at most, the first one included.
        until: is asked with the true state at each step; the run ends where it says yes. It ends
            also where the environment is done.

    Raises:
        GMNError: `steps` is below 1, or agent and environment do not fit each other.
    """
    if not isinstance(steps, int | np.integer) or steps < 1:
        raise GMNError(f"`steps` is {steps!r}; give 1 or more, a whole number")
    if isinstance(environment, type):
        name = environment.__name__
        raise GMNError(f"{name} is a class: make a world of it, `{name}()`")
    _require(environment, "reset", "step")
    _compare(agent.model, getattr(environment, "model", None))
    agent.reset()
    observation = environment.reset()
    _require(environment, "state", "done")
    taken: list[Step] = []
    states: list[tuple[int, ...]] = []
    ended: Literal["steps", "done", "until"] = "steps"
    while True:
        states.append(_true_state(environment))
        taken.append(agent.step(observation))
        if environment.done:
            ended = "done"
            break
        if until is not None and until(states[-1]):
            ended = "until"
            break
        if len(taken) == steps:
            break
        observation = environment.step(taken[-1].action)
    return History(
        steps=tuple(taken),
        states=tuple(states),
        model=agent.model,
        policies=agent.policies,
        world=tuple(getattr(environment, "factors", ())),
        ended=ended,
    )


def _compare(own: Model, world: object) -> None:
    """Refuse a world whose observations and actions are not as many as the agent's."""
    if not isinstance(world, Model):
        return
    for what, ours, theirs in (
        ("observations", [len(each) for each in own.A], [len(each) for each in world.A]),
        ("actions", list(own.controls), list(world.controls)),
    ):
        if ours != theirs:
            raise GMNError(
                f"the agent is made for {_counts(ours)} {what}, and the world has "
                f"{_counts(theirs)}: make both the same"
            )


def _counts(sizes: Sequence[int]) -> str:
    return " and ".join(map(str, sizes)) or "no"


def _require(environment: object, *names: str) -> None:
    # The class is asked first: a property of it is there even where reading it would fail.
    lacks = [
        name
        for name in names
        if not hasattr(type(environment), name) and not hasattr(environment, name)
    ]
    if lacks:
        raise GMNError(
            f"{type(environment).__name__} has no {' and no '.join(f'`{name}`' for name in lacks)}:"
            " give a world with `reset`, `step`, `state` and `done`, such as `spec.environment()`"
        )


def _true_state(environment: Environment) -> tuple[int, ...]:
    state: object = environment.state
    if not isinstance(state, Iterable):
        raise GMNError(
            f"`state` of {type(environment).__name__} is {state!r}: give a tuple, an index for "
            "each factor"
        )
    return tuple(state)


def _names(kind: str, names: Sequence[str], count: int) -> tuple[str, ...]:
    return tuple(names) or tuple(f"{kind} {index}" for index in range(count))


def _place(kind: str, which: str | int, names: Sequence[str]) -> int:
    if isinstance(which, str) and which in names:
        return list(names).index(which)
    if isinstance(which, int) and 0 <= which < len(names):
        return which
    there = ", ".join(f"`{name}`" for name in names) or "none"
    raise GMNError(f"there is no {kind} {which!r}; there is {there}")

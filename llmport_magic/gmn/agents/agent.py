"""An active-inference agent: it perceives, plans and acts in one generative model.

agent = Agent(model, policy_len=3, seed=0)
step = agent.step([4])        # an index for each modality
step.action                   # an index for each control
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmport_magic.errors import GMNError
from llmport_magic.gmn.agents.history import Step
from llmport_magic.gmn.agents.inference import Inference, log, softmax
from llmport_magic.gmn.agents.policies import MAX_POLICIES, MAX_STEPS, Planning, all_policies
from llmport_magic.gmn.agents.seeding import generator
from llmport_magic.gmn.arrays.model import Model
from llmport_magic.gmn.notation.nodes import MOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from llmport_magic.gmn.agents.environment import Environment
    from llmport_magic.gmn.agents.history import History
    from llmport_magic.gmn.agents.learning import Counts

# Probabilities this close, relative to the largest, are equal: rounding must not decide.
TIE = 1e-9


class Agent:
    """An agent with beliefs; the same seed and observations give the same actions.

    Args:
        model: its generative model.
        policy_len: how many steps a policy looks ahead.
        gamma: precision: how strongly expected free energy decides between policies.
        seed: of the generator that stochastic selection draws from.
        action_selection: `deterministic` takes the most probable, the first of equals;
            `stochastic` draws with probability proportional to `p ** alpha`.
        sampling: `full` selects a policy and takes its first action; `marginal` selects for each
            control an action by the sum of the policies that begin with it.
        alpha: precision of stochastic selection.
        policies: int array `[policy, step, control]`; all of `policy_len` steps unless given.
        max_policies: how many policies there may be.
        utility: whether what is preferred counts in the expected free energy.
        information_gain: whether what observations tell about states counts in it.
        counts: what the model's arrays are learned from, see `learning`; with them, the novelty of
            what is not known counts in it, too.

    Attributes:
        model: as given; with `counts` the one that is learned.
        counts: as given, with what was added; `reset` keeps them.
        policies: int array `[policy, step, control]`, read-only.
        beliefs: for each factor the belief after the last observation; at first the model's D.
        free_energy: variational free energy of these beliefs, in nats; 0 at first.

    Raises:
        GMNError: there are too many policies, they do not fit the model, or an argument is bad.
    """

    def __init__(
        self,
        model: Model,
        *,
        policy_len: int = 1,
        gamma: float = 16.0,
        seed: int = 0,
        action_selection: Literal["deterministic", "stochastic"] = "deterministic",
        sampling: Literal["full", "marginal"] = "full",
        alpha: float = 1.0,
        policies: ArrayLike | None = None,
        max_policies: int = MAX_POLICIES,
        utility: bool = True,
        information_gain: bool = True,
        counts: Counts | None = None,
    ) -> None:
        if not isinstance(model, Model):
            raise GMNError(
                f"an agent is made of a `Model`, not of {type(model).__name__}: of a specification "
                "`spec.agent()` makes one"
            )
        _check(policy_len, gamma, alpha, action_selection, sampling)
        if counts is not None:
            counts.check(model)
            model = counts.applied(model)
        self.model, self.counts = model, counts
        self.gamma, self.alpha, self.seed = float(gamma), float(alpha), seed
        self.action_selection, self.sampling = action_selection, sampling
        self.policies = (
            all_policies(model.controls, policy_len, max_policies)
            if policies is None
            else _given(policies, model, max_policies)
        )
        self.policies.flags.writeable = False
        self._log_habit = _log_habit(model, self.policies)
        self._first = [tuple(map(int, row)) for row in self.policies[:, 0]]
        self._infer = Inference(model)
        self._plan = Planning(
            model,
            self.policies,
            utility=utility,
            information_gain=information_gain,
            counts=counts,
        )
        self._moves = _moves(model)
        self._seeable = tuple(map(len, model.A))
        self.reset()

    def __repr__(self) -> str:
        """Say what it is made for."""
        return (
            f"<Agent: {', '.join(self.model.factors)}; {len(self.policies):,} policies of "
            f"{self.policies.shape[1]} steps>"
        )

    def reset(self) -> None:
        """Begin anew: the initial beliefs, and the generator at its seed."""
        self._random = generator(self.seed)
        self._prior = self.model.D
        self.beliefs: tuple[NDArray[Any], ...] = self.model.D
        self.free_energy = 0.0
        self._probabilities: NDArray[Any] | None = None
        self._seen: tuple[int | None, ...] | None = None
        self._done: tuple[tuple[NDArray[Any], ...], tuple[int, ...]] | None = None

    def infer_states(self, observation: Sequence[int | str | None]) -> tuple[NDArray[Any], ...]:
        """Update the beliefs by an observation; again at the same step, the last one counts.

        Args:
            observation: for each modality the index of what was observed, or its label; `None`
                where nothing was.

        Returns:
            For each factor the belief about its states.

        Raises:
            GMNError: the observation does not fit the model.
        """
        self._perceive(observation)
        return self.beliefs

    def infer_policies(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Judge the policies from the present beliefs.

        Returns:
            The probability of each policy, and its negative expected free energy in nats: two
            arrays `[policy]`, in the order of `policies`.
        """
        neg_efe = self._plan.neg_efe(self.beliefs)
        self._probabilities = softmax(self.gamma * neg_efe + self._log_habit)
        return self._probabilities, neg_efe

    def choose(self) -> tuple[int, ...]:
        """Choose an action by the probabilities of the policies: for each control an index."""
        probabilities = self._probabilities
        if probabilities is None:
            probabilities, _ = self.infer_policies()
        if self.sampling == "full":
            return self._first[self._select(probabilities)]
        return tuple(
            self._select(np.bincount(self.policies[:, 0, control], probabilities, minlength=count))
            for control, count in enumerate(self.model.controls)
        )

    def act(self, action: Sequence[int]) -> tuple[NDArray[Any], ...]:
        """Expect what follows on an action: the prior for the next observation.

        Where the next step brings no observation, infer from one that is `None` throughout.

        Args:
            action: for each control the index of the action, whether the agent chose it or not.

        Returns:
            For each factor the belief that is expected.

        Raises:
            GMNError: the action does not fit the model.
        """
        model = self.model
        chosen = _indices(action, model.controls, model.control_names, "action", model.labels)
        expected = []
        for (by, matrices), of in zip(self._moves, model.B_of, strict=True):
            moved = matrices[chosen[by] if by >= 0 else 0]
            for factor in reversed(of):
                moved = moved @ self.beliefs[factor]
            expected.append(moved)
        self._prior, self._done = tuple(expected), (self.beliefs, chosen)
        return self._prior

    def learn(self) -> None:
        """Add the last observation to the counts, once a step before `act`; `step` does it.

        Raises:
            GMNError: the agent has no counts, or has observed nothing yet.
        """
        if self.counts is None or self._seen is None:
            what = "observed nothing" if self.counts else "no `counts` to learn from"
            raise GMNError(f"the agent has {what}: give it some, then learn")
        counts = self.counts.seen(self._seen, self.beliefs, self.model)
        if self._done is None:
            counts = counts.begun(self.beliefs)
        else:
            before, action = self._done
            counts = counts.moved(before, self.beliefs, action, self.model)
        self.counts, self.model = counts, counts.applied(self.model)
        self._infer = Inference(self.model)
        self._moves = _moves(self.model)
        self._plan.use(self.model, counts)

    def step(self, observation: Sequence[int | str | None]) -> Step:
        """Perceive, plan, choose an action and expect what follows on it.

        Args:
            observation: as for `infer_states`.

        Raises:
            GMNError: the observation does not fit the model.
        """
        seen = self._perceive(observation)
        probabilities, neg_efe = self.infer_policies()
        action = self.choose()
        if self.counts is not None:
            self.learn()
        self.act(action)
        return Step(
            observation=tuple(-1 if each is None else each for each in seen),
            beliefs=self.beliefs,
            free_energy=self.free_energy,
            policies=probabilities,
            neg_efe=neg_efe,
            action=action,
        )

    def run(
        self,
        environment: Environment,
        steps: int = 20,
        until: Callable[[tuple[int, ...]], bool] | None = None,
    ) -> History:
        """Act in an environment; both begin anew.

        Args:
            environment: what answers to the actions.
            steps: how many observations the agent gets at most, the first one included.
            until: is asked with the true state at each step; the run ends where it says yes.

        Raises:
            GMNError: `steps` is below 1, or agent and environment do not fit each other.
        """
        from llmport_magic.gmn.agents import history

        return history.run(self, environment, steps, until)

    # -- what stands behind it -----------------------------------------------------------------

    def _perceive(self, observation: Sequence[int | str | None]) -> tuple[int | None, ...]:
        model = self.model
        seen = _indices(
            observation, self._seeable, model.modalities, "observation", model.labels, missing=True
        )
        self.beliefs, self.free_energy = self._infer(seen, self._prior)
        self._seen, self._probabilities = seen, None
        return seen

    def _select(self, probabilities: NDArray[Any]) -> int:
        """Select an index by the rule of `action_selection`."""
        if self.action_selection == "deterministic":
            return int((probabilities >= (1 - TIE) * probabilities.max()).argmax())
        weights = softmax(self.alpha * log(probabilities))
        drawn = int(np.searchsorted(weights.cumsum(), self._random.random(), side="right"))
        return min(drawn, len(weights) - 1)


def _indices(
    given: Sequence[int | str | None],
    sizes: Sequence[int],
    names: Sequence[str],
    kind: str,
    labels: Mapping[str, Sequence[str]] | None,
    *,
    missing: bool = False,
) -> tuple[Any, ...]:
    """Check an observation or an action, and give its indices."""
    if isinstance(given, str | bytes) or not hasattr(given, "__len__"):
        raise GMNError(f"{kind} {given!r}: give a list, an index for each of {_named(names)}")
    if len(given) != len(sizes):
        raise GMNError(
            f"{kind} {list(given)!r} has {len(given)} values, and there are {len(sizes)}: give one "
            f"for each of {_named(names)}"
        )
    indices: list[int | None] = []
    for place, (value, size) in enumerate(zip(given, sizes, strict=True)):
        if type(value) is int and 0 <= value < size:
            indices.append(value)
        elif value is None and missing:
            indices.append(None)
        else:
            name = names[place] if place < len(names) else str(place)
            indices.append(_index(value, size, name, kind, (labels or {}).get(name, ())))
    return tuple(indices)


def _index(value: object, size: int, name: str, kind: str, labels: Sequence[str]) -> int:
    """Give the index that a label or a number of another type stands for."""
    if isinstance(value, str):
        if value in labels:
            return list(labels).index(value)
        known = f"its labels are {_named(labels)}" if labels else "it has no labels"
        raise GMNError(f"`{name}` has no {kind} {value!r}: {known}; give one or an index")
    try:
        index = -1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]  # it raises
    except TypeError:
        index = -1
    if not 0 <= index < size:
        raise GMNError(
            f"`{name}` has no {kind} {value!r}: give a whole number from 0 to {size - 1}"
        )
    return index


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def _check(
    policy_len: int, gamma: float, alpha: float, action_selection: str, sampling: str
) -> None:
    if type(policy_len) is not int or not 1 <= policy_len <= MAX_STEPS:
        raise GMNError(
            f"`policy_len` is {policy_len!r}; give a whole number from 1 to {MAX_STEPS:,}"
        )
    for name, value in (("gamma", gamma), ("alpha", alpha)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST:
            raise GMNError(f"`{name}` is {value!r}; give a number above 0, {MOST:g} at most")
    for name, chosen, known in (
        ("action_selection", action_selection, ("deterministic", "stochastic")),
        ("sampling", sampling, ("full", "marginal")),
    ):
        if chosen not in known:
            raise GMNError(f"`{name}` is {chosen!r}; give `{known[0]}` or `{known[1]}`")


def _given(policies: ArrayLike, model: Model, limit: int) -> NDArray[Any]:
    """Check policies that were given."""
    array = np.array(policies)
    wanted = f"[policy, step, control] with {len(model.controls)} controls"
    if array.ndim != 3 or array.shape[2] != len(model.controls) or 0 in array.shape[:2]:
        raise GMNError(f"`policies` has the shape {array.shape}; give whole numbers {wanted}")
    if len(array) > limit:
        raise GMNError(
            f"`policies` has {len(array):,} policies, and {limit:,} are allowed: give fewer, or a "
            "higher `max_policies`"
        )
    if not np.issubdtype(array.dtype, np.integer) and array.size:
        raise GMNError(f"`policies` is of {array.dtype}; give whole numbers {wanted}")
    for control, (count, name) in enumerate(zip(model.controls, model.control_names, strict=True)):
        if array[..., control].min() < 0 or array[..., control].max() >= count:
            raise GMNError(
                f"`policies` has an action of `{name}` that is not from 0 to {count - 1}"
            )
    return array.astype(np.intp)


def _log_habit(model: Model, policies: NDArray[Any]) -> NDArray[Any]:
    """Give the logarithm of the prior over policies."""
    count = len(policies)
    if model.E is None:
        return log(np.full(count, 1 / count))
    if len(model.E) != count:
        raise GMNError(
            f"the habit has {len(model.E)} values, and there are {count:,} policies of "
            f"{policies.shape[1]} steps: give a value for each policy, or change `policy_len` (in "
            "the notation `horizon`)"
        )
    return log(model.E)


def _moves(model: Model) -> list[tuple[int, list[NDArray[Any]]]]:
    """Give for each factor its control and the transition `[next, previous, …]` of each action."""
    return [
        (by, [np.ascontiguousarray(matrix[..., action]) for action in range(matrix.shape[-1])])
        for matrix, by in zip(model.B, model.B_by, strict=True)
    ]

"""Which policies there are, and how good each is expected to be.

A policy is a sequence of actions. Its negative expected free energy is summed over its steps:

    neg_efe = sum of  utility                E[C(o)] + E[H(s)]
                    + information gain       entropy of the expected o - E[entropy of A(o | s)]
                    + novelty                what there is to learn of A and B, see `learning`

in nats; larger is better. The probability of a policy is `softmax(gamma * neg_efe + ln E)`. This is
pymdp 1.0.4 (`control.compute_neg_efe_policy`, read on 2026-11-21); preferences over states (H) are
ours. C is used as it is: a constant added to it adds the same to every policy.

Policies that begin alike share the states that they expect: these form a tree, and each of its
levels is one product of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmport_magic.errors import GMNError
from llmport_magic.gmn.agents.inference import EPSILON, softmax
from llmport_magic.gmn.agents.learning import novelty

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmport_magic.gmn.agents.learning import Counts
    from llmport_magic.gmn.arrays.model import Model

MAX_POLICIES = 100_000
# Of a policy, and as `horizon` in the notation.
MAX_STEPS = 1_000
# OpenBLAS computes products up to this size on one thread. To wake others for some hundred rows
# costs more than it gains, and milliseconds where the cores are busy: larger ones go in blocks.
ONE_THREAD = 2**18
# 512 MB in float64: the largest array that expecting the states of all policies may take.
MAX_NUMBERS = 2**26
# Longer numbers are told by their size.
_DIGITS = 18


def count_policies(controls: Sequence[int], length: int) -> int:
    """Count the policies that a model with these controls has."""
    return int(math.prod(controls) ** length)


def all_policies(controls: Sequence[int], length: int, limit: int = MAX_POLICIES) -> NDArray[Any]:
    """List every sequence of actions, the last action changing fastest.

    Args:
        controls: how many actions each control has.
        length: how many steps a policy has.
        limit: how many policies there may be.

    Returns:
        int array `[policy, step, control]`.

    Raises:
        GMNError: there would be more than `limit`.
    """
    actions = math.prod(controls)
    digits = length * math.log10(max(actions, 1))
    # The number itself takes for ever where it has millions of digits.
    count = count_policies(controls, length) if digits < _DIGITS else math.inf
    if count > limit:
        said = f"{count:,}" if digits < _DIGITS else f"about 10^{digits:.0f}"
        sizes = " x ".join(map(str, controls))
        raise GMNError(
            f"{said} policies ({sizes} actions, {length} steps), and {limit:,} are allowed: "
            "lower `policy_len` (in the notation `horizon`), have fewer actions, or give "
            "`policies` or a higher `max_policies`"
        )
    number = int(count)
    listed, rest = np.zeros((number, length, len(controls)), dtype=np.intp), np.arange(number)
    for step in reversed(range(length if actions > 1 else 0)):
        for control in reversed(range(len(controls))):
            rest, listed[:, step, control] = np.divmod(rest, controls[control])
    return listed


@dataclass(frozen=True, slots=True)
class _Level:
    """One step of all policies: what follows on which beginning, by which actions.

    `rows` picks for each factor, out of all pairs of a beginning and an action, those that occur;
    `None` where that is all of them in their order.
    """

    parents: NDArray[Any] | None
    rows: tuple[NDArray[Any] | None, ...]


class Planning:
    """The expected free energy of policies in one model; what beliefs do not change is kept.

    Args:
        model: the model.
        policies: int array `[policy, step, control]`.
        utility: whether what is preferred counts.
        information_gain: whether what observations tell about states counts.
        counts: what is to be learned of the model.

    Raises:
        GMNError: the policies expect more states than fit into memory.
    """

    def __init__(
        self,
        model: Model,
        policies: NDArray[Any],
        *,
        utility: bool = True,
        information_gain: bool = True,
        counts: Counts | None = None,
    ) -> None:
        self._utility, self._information_gain = utility, information_gain
        self._of = model.B_of
        self._sizes = [len(belief) for belief in model.D]
        self._check_size(model, len(policies))
        self._levels, self._leaves = _tree(policies, model)
        wanted = (model.H or (None,) * len(model.D)) if utility else ()
        self._wanted = [(i, each) for i, each in enumerate(wanted) if each is not None]
        self.use(model, counts)

    def use(self, model: Model, counts: Counts | None) -> None:
        """Go on with other arrays of the same shapes, and with what is to be learned of them."""
        self._moves = [_flat_transition(matrix) for matrix in model.B]
        self._seeing = _seeing(
            model, utility=self._utility, information_gain=self._information_gain
        )
        self._new_moves = {
            factor: _flat_transition(novelty(each))
            for factor, each in enumerate(counts.B if counts else ())
            if each is not None
        }
        self._new_sights = [
            (model.A_of[modality], _rows(model.A[modality]), _rows(novelty(each)))
            for modality, each in enumerate(counts.A if counts else ())
            if each is not None
        ]

    def neg_efe(self, beliefs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Give the negative expected free energy of each policy, in nats.

        Args:
            beliefs: for each factor the belief about the state now.
        """
        expected = [belief[np.newaxis] for belief in beliefs]
        total = np.zeros(1)
        for level in self._levels:
            before = expected
            expected = [
                self._expect(before, factor, level, self._moves[factor])
                for factor in range(len(self._sizes))
            ]
            worth = self._worth(expected)
            for factor, weights in self._new_moves.items():
                new = self._expect(before, factor, level, weights)
                worth += np.einsum("ij,ij->i", expected[factor], new)
            total = worth + (
                np.repeat(total, len(worth) // len(total))
                if level.parents is None
                else total[level.parents]
            )
        return total if self._leaves is None else total[self._leaves]

    def _expect(
        self,
        expected: Sequence[NDArray[Any]],
        factor: int,
        level: _Level,
        matrix: NDArray[Any],
    ) -> NDArray[Any]:
        """Give the next states of a factor, a row for each beginning of a policy."""
        moved = _product(_joint(expected, self._of[factor]), matrix)
        following: NDArray[Any] = moved.reshape(-1, self._sizes[factor])
        rows = level.rows[factor]
        return following if rows is None else following[rows]

    def _worth(self, expected: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Give what one step adds, for each beginning of a policy."""
        worth = np.zeros(len(expected[0]))
        for of, seeing in self._seeing:
            told = _product(_joint(expected, of), seeing)
            worth += told[:, -1]
            if self._information_gain:
                seen = told[:, :-1]
                worth -= np.einsum("ij,ij->i", seen, np.log(np.maximum(seen, EPSILON)))
        for factor, values in self._wanted:
            worth += expected[factor] @ values
        for of, sights, weights in self._new_sights:
            joint = _joint(expected, of)
            worth += np.einsum("ij,ij->i", _product(joint, sights), _product(joint, weights))
        return worth

    def _check_size(self, model: Model, count: int) -> None:
        sizes = self._sizes
        widths = [math.prod(sizes[i] for i in of) for of in (*model.B_of, *model.A_of)]
        numbers = count * max(widths)
        if numbers > MAX_NUMBERS:
            raise GMNError(
                f"{count:,} policies over {max(widths):,} joint states need {numbers:,} numbers at "
                f"once, and {MAX_NUMBERS:,} are allowed: lower `policy_len` (in the notation "
                "`horizon`), or let observations and transitions depend on fewer states"
            )


def _joint(expected: Sequence[NDArray[Any]], of: Sequence[int]) -> NDArray[Any]:
    """Give the joint distribution of some factors, flat, a row for each beginning of a policy."""
    if not of:
        return np.ones((len(expected[0]), 1))
    joint = expected[of[0]]
    for factor in of[1:]:
        other = expected[factor]
        joint = (joint[:, :, np.newaxis] * other[:, np.newaxis, :]).reshape(len(joint), -1)
    return joint


def _product(rows: NDArray[Any], matrix: NDArray[Any]) -> NDArray[Any]:
    """Multiply, in blocks of rows where that is faster."""
    block = ONE_THREAD // matrix.size
    if len(rows) <= block or block < 16:  # a matrix this large is worth threads
        product: NDArray[Any] = rows @ matrix
        return product
    product = np.empty((len(rows), matrix.shape[1]))
    for begin in range(0, len(rows), block):
        np.matmul(rows[begin : begin + block], matrix, out=product[begin : begin + block])
    return product


def _flat_transition(matrix: NDArray[Any]) -> NDArray[Any]:
    """Turn `[next, previous, …, action]` into `[previous, action and next]`."""
    following, actions = matrix.shape[0], matrix.shape[-1]
    flat = matrix.reshape(following, -1, actions)
    return np.ascontiguousarray(flat.transpose(1, 2, 0)).reshape(-1, actions * following)


def _rows(matrix: NDArray[Any]) -> NDArray[Any]:
    """Turn `[observation, state, …]` into `[state, observation]`."""
    return np.ascontiguousarray(matrix.reshape(len(matrix), -1).T)


def _seeing(
    model: Model, *, utility: bool, information_gain: bool
) -> tuple[tuple[tuple[int, ...], NDArray[Any]], ...]:
    """Put the modalities that depend on the same factors into one matrix for each such set.

    A row is a joint state; the columns are the observations of all of them, and last what is
    linear in the state: the utility, less the entropy of what is seen in that state.
    """
    columns: dict[tuple[int, ...], list[NDArray[Any]]] = {}
    linear: dict[tuple[int, ...], NDArray[Any]] = {}
    for matrix, of, wanted in zip(model.A, model.A_of, model.C, strict=True):
        flat = matrix.reshape(len(matrix), -1)
        columns.setdefault(of, []).append(flat)
        worth = np.zeros(flat.shape[1])
        if utility:
            worth += wanted @ flat
        if information_gain:
            worth += (flat * np.log(np.maximum(flat, EPSILON))).sum(axis=0)
        linear[of] = linear.get(of, 0) + worth
    return tuple(
        (of, np.ascontiguousarray(np.vstack([*parts, linear[of]]).T))
        for of, parts in columns.items()
    )


def _tree(policies: NDArray[Any], model: Model) -> tuple[list[_Level], NDArray[Any] | None]:
    """Find the beginnings that policies share.

    Returns:
        The levels, and for each policy its place in the last; `None` where the places are in order.
    """
    combinations = max(math.prod(model.controls), 1)
    place = np.zeros(len(policies), dtype=np.intp)
    levels = []
    before = 1
    for step in range(policies.shape[1]):
        actions = policies[:, step]
        combined = np.zeros_like(place)
        for control, count in enumerate(model.controls):
            combined = combined * count + actions[:, control]
        _, first, following = np.unique(
            place * combinations + combined, return_index=True, return_inverse=True
        )
        parents = place[first]
        rows = []
        for matrix, by in zip(model.B, model.B_by, strict=True):
            taken = actions[first, by] if by >= 0 else 0
            pairs = parents * matrix.shape[-1] + taken
            rows.append(None if _in_order(pairs, before * matrix.shape[-1]) else pairs)
        levels.append(
            _Level(
                parents=None
                if _in_order(parents * combinations + combined[first], before * combinations)
                else parents,
                rows=tuple(rows),
            )
        )
        place, before = following.reshape(-1), len(first)
    return levels, None if _in_order(place, before) else place


def _in_order(places: NDArray[Any], count: int) -> bool:
    return len(places) == count and bool((places == np.arange(count)).all())


def precision(
    neg_efe: NDArray[Any],
    free_energy: NDArray[Any],
    *,
    habit: NDArray[Any] | None = None,
    gamma: float = 1.0,
    iterations: int = 16,
    step: float = 2.0,
) -> tuple[float, NDArray[Any], NDArray[Any]]:
    """Update the precision of policies by what each of them makes of an observation.

    The updates of Smith, Friston and Whyte (2022), `EFE_Precision_Updating.m`, read on 2026-11-21.
    `Agent` does not use it: its policies begin where it is now, so that an observation does not
    speak for one or another, and its precision would stay what it is.

    Args:
        neg_efe: negative expected free energy of each policy, in nats.
        free_energy: variational free energy of each policy after the observation, in nats.
        habit: prior over policies, up to a factor; uniform unless given.
        gamma: the precision before.
        iterations: how many updates.
        step: what each update is divided by.

    Returns:
        The precision after, and the probabilities of the policies before and after the observation.
    """
    known = 0.0 if habit is None else np.log(np.maximum(habit, EPSILON))
    prior_rate = rate = 1 / gamma
    before = after = softmax(known + gamma * neg_efe)
    for _ in range(iterations):
        before = softmax(known + gamma * neg_efe)
        after = softmax(known + gamma * neg_efe - free_energy)
        rate -= (rate - prior_rate + float((after - before) @ neg_efe)) / step
        gamma = 1 / rate
    return gamma, before, after

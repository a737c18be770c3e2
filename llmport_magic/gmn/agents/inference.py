"""What an agent believes after an observation: mean-field inference over a model's factors.

The belief is a product of one distribution for each factor. It is found by the fixed point

    ln q(s_f) = ln prior(s_f) + sum over modalities of E[ln A(o | s)] under the other factors' q

which starts at uniform beliefs and is taken at most 16 times, all factors at once. Where no
observation depends on two factors, the first is exact: Bayes' rule. Logarithms are natural, and of
nothing smaller than `EPSILON`. All of this is as in pymdp 1.0.4, so that the numbers are equal
(`algos.run_factorized_fpi`, `maths.log_stable`; https://github.com/infer-actively/pymdp, read on
2026-11-21).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmport_magic.gmn.arrays.model import Model

# Factors that observations depend on together, and the log-likelihood of their states: for each of
# the factors with its axis first.
Coupled: TypeAlias = "tuple[tuple[int, ...], list[NDArray[Any]]]"

EPSILON = float(np.finfo(np.float64).eps)
ITERATIONS = 16


def log(values: NDArray[Any]) -> NDArray[Any]:
    """Give the natural logarithm, of `EPSILON` where a value is smaller."""
    logarithms: NDArray[Any] = np.log(np.maximum(values, EPSILON))
    return logarithms


def softmax(values: NDArray[Any]) -> NDArray[Any]:
    """Give the distribution whose logarithm is `values` up to a constant; a vector."""
    powers: NDArray[Any] = np.exp(values - values.max())
    powers /= powers.sum()
    return powers


class Inference:
    """State inference in one model; what does not depend on the observation is computed once."""

    def __init__(self, model: Model) -> None:
        self._alone: list[tuple[int, int, NDArray[Any]]] = []
        groups: dict[tuple[int, ...], list[tuple[int, list[NDArray[Any]]]]] = {}
        for modality, (matrix, of) in enumerate(zip(model.A, model.A_of, strict=True)):
            table = log(matrix)
            if len(of) == 1:
                self._alone.append((modality, of[0], table))
                continue
            # For each factor a copy with its axis in front of the others: summing out the last
            # axes is then a product of contiguous matrices.
            turned = [
                np.ascontiguousarray(np.moveaxis(table, 1 + axis, 1)) for axis in range(len(of))
            ]
            groups.setdefault(of, []).append((modality, turned or [table]))
        self._groups = tuple(groups.items())

    def __call__(
        self, observation: Sequence[int | None], prior: Sequence[NDArray[Any]]
    ) -> tuple[tuple[NDArray[Any], ...], float]:
        """Infer the states.

        Args:
            observation: for each modality the index of what was observed; `None` tells nothing.
            prior: for each factor the belief before the observation.

        Returns:
            For each factor the belief `q`, and the variational free energy in nats:
            `sum of E[ln q - ln prior] - E[ln A(o | s)]`.
        """
        base = self._base(observation, prior)
        coupled = self._coupled(observation)
        logs = self._fixed_point(base, coupled) if coupled else base
        beliefs = tuple(softmax(each) for each in logs)
        return beliefs, _energy(beliefs, base, coupled)

    def free_energy(
        self,
        observation: Sequence[int | None],
        beliefs: Sequence[NDArray[Any]],
        prior: Sequence[NDArray[Any]],
    ) -> float:
        """Give the variational free energy of any beliefs, in nats; arguments as for the call."""
        return _energy(beliefs, self._base(observation, prior), self._coupled(observation))

    def _base(
        self, observation: Sequence[int | None], prior: Sequence[NDArray[Any]]
    ) -> list[NDArray[Any]]:
        """Give for each factor what no other factor bears on."""
        base = [log(belief) for belief in prior]
        for modality, factor, table in self._alone:
            seen = observation[modality]
            if seen is not None:
                base[factor] = base[factor] + table[seen]
        return base

    def _coupled(self, observation: Sequence[int | None]) -> list[Coupled]:
        """Sum the log-likelihoods of the modalities that depend on the same several factors."""
        coupled = []
        for of, members in self._groups:
            seen = [
                [table[index] for table in tables]
                for modality, tables in members
                if (index := observation[modality]) is not None
            ]
            if seen:
                coupled.append((of, [sum(each[1:], each[0]) for each in zip(*seen, strict=True)]))
        return coupled

    @staticmethod
    def _fixed_point(
        base: Sequence[NDArray[Any]], coupled: Sequence[Coupled]
    ) -> list[NDArray[Any]]:
        beliefs = [np.full(len(each), 1 / len(each)) for each in base]
        logs = list(base)
        for _ in range(ITERATIONS):
            logs = list(base)
            for of, tables in coupled:
                for factor, table in zip(of, tables, strict=False):
                    message = table
                    for other in reversed(of):
                        if other != factor:
                            message = message @ beliefs[other]
                    logs[factor] = logs[factor] + message
            following = [softmax(each) for each in logs]
            # What the next would compute is then the same to the last bit.
            if all(map(np.array_equal, following, beliefs)):
                break
            beliefs = following
        return logs


def _energy(
    beliefs: Sequence[NDArray[Any]], base: Sequence[NDArray[Any]], coupled: Sequence[Coupled]
) -> float:
    energy = 0.0
    for belief, known in zip(beliefs, base, strict=True):
        energy += float(belief @ (log(belief) - known))
    for of, tables in coupled:
        joint = tables[0]
        for factor in reversed(of):
            joint = joint @ beliefs[factor]
        energy -= float(joint)
    return energy

"""What an agent learns of its own model: counts behind the arrays, and how new a policy is.

A column of counts is a Dirichlet distribution over what the column of the array may be; the array
is its mean. What happens is added to the counts:

    A   + rate * o x q(s)                   at each observation
    B   + rate * q(s) x q(s before)         for the action that was taken
    D   + rate * q(s)                       at the first observation after `reset`

and a policy is worth more, the less is known of what it leads to: its novelty is, for each step,

    sum of  E[o] * (W E[s]),   W = (1 / counts - 1 / sum of the column) / 2

as in Smith, Friston and Whyte (2022), J. Math. Psychol. 107:102632, and the script
`EFE_learning_novelty_term.m` of https://github.com/rssmith33/Active-Inference-Tutorial-Scripts,
both read on 2026-11-21. The additions are those of pymdp 1.0.4 (`learning.py`), which has another,
exact W. A count of 0 means that it cannot be, and stays 0, as in SPM: else a crumb of belief would
be all novelty. q(s) is what the agent believes at that time; nothing is revised later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from llmport_magic.errors import GMNError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmport_magic.gmn.arrays.model import Model


@dataclass(frozen=True, eq=False, kw_only=True)
class Counts:
    """How often what was seen, in the shapes of a model's arrays; empty where nothing is learned.

    Attributes:
        A: for each modality the counts, or `None` where it is known.
        B: for each factor.
        D: for each factor.
        rate: how much one observation counts.
    """

    A: tuple[NDArray[Any] | None, ...] = ()
    B: tuple[NDArray[Any] | None, ...] = ()
    D: tuple[NDArray[Any] | None, ...] = ()
    rate: float = 1.0

    def check(self, model: Model) -> None:
        """Hold the counts against a model.

        Raises:
            GMNError: a shape does not fit, a count is negative, or a column has none.
        """
        for name in ("A", "B", "D"):
            counts, arrays = getattr(self, name), getattr(model, name)
            if counts and len(counts) != len(arrays):
                raise GMNError(
                    f"the counts of {name} are {len(counts)}, and there are {len(arrays)} arrays: "
                    "give one for each, `None` where it is known"
                )
            for place, (count, array) in enumerate(zip(counts, arrays, strict=False)):
                if count is None:
                    continue
                if np.shape(count) != array.shape:
                    raise GMNError(
                        f"the counts of {name}[{place}] have the shape {np.shape(count)}; "
                        f"give {array.shape}"
                    )
                if not (count >= 0).all() or not (count.sum(axis=0) > 0).all():
                    raise GMNError(
                        f"the counts of {name}[{place}] are negative or a column has none: give "
                        "numbers from 0, and one above in each column"
                    )

    def applied(self, model: Model) -> Model:
        """Give the model whose arrays are the means of the counts."""
        return replace(
            model,
            A=_means(self.A, model.A),
            B=_means(self.B, model.B),
            D=_means(self.D, model.D),
        )

    def seen(
        self, observation: Sequence[int | None], beliefs: Sequence[NDArray[Any]], model: Model
    ) -> Counts:
        """Add what was observed where the states are believed to be."""
        added = list(self.A)
        for modality, count in enumerate(self.A):
            index = observation[modality]
            if count is not None and index is not None:
                more = count.copy()
                more[index] += self.rate * _outer(beliefs, model.A_of[modality]) * (more[index] > 0)
                added[modality] = more
        return replace(self, A=tuple(added))

    def moved(
        self,
        before: Sequence[NDArray[Any]],
        after: Sequence[NDArray[Any]],
        action: Sequence[int],
        model: Model,
    ) -> Counts:
        """Add how the states are believed to have changed under an action."""
        added = list(self.B)
        for factor, count in enumerate(self.B):
            if count is not None:
                by = model.B_by[factor]
                change = np.multiply.outer(after[factor], _outer(before, model.B_of[factor]))
                more = count.copy()
                taken = more[..., action[by] if by >= 0 else 0]
                taken += self.rate * change * (taken > 0)
                added[factor] = more
        return replace(self, B=tuple(added))

    def begun(self, beliefs: Sequence[NDArray[Any]]) -> Counts:
        """Add where a run is believed to have begun."""
        return replace(
            self,
            D=tuple(
                None if count is None else count + self.rate * belief * (count > 0)
                for count, belief in zip(self.D, beliefs, strict=False)
            ),
        )


def novelty(counts: NDArray[Any]) -> NDArray[Any]:
    """Give W: how much there is to be learned of each entry; 0 where the count is."""
    known = np.maximum(counts, np.finfo(np.float64).tiny)
    weights: NDArray[Any] = np.where(counts > 0, (1 / known - 1 / counts.sum(axis=0)) / 2, 0.0)
    return weights


def _means(
    counts: Sequence[NDArray[Any] | None], arrays: tuple[NDArray[Any], ...]
) -> tuple[NDArray[Any], ...]:
    if not counts:
        return arrays
    return tuple(
        array if count is None else count / count.sum(axis=0)
        for count, array in zip(counts, arrays, strict=True)
    )


def _outer(beliefs: Sequence[NDArray[Any]], of: Sequence[int]) -> NDArray[Any]:
    return reduce(np.multiply.outer, [beliefs[factor] for factor in of], np.array(1.0))

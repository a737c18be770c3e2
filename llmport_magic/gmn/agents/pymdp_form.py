"""A specification as the arguments of pymdp's agent, for those who go on with it there.

    from pymdp.agent import Agent      # the extra `pymdp`: inferactively-pymdp 1.0
    agent = Agent(**spec.to_pymdp())

Facts about pymdp 1.0.4 that stand behind it, read in its source on 2026-11-21
(https://github.com/infer-actively/pymdp, `agent.py`): a transition has an axis for each control
that it depends on, and none where there is none; each factor must be among those that its own
transition depends on; C is used as it is; there are no preferences over states.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmport_magic.errors import GMNError
from llmport_magic.gmn.spec import Spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmport_magic.gmn.arrays.model import Model


def to_pymdp(
    source: Spec | Model,
    *,
    policy_len: int | None = None,
    gamma: float | None = None,
    states_as_observations: bool = False,
) -> dict[str, Any]:
    """Give the arguments that `pymdp.agent.Agent` takes.

    Args:
        source: a specification, or the arrays of one.
        policy_len: how many steps a policy has; the specification's `horizon`, or 1.
        gamma: the specification's `precision`, or 16 (pymdp 1.0 has 1, its older versions 16).
        states_as_observations: whether a preference over states becomes one over a further
            modality that shows the state, see `with_states_observed`.

    Returns:
        `A`, `B`, `C`, `D`, `A_dependencies`, `B_dependencies` and `B_action_dependencies` (lists),
        `num_controls`, `policy_len`, `gamma`, and `E` where there is a habit.

    Raises:
        GMNError: there are preferences over states, and `states_as_observations` is not given.
    """
    model, horizon, precision = (
        (source.model, source.horizon, source.precision)
        if isinstance(source, Spec)
        else (source, 1, 16.0)
    )
    wanted = [name for name, values in _preferred_states(model) if values is not None]
    if wanted and not states_as_observations:
        names = ", ".join(f"`{name}`" for name in wanted)
        raise GMNError(
            f"pymdp has no preferences over states, and there is one over {names}: put it over an "
            "observation, or give `states_as_observations=True` to add one that shows the state"
        )
    model = with_states_observed(model)
    seen = [
        (matrix, list(of)) if of else (_repeat(matrix, len(model.D[0]), 1), [0])
        for matrix, of in zip(model.A, model.A_of, strict=True)
    ]
    moved = [_transition(model, factor) for factor in range(len(model.B))]
    arguments: dict[str, Any] = {
        "A": [np.array(matrix) for matrix, _ in seen],
        "B": [np.array(matrix) for matrix, _ in moved],
        "C": [np.array(values) for values in model.C],
        "D": [np.array(belief) for belief in model.D],
        "A_dependencies": [of for _, of in seen],
        "B_dependencies": [of for _, of in moved],
        "B_action_dependencies": [[by] if by >= 0 else [] for by in model.B_by],
        "num_controls": list(model.controls),
        "policy_len": horizon if policy_len is None else policy_len,
        "gamma": float(precision if gamma is None else gamma),
    }
    if model.E is not None:
        arguments["E"] = np.array(model.E)
    return arguments


def with_states_observed(model: Model) -> Model:
    """Give the model with a modality for each preference over states, which shows the state.

    That is another model: an agent expects to see these states, so that the information gain of its
    policies grows by the entropy of each state that it expects. The utility stays the same. To
    perceive as before, observe `None` in these modalities, which come last.
    """
    for factor, (name, values) in enumerate(_preferred_states(model)):
        if values is not None:
            model = replace(
                model,
                A=(*model.A, np.eye(len(values))),
                A_of=(*model.A_of, (factor,)),
                C=(*model.C, values),
                modalities=(*model.modalities, name),
            )
    return replace(model, H=())


def _preferred_states(model: Model) -> list[tuple[str, NDArray[Any] | None]]:
    return list(zip(model.factors, model.H or (None,) * len(model.factors), strict=True))


def _transition(model: Model, factor: int) -> tuple[NDArray[Any], list[int]]:
    """Give a transition as pymdp wants it, and the factors that it depends on."""
    matrix, of = model.B[factor], list(model.B_of[factor])
    if factor not in of:
        matrix, of = _repeat(matrix, len(model.D[factor]), 1), [factor, *of]
    return (matrix if model.B_by[factor] >= 0 else matrix[..., 0]), of


def _repeat(matrix: NDArray[Any], count: int, axis: int) -> NDArray[Any]:
    return np.repeat(np.expand_dims(matrix, axis), count, axis)

"""Our agent computes what pymdp 1.0.4 computes.

`fixtures/gmn_pymdp.json` is written by `scripts/gmn_reference.py`, which runs pymdp in float64.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gmn_models import CASES, Case, grid_transition, model, point
from project_scripts import script

from llmport_magic.errors import GMNError
from llmport_magic.gmn.agents.agent import Agent
from llmport_magic.gmn.agents.learning import Counts
from llmport_magic.gmn.agents.pymdp_form import to_pymdp, with_states_observed

HERE = Path(__file__).parent
REFERENCE = json.loads((HERE / "fixtures" / "gmn_pymdp.json").read_text("utf-8"))
# Far below the 1e-6 that is promised: both compute in float64, and the file has twelve digits.
CLOSE = 1e-9


def agent_of(case: Case, **options: Any) -> Agent:
    """Give the agent of a case."""
    return Agent(
        with_states_observed(case.model),
        policy_len=case.policy_len,
        gamma=case.gamma,
        **{**case.options, **options},
    )


def compare(name: str, steps: list[dict[str, Any]], close: float) -> None:
    """Hold our agent against pymdp's steps, the expected states carried from each to the next."""
    agent = agent_of(CASES[name]())
    assert steps
    for step in steps:
        beliefs = agent.infer_states(step["observation"])
        probabilities, neg_efe = agent.infer_policies()

        assert len(beliefs) == len(step["qs"])
        for ours, theirs in zip(beliefs, step["qs"], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=close, rtol=0)
        np.testing.assert_allclose(neg_efe, step["neg_efe"], atol=close, rtol=0)
        np.testing.assert_allclose(probabilities, step["q_pi"], atol=close, rtol=0)
        assert agent.free_energy == pytest.approx(step["vfe"], abs=close)
        begun = (agent.policies[:, 0] == step["action"]).all(axis=1)
        assert probabilities[begun].max() == pytest.approx(probabilities.max(), abs=close)
        agent.act(step["action"])


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_of_pymdp(name: str) -> None:
    """Beliefs, free energies and policies are pymdp's at every step (S3-45, S3-48)."""
    compare(name, REFERENCE["cases"][name], CLOSE)


@pytest.mark.parametrize("name", REFERENCE["learning"])
def test_the_counts_of_pymdp(name: str) -> None:
    """What is learned of A and B is what pymdp learns, step by step (S3-48)."""
    case = CASES[name]()
    counts = Counts(
        A=tuple(2 * each for each in case.model.A),
        B=tuple(2 * each for each in case.model.B),
        rate=0.5,
    )
    agent = Agent(case.model, policy_len=case.policy_len, gamma=case.gamma, counts=counts)
    steps = REFERENCE["learning"][name]

    assert len(steps) >= 4
    for step in steps:
        agent.infer_states(step["observation"])
        agent.learn()
        agent.act(step["action"])
        assert agent.counts is not None
        for ours, theirs in (
            *zip(agent.counts.A, step["pA"], strict=True),
            *zip(agent.counts.B, step["pB"], strict=True),
        ):
            assert ours is not None
            np.testing.assert_allclose(ours.reshape(-1), theirs, atol=CLOSE, rtol=0)


def test_what_the_reference_is() -> None:
    """The numbers come from pymdp 1.0.4 in float64, for every model that there is (S3-48)."""
    assert REFERENCE["pymdp"] == "1.0.4"
    assert REFERENCE["precision"] == "float64"
    assert set(REFERENCE["cases"]) == set(CASES)
    assert all(len(steps) >= 4 for steps in REFERENCE["cases"].values())


@pytest.mark.parametrize("name", CASES)
def test_pymdp_itself(name: str) -> None:
    """Where pymdp is installed, it takes what `to_pymdp` gives and computes the same (S3-48)."""
    pytest.importorskip("pymdp")
    import jax

    jax.config.update("jax_enable_x64", True)
    compare(name, script("gmn_reference").run(CASES[name]()), 1e-6)


def test_the_published_expected_free_energies() -> None:
    """The tutorial of pymdp gets 36.841361487904734 for left and 0.0 for right, as we do (S3-45).

    `active_inference_from_scratch.ipynb` in https://github.com/infer-actively/pymdp, read on
    2026-11-21: a 3x3 grid that is seen as it is, from (1, 1), with the preference for (1, 2) given
    as a probability, of which the tutorial takes `log(p + 1e-16)`.
    """
    wanted = np.log(point(9, 5) + 1e-16)
    agent = Agent(
        model(
            A=[np.eye(9)],
            A_of=((0,),),
            B=[grid_transition(3, 3)],
            B_of=((0,),),
            B_by=(0,),
            C=[wanted],
            D=[point(9, 4)],
            controls=(5,),
        )
    )

    _, neg_efe = agent.infer_policies()

    assert -neg_efe[3] == pytest.approx(36.841361487904734, abs=1e-12)
    assert -neg_efe[1] == pytest.approx(0.0, abs=1e-12)


def test_preferences_as_probabilities() -> None:
    """C as it is, or as older pymdp its log-softmax: other energies, the same policies (S3-45)."""
    case = CASES["bandit"]()
    normal = [values - np.log(np.exp(values).sum()) for values in case.model.C]
    older = Agent(model(**{**vars(case.model), "C": normal}), policy_len=2)
    newer = agent_of(case)

    for observation in case.observations:
        older.infer_states(observation)
        newer.infer_states(observation)
        probabilities, neg_efe = newer.infer_policies()
        before, neg_efe_before = older.infer_policies()

        np.testing.assert_allclose(probabilities, before, atol=1e-12)
        shift = 2 * sum(np.log(np.exp(values).sum()) for values in case.model.C)
        np.testing.assert_allclose(neg_efe, neg_efe_before + shift, atol=1e-12)
        newer.act((1,))
        older.act((1,))


def test_the_precision_is_said() -> None:
    """Where pymdp 1.0 has a precision of 1 and older ones 16, as we have, we say which (S3-48)."""
    case = CASES["plain"]()

    assert to_pymdp(case.model)["gamma"] == 16.0
    assert to_pymdp(case.model, gamma=1.0, policy_len=2)["gamma"] == 1.0
    flat = Agent(case.model, policy_len=2, gamma=1.0).infer_policies()[0]
    sharp = Agent(case.model, policy_len=2, gamma=16.0).infer_policies()[0]
    assert sharp.max() > flat.max()
    np.testing.assert_allclose(flat**16 / (flat**16).sum(), sharp, atol=1e-12)


def test_the_arguments_of_pymdp() -> None:
    """`to_pymdp` gives each dependency; a factor stands first where only others move it (S3-48)."""
    case = CASES["across factors"]()

    arguments = to_pymdp(case.model, policy_len=3, gamma=2.0)

    assert arguments["A_dependencies"] == [[0], [2, 1], [0, 1, 2]]
    assert arguments["B_dependencies"] == [[0, 1], [0, 1], [2, 0]]
    assert arguments["B_action_dependencies"] == [[0], [], []]
    assert arguments["num_controls"] == [2]
    assert (arguments["policy_len"], arguments["gamma"]) == (3, 2.0)
    assert [each.shape for each in arguments["B"]] == [(3, 3, 2, 2), (2, 3, 2), (3, 3, 3)]
    assert "E" not in arguments
    assert to_pymdp(CASES["habit"]().model)["E"].shape == (9,)


def test_preferences_over_states_are_refused() -> None:
    """A preference over states is refused by name, and becomes a modality when asked (S3-48)."""
    case = CASES["wanted states"]()

    with pytest.raises(GMNError, match=r"over `s0`.*states_as_observations=True"):
        to_pymdp(case.model)
    arguments = to_pymdp(case.model, states_as_observations=True)

    assert arguments["A_dependencies"] == [[0], [0]]
    np.testing.assert_array_equal(arguments["A"][1], np.eye(9))
    np.testing.assert_array_equal(arguments["C"][1], case.model.H[0])


def test_wanted_states_are_worth_the_same_as_observed() -> None:
    """Without information gain, a wanted state is worth what pymdp says of the modality (S3-48)."""
    case = CASES["wanted states"]()
    native = Agent(case.model, policy_len=2, information_gain=False)
    observed = Agent(with_states_observed(case.model), policy_len=2, information_gain=False)

    np.testing.assert_allclose(native.infer_policies()[1], observed.infer_policies()[1], atol=1e-12)
    curious = Agent(with_states_observed(case.model), policy_len=2).infer_policies()[1]
    assert not np.allclose(curious, Agent(case.model, policy_len=2).infer_policies()[1])

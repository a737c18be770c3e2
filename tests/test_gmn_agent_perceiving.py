"""An agent perceives: its beliefs follow what it observed, and free energy bounds surprise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gmn_models import CASES, columns, model, point, still

from llmport_magic.errors import GMNError
from llmport_magic.gmn.agents.agent import Agent
from llmport_magic.gmn.agents.inference import Inference


def test_one_factor_is_perceived_exactly() -> None:
    """With one factor the belief is Bayes' rule, and the free energy is surprise (S3-45)."""
    case = CASES["plain"]()
    agent = Agent(case.model)

    beliefs = agent.infer_states([3])

    joint = case.model.A[0][3] * case.model.D[0]
    np.testing.assert_allclose(beliefs[0], joint / joint.sum(), atol=1e-15)
    assert agent.free_energy == pytest.approx(-np.log(joint.sum()))


def test_free_energy_bounds_surprise() -> None:
    """With several factors free energy is above surprise, and no belief nearby has less (S3-45)."""
    case = CASES["several controls"]()
    infer = Inference(case.model)
    beliefs, energy = infer([0, 3, 1], case.model.D)

    seen = [matrix[index] for matrix, index in zip(case.model.A, [0, 3, 1], strict=True)]
    joint = np.einsum("ij,jk,j,i,j,k->", *seen, *case.model.D)
    assert energy >= -np.log(joint)
    assert energy == pytest.approx(infer.free_energy([0, 3, 1], beliefs, case.model.D), abs=1e-12)
    for seed in range(20):
        near = [0.98 * each + 0.02 * columns(len(each), seed=seed) for each in beliefs]
        assert infer.free_energy([0, 3, 1], near, case.model.D) > energy


def test_nothing_observed_tells_nothing() -> None:
    """`None` in every modality leaves the beliefs where they were expected (S3-45)."""
    case = CASES["several controls"]()
    agent = Agent(case.model)

    beliefs = agent.infer_states([None, None, None])

    for belief, prior in zip(beliefs, case.model.D, strict=True):
        np.testing.assert_allclose(belief, prior, atol=1e-15)
    assert agent.free_energy == pytest.approx(0.0, abs=1e-12)
    assert agent.step([None, None, None]).observation == (-1, -1, -1)


def test_the_last_observation_of_a_step_counts() -> None:
    """Perceiving twice without acting does not count twice (S3-45)."""
    agent = Agent(CASES["plain"]().model)
    once = agent.infer_states([3])
    agent.infer_states([0])

    again = agent.infer_states([3])

    np.testing.assert_array_equal(once[0], again[0])


def test_acting_carries_the_beliefs_on() -> None:
    """After an action the next observation meets what the action leads to (S3-45)."""
    case = CASES["plain"]()
    agent = Agent(case.model)
    before = agent.infer_states([3])[0]

    expected = agent.act([2])[0]
    after = agent.infer_states([1])[0]

    np.testing.assert_allclose(expected, case.model.B[0][:, :, 2] @ before, atol=1e-15)
    joint = case.model.A[0][1] * expected
    np.testing.assert_allclose(after, joint / joint.sum(), atol=1e-15)


def test_an_observation_that_cannot_be_is_survived() -> None:
    """What the model holds impossible gives finite beliefs and a large free energy (S3-45)."""
    sure = model(
        A=[np.eye(3)],
        A_of=((0,),),
        B=[still(3)],
        B_of=((0,),),
        B_by=(-1,),
        C=[np.zeros(3)],
        D=[point(3, 0)],
        controls=(),
    )
    agent = Agent(sure)

    beliefs = agent.infer_states([1])

    assert np.isfinite(beliefs[0]).all()
    assert beliefs[0].sum() == pytest.approx(1.0)
    assert agent.free_energy > 30


@pytest.mark.parametrize(
    ("observation", "said"),
    [
        ([0, 0], r"observation \[0, 0\] has 2 values, and there are 3: give one for each of `o0`"),
        ([0, 4, 0], r"`o1` has no observation 4: give a whole number from 0 to 3"),
        ([0, -1, 0], r"`o1` has no observation -1: give a whole number from 0 to 3"),
        ([0, 1.5, 0], r"`o1` has no observation 1.5: give a whole number"),
        ([True, 1, 0], r"`o0` has no observation True: give a whole number"),
        (["hot", 1, 0], r"`o0` has no observation 'hot': it has no labels"),
        (2, r"observation 2: give a list, an index for each of `o0`, `o1`, `o2`"),
        ("abc", r"observation 'abc': give a list"),
    ],
)
def test_bad_observations_are_refused(observation: Any, said: str) -> None:
    """What is no observation of the model is refused in a line that names the modality (S3-33)."""
    agent = Agent(CASES["several controls"]().model)

    with pytest.raises(GMNError, match=said) as raised:
        agent.step(observation)

    assert "\n" not in str(raised.value)
    np.testing.assert_array_equal(agent.beliefs[0], agent.model.D[0])

"""The numbers of the tutorial by Smith, Friston and Whyte, computed by our agent.

R. Smith, K. J. Friston, C. J. Whyte (2022), "A step-by-step tutorial on active inference and its
application to empirical data", J. Math. Psychol. 107:102632. Its scripts are at
https://github.com/rssmith33/Active-Inference-Tutorial-Scripts; they hold what goes in, and print
what comes out. What they print was read in public ports of them that keep their output:

    [X]  https://github.com/xavfunk/activeInferenceTutorial (2022-03-01)
    [R]  https://github.com/StSchwerdtfeger/Active-Inference-in-R (2023-09-28)
    [P]  https://github.com/Pikady/Active-Inference-Tutorial-Scripts-Python (2024-11-27)
    [O]  https://github.com/ouyangzhiping/FEP2024 (2025-02-16)

all read on 2026-11-21. Each number is compared to the digits that were printed.
"""

from __future__ import annotations

import numpy as np
import pytest
from gmn_models import model

from llmport_magic.gmn.agents.agent import Agent
from llmport_magic.gmn.agents.inference import Inference
from llmport_magic.gmn.agents.learning import Counts
from llmport_magic.gmn.agents.policies import precision
from llmport_magic.gmn.arrays.model import Model


def two_states(
    likelihood: list[list[float]],
    prior: list[float],
    *,
    led_to: list[list[float]] | None = None,
    wanted: np.ndarray | None = None,
) -> Model:
    """Give a model of two states; action i leads to the i-th distribution of `led_to`."""
    following = np.array(led_to or [prior]).T
    return model(
        A=[np.array(likelihood)],
        A_of=((0,),),
        B=[np.repeat(following[:, np.newaxis, :], 2, axis=1)],
        B_of=((0,),),
        B_by=(0,),
        C=[np.zeros(2) if wanted is None else wanted],
        D=[np.array(prior)],
        controls=(following.shape[1],),
    )


def test_variational_free_energy() -> None:
    """`VFE_calculation_example.m`: 0.916290731874155 falls to 0.6931471805599453 [X] (S3-45)."""
    example = two_states([[0.8, 0.2], [0.2, 0.8]], [0.5, 0.5])
    agent = Agent(example)

    beliefs = agent.infer_states([0])

    np.testing.assert_allclose(beliefs[0], [0.8, 0.2], atol=1e-15)
    initial = Inference(example).free_energy([0], [np.array([0.5, 0.5])], example.D)
    assert initial == pytest.approx(0.916290731874155, abs=1e-15)
    assert agent.free_energy == pytest.approx(0.6931471805599453, abs=1e-15)


def test_static_perception() -> None:
    """`Pencil_and_paper_exercise_solutions.m`: 0.92307692 and 0.07692308 [P] (S3-45)."""
    agent = Agent(two_states([[0.8, 0.2], [0.2, 0.8]], [0.75, 0.25]))

    beliefs = agent.infer_states([0])

    np.testing.assert_allclose(beliefs[0], [0.92307692, 0.07692308], atol=5e-9)


def test_risk() -> None:
    """`Prediction_error_example.m`: the risks are 2.408606 and 7.306853 [R] (S3-45).

    Expected free energy is risk and ambiguity; the ambiguity here is the entropy of (0.9, 0.1),
    whatever the state.
    """
    wanted = np.log(np.array([1.0, 0.0]) + np.exp(-16))
    agent = Agent(
        two_states(
            [[0.9, 0.1], [0.1, 0.9]],
            [0.5, 0.5],
            led_to=[[0.9, 0.1], [0.5, 0.5]],
            wanted=wanted,
        )
    )

    _, neg_efe = agent.infer_policies()

    ambiguity = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    np.testing.assert_allclose(-neg_efe - ambiguity, [2.408606, 7.306853], atol=5e-7)


def test_ambiguity() -> None:
    """`Prediction_error_example.m`: the ambiguities are 0.6557507 and 0.5176633 [R] (S3-45).

    Where what is wanted is what is expected, there is no risk, and ambiguity is all. (The port
    prints them with a minus, as it leaves out the one that the script has.)
    """
    likelihood = [[0.4, 0.2], [0.6, 0.8]]
    led_to = [[0.9, 0.1], [0.1, 0.9]]
    ambiguities = []
    for policy, states in enumerate(led_to):
        wanted = np.log(np.array(likelihood) @ states)
        agent = Agent(two_states(likelihood, [0.5, 0.5], led_to=led_to, wanted=wanted))
        ambiguities.append(-agent.infer_policies()[1][policy])

    np.testing.assert_allclose(ambiguities, [0.6557507, 0.5176633], atol=5e-8)


def test_precision() -> None:
    """`EFE_Precision_Updating.m`: a precision of 1 becomes 1.2411222533214157 [X] (S3-45)."""
    gamma, before, after = precision(
        -np.array([12.505, 9.51, 12.5034, 12.505, 12.505]),
        np.array([17.0207, 1.7321, 1.7321, 17.0387, 17.0387]),
        habit=np.ones(5),
    )

    assert gamma == pytest.approx(1.2411222533214157, abs=1e-12)
    np.testing.assert_allclose(
        before, [0.02214869, 0.91136123, 0.02219271, 0.02214869, 0.02214869], atol=5e-9
    )
    np.testing.assert_allclose(
        after,
        [5.43818445e-09, 9.76227697e-01, 2.37722873e-02, 5.34117285e-09, 5.34117285e-09],
        rtol=2e-8,
    )


def test_precision_falls() -> None:
    """What an observation contradicts loses precision: 0.14178354460594456, by [X] only (S3-45)."""
    gamma, before, after = precision(
        -np.array([1.0, 9.0]), np.array([20.0, 1.0]), habit=np.array([1.0, 1.0])
    )

    np.testing.assert_allclose(before, [0.7566258, 0.2433742], atol=5e-8)
    assert after[1] == pytest.approx(0.99999998, abs=5e-9)
    assert gamma == pytest.approx(0.14178354460594456, abs=1e-9)


@pytest.mark.parametrize(("times", "published"), [(1, 0.505), (10, 0.0505), (100, 0.00505)])
def test_novelty(times: float, published: float) -> None:
    """`EFE_learning_novelty_term.m`: the fewer counts, the more novelty, to 1e-15 [O] (S3-45)."""
    counts = times * np.array([[0.25, 1.0], [0.75, 1.0]])
    example = two_states([[0.25, 0.5], [0.75, 0.5]], [0.5, 0.5], led_to=[[0.9, 0.1]])
    learning = Agent(example, counts=Counts(A=(counts,)))

    novelty = learning.infer_policies()[1] - Agent(example).infer_policies()[1]

    assert novelty[0] == pytest.approx(published, abs=1e-15)

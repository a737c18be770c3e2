"""An agent learns: it counts what it saw, and the counts outlive a run."""

from __future__ import annotations

import numpy as np
import pytest
from gmn_models import CASES, grid, noisy, point, replaced

from llmport_magic.errors import GMNError
from llmport_magic.gmn.agents.agent import Agent
from llmport_magic.gmn.agents.learning import Counts


def test_what_is_seen_is_counted() -> None:
    """An observation adds the belief to its row of A, and the model is the mean (S3-45)."""
    generative = grid(3, 1, []).model
    agent = Agent(generative, counts=Counts(A=(2 * generative.A[0],), rate=0.5))

    step = agent.step([4])

    expected = 2 * generative.A[0]
    expected[4] += 0.5 * step.beliefs[0]
    assert agent.counts is not None
    np.testing.assert_allclose(agent.counts.A[0], expected, atol=1e-15)
    np.testing.assert_allclose(agent.model.A[0], expected / expected.sum(axis=0), atol=1e-15)
    np.testing.assert_array_equal(generative.A[0], noisy(9, 0.9))


def test_what_an_action_does_is_learned() -> None:
    """An agent that knows nothing of its actions learns what they do (S3-45)."""
    generative = replaced(grid(3, 1, []).model, A=(np.eye(9),), D=(point(9, 0),))
    agent = Agent(
        generative,
        counts=Counts(B=(np.full((9, 9, 5), 0.1),), D=(np.full(9, 0.1),)),
        action_selection="stochastic",
        gamma=0.5,
        seed=1,
    )
    world, cell = generative.B[0], 0
    for _ in range(300):
        cell = int(world[:, cell, agent.step([cell]).action[0]].argmax())

    assert agent.counts is not None
    met = agent.counts.B[0].sum(axis=0) > 3  # type: ignore[union-attr]
    learned = agent.model.B[0].argmax(axis=0)
    assert met.sum() > 20
    np.testing.assert_array_equal(learned[met], world.argmax(axis=0)[met])
    assert agent.model.D[0].argmax() == 0


def test_what_was_learned_outlives_a_reset() -> None:
    """`reset` begins a new run with the counts of the ones before (S3-45)."""
    generative = grid(3, 1, []).model
    agent = Agent(generative, counts=Counts(D=(np.ones(9),)))
    agent.step([4])
    agent.reset()

    second = agent.step([4])

    assert agent.counts is not None
    assert agent.counts.D[0].sum() == pytest.approx(11.0)  # type: ignore[union-attr]
    assert second.beliefs[0][4] > Agent(generative).step([4]).beliefs[0][4] * 0.9
    assert agent.model.D[0].argmax() == 4


def test_what_cannot_be_stays_so() -> None:
    """A count of 0 stays 0, so that crumbs of belief do not become novelty (S3-45)."""
    generative = CASES["t-maze"]().model
    counts = Counts(A=generative.A, B=generative.B, D=generative.D)
    agent = Agent(generative, policy_len=2, counts=counts)
    for observation in CASES["t-maze"]().observations:
        agent.step(observation)

    assert agent.counts is not None
    for before, after in zip(
        (*counts.A, *counts.B, *counts.D),
        (*agent.counts.A, *agent.counts.B, *agent.counts.D),
        strict=True,
    ):
        assert before is not None
        assert after is not None
        np.testing.assert_array_equal(after == 0, before == 0)
    assert agent.counts.A[2][0, 3].sum() > 1.5  # type: ignore[index]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (Counts(A=(np.ones((9, 9)),) * 2), r"counts of A are 2, and there are 1 arrays"),
        (Counts(B=(np.ones((9, 9)),)), r"B\[0\] have the shape \(9, 9\); give \(9, 9, 5\)"),
        (Counts(D=(np.zeros(9),)), r"D\[0\] are negative or a column has none"),
        (Counts(D=(-point(9, 0) + 1 - 2 * point(9, 1),)), r"D\[0\] are negative"),
    ],
)
def test_bad_counts_are_refused(counts: Counts, said: str) -> None:
    """Counts that do not fit the model are refused with what does (S3-33)."""
    with pytest.raises(GMNError, match=said):
        Agent(grid(3, 1, []).model, counts=counts)


def test_learning_needs_counts() -> None:
    """Learning without counts, or before anything was seen, is refused (S3-33)."""
    generative = grid(3, 1, []).model

    with pytest.raises(GMNError, match=r"no `counts` to learn from"):
        Agent(generative).learn()
    with pytest.raises(GMNError, match=r"observed nothing"):
        Agent(generative, counts=Counts(D=(np.ones(9),))).learn()

"""Policies: which there are, and that a tree of them is worth what each is alone."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from gmn_models import CASES, columns, model

from llmport_magic.errors import GMNError
from llmport_magic.gmn.agents import policies as subject
from llmport_magic.gmn.agents.agent import Agent
from llmport_magic.gmn.agents.learning import Counts, novelty
from llmport_magic.gmn.agents.policies import Planning, all_policies, count_policies
from llmport_magic.gmn.arrays.model import Model


def alone(generative: Model, beliefs: list[np.ndarray], policy: np.ndarray) -> float:
    """Compute one policy's negative expected free energy from the definitions, sum by sum."""
    total = 0.0
    for action in policy:
        following = []
        for matrix, of, by in zip(generative.B, generative.B_of, generative.B_by, strict=True):
            expected = np.zeros(len(matrix))
            for states in product(*(range(len(beliefs[f])) for f in of)):
                weight = np.prod([beliefs[f][s] for f, s in zip(of, states, strict=True)])
                expected += weight * matrix[(slice(None), *states, action[by] if by >= 0 else 0)]
            following.append(expected)
        beliefs = following
        for matrix, of, wanted in zip(generative.A, generative.A_of, generative.C, strict=True):
            seen = np.zeros(len(matrix))
            ambiguity = 0.0
            for states in product(*(range(len(beliefs[f])) for f in of)):
                weight = np.prod([beliefs[f][s] for f, s in zip(of, states, strict=True)])
                column = matrix[(slice(None), *states)]
                seen += weight * column
                ambiguity -= weight * sum(p * np.log(p) for p in column if p > 0)
            entropy = -sum(p * np.log(p) for p in seen if p > 0)
            total += float(seen @ wanted) + entropy - ambiguity
        for belief, wanted in zip(beliefs, generative.H or (), strict=False):
            total += 0.0 if wanted is None else float(belief @ wanted)
    return total


@pytest.mark.parametrize("name", ["plain", "t-maze", "several controls", "across factors"])
def test_the_tree_is_worth_what_each_policy_is_alone(name: str) -> None:
    """What policies share is computed once, and each is worth what it is alone (S3-45)."""
    case = CASES[name]()
    listed = all_policies(case.model.controls, 3)
    beliefs = [columns(len(each), seed=30 + i) for i, each in enumerate(case.model.D)]

    together = Planning(case.model, listed).neg_efe(beliefs)

    each = [alone(case.model, beliefs, policy) for policy in listed]
    np.testing.assert_allclose(together, each, atol=1e-12)
    assert np.ptp(together) > 1e-5


def test_preferences_over_states() -> None:
    """A preference over states adds what it gives to the states expected (S3-45)."""
    case = CASES["wanted states"]()
    listed = all_policies(case.model.controls, 2)
    beliefs = [columns(9, seed=31)]

    together = Planning(case.model, listed).neg_efe(beliefs)

    np.testing.assert_allclose(
        together, [alone(case.model, beliefs, policy) for policy in listed], atol=1e-12
    )


def test_given_policies_are_worth_the_same() -> None:
    """Policies in any order, some of them twice, are worth what they are among all (S3-45)."""
    case = CASES["several controls"]()
    listed = all_policies(case.model.controls, 2)
    some = np.array([35, 3, 3, 17, 0, 34, 18])

    among = Planning(case.model, listed).neg_efe(case.model.D)
    given = Planning(case.model, listed[some]).neg_efe(case.model.D)

    np.testing.assert_allclose(given, among[some], atol=1e-12)


def test_large_products_go_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products in blocks of rows give what one product gives (S3-45)."""
    case = CASES["grid 5x5"]()
    listed = all_policies(case.model.controls, 3)
    whole = Planning(case.model, listed).neg_efe(case.model.D)
    monkeypatch.setattr(subject, "ONE_THREAD", 25 * 125 * 17)

    blocks = Planning(case.model, listed).neg_efe(case.model.D)

    np.testing.assert_allclose(blocks, whole, atol=1e-13)


def test_the_order_of_policies() -> None:
    """The last action of the last control changes fastest, as in pymdp (S3-48)."""
    listed = all_policies((2, 3), 2)

    assert listed.shape == (36, 2, 2)
    np.testing.assert_array_equal(listed.reshape(36, 4), list(product(*map(range, (2, 3, 2, 3)))))


def test_without_controls_there_is_one_policy() -> None:
    """A model that nothing can be done in has one policy, and can be run (S3-45)."""
    watching = model(
        A=[columns(3, 2, seed=1)],
        A_of=((0,),),
        B=[columns(2, 2, 1, seed=2)],
        B_of=((0,),),
        B_by=(-1,),
        C=[np.zeros(3)],
        D=[np.array([0.5, 0.5])],
        controls=(),
    )

    agent = Agent(watching, policy_len=2)
    step = agent.step([2])

    assert agent.policies.shape == (1, 2, 0)
    assert step.action == ()
    np.testing.assert_allclose(step.policies, [1.0])


def test_too_many_policies_are_refused() -> None:
    """Five actions and ten steps are 9,765,625 policies: refused with what to lower (S3-33)."""
    assert count_policies((5,), 10) == 9_765_625

    with pytest.raises(GMNError, match=r"9,765,625 policies \(5 actions, 10 steps\).*`horizon`"):
        Agent(CASES["grid 5x5"]().model, policy_len=10)
    with pytest.raises(GMNError, match=r"36 policies \(2 x 3 actions, 2 steps\), and 35 are"):
        all_policies((2, 3), 2, 35)
    assert len(all_policies((2, 3), 2, 36)) == 36
    # The number itself has more digits than Python would write, and takes long to compute.
    with pytest.raises(GMNError, match=r"about 10\^5000 policies \(100000 actions, 1000 steps\)"):
        all_policies((100_000,), 1_000)


def test_one_action_looks_as_far_as_the_notation_lets() -> None:
    """Where there is no choice, there is one policy, however long and of many controls (S3-45)."""
    moved = columns(2, 2, 1, seed=2)
    drifting = model(
        A=[columns(3, 2, seed=1)],
        A_of=((0,),),
        B=[moved],
        B_of=((0,),),
        B_by=(69,),
        C=[np.array([1.0, 0.0, 0.0])],
        D=[np.array([0.5, 0.5])],
        controls=(1,) * 70,
    )
    agent = Agent(drifting, policy_len=1_000)

    assert agent.policies.shape == (1, 1_000, 70)
    assert agent.step([0]).action == (0,) * 70
    beliefs = [np.array([0.2, 0.8])]
    listed = all_policies(drifting.controls, 100)
    expected = alone(drifting, beliefs, listed[0])
    assert Planning(drifting, listed).neg_efe(beliefs)[0] == pytest.approx(expected)
    with pytest.raises(GMNError, match=r"`policy_len` is 1001; give a whole number from 1 to 1,0"):
        Agent(drifting, policy_len=1_001)


def test_too_many_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Policies whose expected states would not fit into memory are refused before (S3-33)."""
    case = CASES["across factors"]()
    monkeypatch.setattr(subject, "MAX_NUMBERS", 8 * 18 - 1)

    with pytest.raises(GMNError, match=r"8 policies over 18 joint states need 144 numbers"):
        Agent(case.model, policy_len=3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([[0, 1]], r"shape \(1, 2\); give whole numbers \[policy, step, control\]"),
        ([[[0.5]]], r"of float64; give whole numbers"),
        ([[[0]], [[5]]], r"an action of `u0` that is not from 0 to 4"),
        ([[[0]], [[-1]]], r"an action of `u0` that is not from 0 to 4"),
        (np.zeros((0, 1, 1), int), r"shape \(0, 1, 1\)"),
    ],
)
def test_bad_policies_are_refused(given: object, said: str) -> None:
    """Policies that do not fit the model's controls are refused by what is wrong (S3-33)."""
    with pytest.raises(GMNError, match=said):
        Agent(CASES["grid 5x5"]().model, policies=given)  # type: ignore[arg-type]


def test_a_habit_must_fit_the_policies() -> None:
    """A habit of nine values does not fit three policies, and is named with both (S3-33)."""
    with pytest.raises(GMNError, match=r"habit has 9 values, and there are 3 policies of 1 steps"):
        Agent(CASES["habit"]().model, policy_len=1)


def test_novelty_prefers_what_is_not_known() -> None:
    """A policy that leads to what has been counted less is worth more by its novelty (S3-45)."""
    case = CASES["bandit"]()
    known = [np.where(matrix > 0, 200 * matrix, 0) for matrix in case.model.A]
    known[1][1:, :, 3] = 0.5
    agent = Agent(case.model, counts=Counts(A=(None, known[1], None)))
    sure = Agent(agent.model)

    _, curious = agent.infer_policies()
    _, neg_efe = sure.infer_policies()

    expected = agent.model.A[1][:, :, 3] @ [0.5, 0.5]
    gain = float(expected @ (novelty(known[1])[:, :, 3] @ [0.5, 0.5]))
    assert curious[3] - neg_efe[3] == pytest.approx(gain)
    assert gain == pytest.approx(0.5)
    assert curious[2] - neg_efe[2] < 0.01


def test_novelty_of_transitions() -> None:
    """What is not known of a transition makes the action that tells it worth more (S3-45)."""
    case = CASES["plain"]()
    counts = 50 * case.model.B[0]
    counts[:, :, 1] /= 100
    agent = Agent(case.model, counts=Counts(B=(counts,)))

    gain = agent.infer_policies()[1] - Agent(agent.model).infer_policies()[1]

    belief = agent.beliefs[0]
    for action in range(3):
        weights = novelty(counts)[:, :, action] @ belief
        assert gain[action] == pytest.approx(
            float((agent.model.B[0][:, :, action] @ belief) @ weights)
        )
    assert gain.argmax() == 1


def test_what_is_certain_has_no_novelty() -> None:
    """Counts of zero are impossible, not unknown: they add nothing (S3-45)."""
    weights = novelty(np.array([[0.0, 1.0], [4.0, 3.0]]))

    assert weights[0, 0] == 0.0
    assert weights[0, 1] == pytest.approx((1 - 1 / 4) / 2)
    assert weights[1, 0] == 0.0

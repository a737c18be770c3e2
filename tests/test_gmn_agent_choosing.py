"""An agent chooses: its policies lead to what it wants, and every step says what happened."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gmn_models import CASES, grid, point, replaced

from llmport_magic.errors import GMNError
from llmport_magic.gmn.agents.agent import Agent
from llmport_magic.gmn.validation import parse


def walk(agent: Agent, steps: int, start: int = 0) -> list[tuple[int, ...]]:
    """Walk in the world of the agent's own grid, seeing it as it is; give the actions."""
    cell, actions = start, []
    for _ in range(steps):
        step = agent.step([cell])
        actions.append(step.action)
        cell = int(agent.model.B[0][:, cell, step.action[0]].argmax())
    return actions


def test_the_goal_is_reached() -> None:
    """In a 3x3 grid, looking four steps ahead, the goal is reached on a shortest way (S3-46)."""
    case = grid(3, 4, [])
    agent = Agent(replaced(case.model, D=(point(9, 0),)), policy_len=4)

    actions = walk(agent, 5)

    assert sorted(actions[:4]) == [(1,), (1,), (2,), (2,)]
    assert actions[4] in {(1,), (2,), (4,)}


def test_a_cue_is_fetched_first() -> None:
    """In the T-maze the agent asks the cue, then enters the arm that it names (S3-45)."""
    wanted = (np.zeros(4), np.array([0.0, 2.0, -4.0]), np.zeros(2))
    generative = replaced(CASES["t-maze"]().model, C=wanted)
    agent = Agent(generative, policy_len=2)

    first = agent.step([0, 0, 1])
    second = agent.step([3, 0, 0])
    third = agent.step([1, 1, 0])

    assert first.action == (3,)
    assert second.action == (1,)
    assert second.beliefs[1][0] > 0.9
    assert third.beliefs[1][0] > 0.99
    greedy = Agent(generative, policy_len=2, information_gain=False)
    assert greedy.step([0, 0, 1]).action != (3,)


def test_of_equals_the_first_is_taken() -> None:
    """Policies that differ only by rounding are equal, and the first is taken (S3-45)."""
    case = grid(3, 2, [])
    agent = Agent(replaced(case.model, D=(point(9, 4),), C=(np.zeros(9),)), policy_len=2)
    probabilities, _ = agent.infer_policies()

    agent.choose()

    best = np.flatnonzero(probabilities >= probabilities.max() * (1 - 1e-9))
    assert len(best) > 1
    assert agent.choose() == tuple(agent.policies[best[0], 0])
    nearly = replaced(CASES["plain"]().model, E=np.array([0.5, 0.5 + 1e-12]))
    assert Agent(nearly, policies=[[[2]], [[0]]], gamma=1e-13).choose() == (2,)


def test_the_same_seed_gives_the_same_actions() -> None:
    """Stochastic runs repeat with their seed and after `reset`, and differ by seed (S3-45)."""
    generative = grid(3, 1, []).model
    options = {"action_selection": "stochastic", "gamma": 0.1}
    agent = Agent(generative, seed=3, **options)

    first = walk(agent, 30)
    agent.reset()

    assert walk(agent, 30) == first
    assert walk(Agent(generative, seed=3, **options), 30) == first
    assert walk(Agent(generative, seed=4, **options), 30) != first
    assert len(set(first)) == 5


def test_stochastic_selection_draws_by_probability() -> None:
    """Actions come as often as their policies are probable, sharper with `alpha` (S3-45)."""
    generative = replaced(CASES["plain"]().model, C=(np.array([0, 0, 4.0, 0, 0]),))
    draws = {}
    for alpha in (1.0, 4.0):
        agent = Agent(generative, gamma=4.0, action_selection="stochastic", alpha=alpha, seed=1)
        probabilities, _ = agent.infer_policies()
        taken = np.bincount([agent.choose()[0] for _ in range(4000)], minlength=3) / 4000
        expected = probabilities**alpha / (probabilities**alpha).sum()
        np.testing.assert_allclose(taken, expected, atol=0.03)
        draws[alpha] = taken.max()
    assert draws[4.0] > draws[1.0] + 0.05


def test_marginal_selection_sums_over_policies() -> None:
    """By `marginal`, many good beginnings outweigh one best policy (S3-45)."""
    generative = replaced(CASES["plain"]().model, controls=(3,))
    policies = [[[0]], [[1]], [[1]], [[2]]]
    habit = np.array([0.4, 0.3, 0.25, 0.05])
    named = {"policies": policies, "gamma": 1e-9}
    model_with_habit = replaced(generative, E=habit)

    assert Agent(model_with_habit, **named).choose() == (0,)
    assert Agent(model_with_habit, sampling="marginal", **named).choose() == (1,)


def test_a_step_says_what_happened() -> None:
    """A step holds the observation, beliefs, energies and action; the agent its beliefs (S3-45)."""
    case = CASES["bandit"]()
    agent = Agent(case.model, policy_len=2)

    step = agent.step([np.int64(1), 0, 1])

    assert step.observation == (1, 0, 1)
    assert all(type(each) is int for each in (*step.observation, *step.action))
    assert step.policies.sum() == pytest.approx(1.0)
    assert len(step.neg_efe) == len(agent.policies) == 16
    assert step.free_energy == agent.free_energy
    for ours, theirs in zip(agent.beliefs, step.beliefs, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="read-only"):
        agent.policies[0, 0, 0] = 1


def test_reset_begins_anew() -> None:
    """After `reset` the beliefs are the initial ones (S3-45)."""
    case = CASES["plain"]()
    agent = Agent(case.model)
    agent.step([1])

    agent.reset()

    np.testing.assert_array_equal(agent.beliefs[0], case.model.D[0])
    assert agent.free_energy == 0.0
    np.testing.assert_array_equal(
        agent.infer_states([2])[0], Agent(case.model).infer_states([2])[0]
    )


def test_labels_may_stand_for_indices() -> None:
    """An observation may be given by its label, as an action may (S3-45)."""
    generative = replaced(
        CASES["plain"]().model,
        labels={"o0": ("a", "b", "c", "d", "e"), "u0": ("left", "right", "stay")},
    )
    agent, other = Agent(generative), Agent(generative)

    np.testing.assert_array_equal(agent.infer_states(["d"])[0], other.infer_states([3])[0])
    np.testing.assert_array_equal(agent.act(["stay"])[0], other.act([2])[0])


EXPLORER = """
agent explorer { horizon: 4, precision: 8 }
node state cell { size: 9, shape: [3, 3], initial: onehot(0) }
node observation sight { size: 9, shape: [3, 3] }
node action move { size: 5, labels: [up, right, down, left, stay] }
node emission see { to: sight, from: cell, matrix: noisy(0.9) }
node transition walk { to: cell, from: [cell, move], matrix: grid(3, 3) }
node preference want { over: sight, values: goal(8, 3.0) }
"""


def test_a_specification_is_run() -> None:
    """The agent of a specification plans as far as it says, and walks to its goal (S3-45)."""
    spec = parse(EXPLORER)
    agent = spec.agent(seed=0)

    history = agent.run(spec.environment(seed=0), steps=5, until=lambda state: state == (8,))

    assert agent.policies.shape == (625, 4, 1)
    assert agent.gamma == 8.0
    assert len(history.steps) == 5
    assert history.true_states("cell")[-1] == 8  # type: ignore[index]
    assert spec.agent(policy_len=1).policies.shape == (5, 1, 1)
    assert spec.to_pymdp()["policy_len"] == 4
    assert spec.to_pymdp()["gamma"] == 8.0


def test_the_page_of_the_agent_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The blocks of `docs/gmn-agent.md` run and come out as it says (S3-45)."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "gmn-agent.md").read_text("utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)

    first, second = capsys.readouterr().out.splitlines()[:2]
    assert f"`{first}`" in page
    assert f"`{second}`" in page
    assert first != second
    assert names["agent"].counts.A[1][0, 0, 0] == pytest.approx(2.85)


def test_bad_actions_are_refused() -> None:
    """An action that a control does not have is refused by the control's name (S3-33)."""
    agent = Agent(CASES["several controls"]().model)

    with pytest.raises(GMNError, match=r"`u1` has no action 3: give a whole number from 0 to 2"):
        agent.act([0, 3])
    with pytest.raises(GMNError, match=r"`u0` has no action None"):
        agent.act([None, 1])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"policy_len": 0}, r"`policy_len` is 0; give a whole number from 1"),
        ({"policy_len": 1.5}, r"`policy_len` is 1.5"),
        ({"gamma": 0}, r"`gamma` is 0; give a number above 0"),
        ({"gamma": float("inf")}, r"`gamma` is inf"),
        ({"gamma": 1e101}, r"`gamma` is 1e\+101; give a number above 0, 1e\+100 at most"),
        ({"alpha": float("nan")}, r"`alpha` is nan"),
        ({"action_selection": "random"}, r"`action_selection` is 'random'; give `deterministic`"),
        ({"sampling": "some"}, r"`sampling` is 'some'; give `full` or `marginal`"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], said: str) -> None:
    """An option that means nothing is refused with what may be given (S3-33)."""
    with pytest.raises(GMNError, match=said):
        Agent(CASES["plain"]().model, **options)

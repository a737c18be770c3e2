"""Worlds: what they draw, when they end, what they refuse, and agents that find their way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gmn_models import goto, model, point, still
from gmn_runs import explorer, rat

from llmport_magic.errors import GMNError
from llmport_magic.gmn import Agent, GridWorld, Process, TMaze, parse
from llmport_magic.gmn.agents.history import run

UP, RIGHT, DOWN, LEFT, STAY = range(5)
CENTRE, ARM_LEFT, ARM_RIGHT, CUE = range(4)

NOISY = """
node state place { size: 3, initial: [0.2, 0.5, 0.3] }
node state hidden { size: 2 }
node observation seen { size: 3 }
node action go { size: 2 }
node emission see { to: seen, from: [place, hidden], matrix: [
  [[0.7, 0.1], [0.2, 0.2], [0.0, 0.3]],
  [[0.2, 0.4], [0.5, 0.1], [0.9, 0.3]],
  [[0.1, 0.5], [0.3, 0.7], [0.1, 0.4]]] }
node transition walk { to: place, from: [place, go], matrix: [
  [[0.6, 0.0], [0.3, 0.2], [0.1, 1.0]],
  [[0.1, 0.5], [0.4, 0.3], [0.2, 0.0]],
  [[0.3, 0.5], [0.3, 0.5], [0.7, 0.0]]] }
node transition drift { to: hidden, from: [hidden, place], matrix: [
  [[0.9, 0.1, 0.5], [0.2, 0.4, 0.0]],
  [[0.1, 0.9, 0.5], [0.8, 0.6, 1.0]]] }
"""


def walk(world: Process, actions: list[tuple[int, ...]]) -> list[tuple[tuple[int, ...], ...]]:
    """Give state and observation at each step."""
    seen = [(world.reset(), world.state)]
    return seen + [(world.step(action), world.state) for action in actions]


def test_the_same_seed_gives_the_same_walk() -> None:
    """A seed decides everything that is drawn, `reset` begins it anew, and another seed differs."""
    spec = parse(NOISY)
    actions = [(step % 2,) for step in range(60)]
    world = spec.environment(seed=7)
    first = walk(world, actions)

    assert walk(world, actions) == first
    assert walk(Process(spec.model, 7), actions) == first
    assert walk(spec.environment(seed=8), actions) != first


@pytest.mark.parametrize("seed", [-1, 1.5, None, True, "0"])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    """Agents and worlds refuse a seed that is none, or that would not draw the same again."""
    spec = parse(NOISY)
    for make in (spec.agent, spec.environment):
        with pytest.raises(GMNError, match=r"`seed` is .*; give a whole number, 0 or more"):
            make(seed=seed)
    drawn = spec.environment(seed=7).reset()
    assert spec.environment(seed=np.int64(7)).reset() == drawn


def test_what_is_drawn_is_what_the_arrays_say() -> None:
    """Frequencies of states and observations come near to the model's probabilities (S3-46)."""
    spec = parse(NOISY)
    world, count = spec.environment(seed=1), 20_000
    world.reset()
    moves, sights = np.zeros_like(spec.B[0]), np.zeros_like(spec.A[0])
    drifts = np.zeros_like(spec.B[1][..., 0])
    for step in range(count):
        (place, hidden), action = world.state, step % 2
        (seen,) = world.step((action,))
        moves[world.state[0], place, action] += 1
        drifts[world.state[1], hidden, place] += 1
        sights[seen, *world.state] += 1

    assert moves / moves.sum(axis=0) == pytest.approx(spec.B[0], abs=0.03)
    assert drifts / drifts.sum(axis=0) == pytest.approx(spec.B[1][..., 0], abs=0.03)
    assert sights / sights.sum(axis=0) == pytest.approx(spec.A[0], abs=0.03)
    assert not moves[spec.B[0] == 0].any()
    assert not sights[spec.A[0] == 0].any()


def test_the_first_state_is_drawn_from_the_first_belief() -> None:
    """Over many seeds, the first state is as likely as `D` says, unless it is given."""
    spec = parse(NOISY)
    first = [spec.environment(seed).state[0] for seed in range(3_000)]

    assert np.bincount(first) / 3_000 == pytest.approx([0.2, 0.5, 0.3], abs=0.04)
    assert Process(spec, 3, start=(2, 1)).state == (2, 1)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ((5,), "`action` is 5 for `move`, which has 5 actions: 0 to 4"),
        ((-1,), "`action` is -1 for `move`, which has 5 actions: 0 to 4"),
        ((1.5,), "`action` is 1.5 for `move`, which has 5 actions: 0 to 4"),
        (("up",), "`action` is up for `move`, which has 5 actions: 0 to 4"),
        ((), "`action` has 0 numbers and should have 1: one for each of `move`"),
        ((1, 1), "`action` has 2 numbers and should have 1: one for each of `move`"),
    ],
)
def test_an_action_that_is_none_is_refused(action: tuple[Any, ...], message: str) -> None:
    """An action that no control has is named with what there is; it never counts from the end."""
    world = GridWorld()

    with pytest.raises(GMNError) as caught:
        world.step(action)

    assert str(caught.value) == message
    assert world.state == (0,)


@pytest.mark.parametrize("start", [(25,), (-1,), (), (0, 0)])
def test_a_start_that_is_no_state_is_refused(start: tuple[int, ...]) -> None:
    """A first state must be one of the model's."""
    with pytest.raises(GMNError, match="`start`"):
        Process(explorer(), start=start)


def test_moves_in_a_grid() -> None:
    """Cells count row by row, `up` is towards the first row, and nobody leaves the grid."""
    world = GridWorld(3, 4)
    path = [world.state[0]]
    for action in (RIGHT, RIGHT, RIGHT, RIGHT, DOWN, DOWN, DOWN, LEFT, UP, STAY):
        assert world.step((action,)) == world.state
        path.append(world.state[0])

    assert path == [0, 1, 2, 3, 3, 7, 11, 11, 10, 6, 6]
    assert not world.done


def test_a_grid_world_is_done_at_its_goal() -> None:
    """It is done in the goal's cell, and no more after `reset`; a goal outside is refused."""
    world = GridWorld(2, 2, goal=1)
    world.step((RIGHT,))

    assert world.done
    world.reset()
    assert not world.done
    with pytest.raises(GMNError, match="`goal` is 4"):
        GridWorld(2, 2, goal=4)
    with pytest.raises(GMNError):
        GridWorld(2, 2, start=4)


def test_a_slippery_grid() -> None:
    """With `slip` a move fails that often, and it is the slip of the constructor `grid`."""
    world = GridWorld(1, 2, slip=0.25, seed=2)
    arrived = 0
    for _ in range(4_000):
        before = world.state
        world.step((RIGHT if before == (0,) else LEFT,))
        arrived += world.state != before

    assert arrived / 4_000 == pytest.approx(world.model.B[0][1, 0, RIGHT], abs=0.03)
    assert world.model.B[0][1, 0, RIGHT] < 1


@pytest.mark.parametrize(("start", "goal", "distance"), [(12, 24, 4), (0, 7, 3), (24, 12, 4)])
def test_the_goal_is_reached_on_a_shortest_way(start: int, goal: int, distance: int) -> None:
    """With a horizon of the distance, an agent takes as many steps as the goal is cells away."""
    spec = explorer()
    text = spec.to_text().replace("onehot(12)", f"onehot({start})").replace("24, 3", f"{goal}, 3")
    world = GridWorld(5, 5, start=start, goal=goal)
    history = parse(text).agent(seed=0).run(world, steps=20)

    assert history.ended == "done"
    assert len(history) == distance + 1
    assert history.states[-1] == (goal,)


def test_the_goal_is_reached_in_the_world_of_the_specification() -> None:
    """`Spec.environment` is a world in which its agent gets where it wants, and stays (S3-46)."""
    spec = explorer()
    history = spec.agent(seed=0).run(spec.environment(seed=0), steps=8)

    assert [state for (state,) in history.states][4:] == [24] * 4
    assert abs(24 // 5 - 12 // 5) + abs(24 % 5 - 12 % 5) == 4


@pytest.mark.parametrize(("context", "arm"), [("left", ARM_LEFT), ("right", ARM_RIGHT)])
@pytest.mark.parametrize("seed", range(5))
def test_the_cue_first_then_the_right_arm(context: str, arm: int, seed: int) -> None:
    """In the T-maze an agent asks the cue, and then goes where the reward is (S3-46)."""
    history = rat().agent(seed=0).run(TMaze(context, seed=seed), steps=10)

    assert [location for location, _ in history.states] == [CENTRE, CUE, arm]
    assert history.ended == "done"
    assert history.entropy("context") == pytest.approx([np.log(2), 0, 0], abs=1e-3)


def test_the_maze_is_that_of_the_specification() -> None:
    """`TMaze` draws from the same arrays as the written specification of its task."""
    world, spec = TMaze(), rat()

    for ours, written in zip((*world.model.A, *world.model.B), (*spec.A, *spec.B), strict=True):
        assert ours == pytest.approx(written)
    assert world.factors == spec.model.factors


def test_what_the_maze_pays_and_where_it_ends() -> None:
    """The right arm pays as often as is said, the cue is never wrong, and an arm is the end."""
    outcomes = []
    for seed in range(400):
        world = TMaze("left", reward=0.8, seed=seed)
        assert world.reset() == (CENTRE, 0, 0)
        assert world.step((CUE,)) == (CUE, 0, 1)
        assert not world.done
        place, outcome, cue = world.step((ARM_LEFT,))
        assert (place, cue, world.done) == (ARM_LEFT, 0, True)
        outcomes.append(outcome)

    assert set(outcomes) == {1, 2}
    assert outcomes.count(1) / 400 == pytest.approx(0.8, abs=0.06)


def test_the_context_of_the_maze() -> None:
    """Where the reward is, is drawn unless it is given; another word is refused."""
    assert {TMaze(seed=seed).state[1] for seed in range(20)} == {0, 1}
    assert {TMaze("right", seed=seed).state[1] for seed in range(20)} == {1}
    with pytest.raises(GMNError, match="`context` is 'middle'"):
        TMaze("middle")


class Published:
    """What the agent of pymdp's T-maze demo observed, as its notebook prints it.

    examples/legacy/tmaze_demo.ipynb at https://github.com/infer-actively/pymdp, read on 2026-11-21:
    location (centre, right, left, cue), reward (none, reward, loss), cue (right, left).
    """

    OBSERVED = ((0, 0, 1), (3, 0, 1), (2, 1, 1), (2, 1, 0), (2, 1, 0), (2, 1, 0))
    ACTIONS = (3, 2, 2, 2, 2)

    def reset(self) -> tuple[int, ...]:
        """Begin anew."""
        self.step_number = 0
        return self.OBSERVED[0]

    def step(self, action: tuple[int, ...]) -> tuple[int, ...]:
        """Give what was printed next, whatever is done."""
        self.step_number += 1
        return self.OBSERVED[self.step_number]

    @property
    def state(self) -> tuple[int, ...]:
        """Where it is, and that the reward is on the left."""
        return self.OBSERVED[self.step_number][0], 1

    @property
    def done(self) -> bool:
        """Never."""
        return False


def published_agent() -> Agent:
    """Give the agent of that demo: 98 % of reward, and cues that say nothing elsewhere."""
    cue = np.full((2, 4, 2), 0.5)
    cue[:, 3, :] = np.eye(2)
    reward = np.zeros((3, 4, 2))
    reward[0, (0, 3), :] = 1
    reward[1:, 1, :] = [[0.98, 0.02], [0.02, 0.98]]
    reward[1:, 2, :] = [[0.02, 0.98], [0.98, 0.02]]
    arrays = model(
        A=[np.eye(4), reward, cue],
        A_of=((0,), (0, 1), (0, 1)),
        B=[goto(4), still(2)],
        B_of=((0,), (1,)),
        B_by=(0, -1),
        C=[np.zeros(4), np.array([0.0, 3.0, -3.0]), np.zeros(2)],
        D=[point(4, 0), np.array([0.5, 0.5])],
        controls=(4,),
    )
    return Agent(arrays, policy_len=1, gamma=16.0)


def test_a_published_walk() -> None:
    """On what pymdp's demo printed that its agent saw, ours does what that agent did (S3-46)."""
    history = run(published_agent(), Published(), 6)

    assert tuple(history.actions()[:5]) == Published.ACTIONS
    assert history.beliefs(1)[1:, 1] == pytest.approx(np.ones(5), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_published_walk_in_a_process(seed: int) -> None:
    """In the process of the same arrays, the agent walks the same way: cue, left arm, stay."""
    agent = published_agent()
    history = run(agent, Process(agent.model, seed, start=(0, 1)), 6)

    assert [location for location, _ in history.states] == [0, 3, 2, 2, 2, 2]

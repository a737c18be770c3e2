"""Generative models that two agents are compared on: ours, and pymdp's.

`scripts/gmn_reference.py` runs pymdp on them and writes its numbers to `fixtures/gmn_pymdp.json`.
All numbers here come from formulas, so that no generator's version matters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llmport_magic.gmn.arrays.model import Model


@dataclass(frozen=True)
class Case:
    """A model, how its agent plans, and what it observes.

    Attributes:
        model: the model.
        observations: for each step an index for each modality, or `None`.
        policy_len: how many steps a policy looks ahead.
        gamma: the precision.
        options: of `Agent`: `utility`, `information_gain`.
        states_as_observations: whether pymdp gets the preferences over states as a modality, which
            `model` has already.
    """

    model: Model
    observations: list[list[int | None]]
    policy_len: int = 1
    gamma: float = 16.0
    options: dict[str, Any] = field(default_factory=dict)


def columns(*shape: int, seed: int = 0, sharpness: float = 2.0) -> np.ndarray:
    """Give an array whose first axis sums to 1, without any pattern that helps."""
    powers = np.exp(sharpness * np.sin(1.0 + 7.3 * seed + 2.1 * np.arange(np.prod(shape))))
    array = powers.reshape(shape)
    return array / array.sum(axis=0)


def model(**arrays: Any) -> Model:
    """Give a model with names and what else follows from its arrays."""
    arrays = {key: value for key, value in arrays.items() if value is not None}
    named = {
        "factors": tuple(f"s{i}" for i in range(len(arrays["D"]))),
        "modalities": tuple(f"o{i}" for i in range(len(arrays["A"]))),
        "control_names": tuple(f"u{i}" for i in range(len(arrays["controls"]))),
    }
    return Model(
        **{**named, **{k: tuple(v) if isinstance(v, list) else v for k, v in arrays.items()}}
    )


def replaced(generative: Model, **arrays: Any) -> Model:
    """Give a model with other arrays."""
    return Model(**{**vars(generative), **arrays})


def grid_transition(rows: int, cols: int) -> np.ndarray:
    """Give `[next, previous, action]` for up, right, down, left and stay, with walls around."""
    moves = ((-1, 0), (0, 1), (1, 0), (0, -1), (0, 0))
    matrix = np.zeros((rows * cols, rows * cols, len(moves)))
    for cell in range(rows * cols):
        row, col = divmod(cell, cols)
        for action, (down, right) in enumerate(moves):
            to = (min(max(row + down, 0), rows - 1), min(max(col + right, 0), cols - 1))
            matrix[to[0] * cols + to[1], cell, action] = 1
    return matrix


def noisy(size: int, p: float) -> np.ndarray:
    """Give `[observation, state]` that shows the state with probability `p`."""
    matrix = np.full((size, size), (1 - p) / (size - 1))
    np.fill_diagonal(matrix, p)
    return matrix


def point(size: int, index: int, value: float = 1.0) -> np.ndarray:
    """Give a vector that is zero but for one entry."""
    vector = np.zeros(size)
    vector[index] = value
    return vector


def goto(size: int) -> np.ndarray:
    """Give `[next, previous, action]` where action i leads to state i."""
    return np.repeat(np.eye(size)[:, np.newaxis, :], size, axis=1)


def still(size: int) -> np.ndarray:
    """Give `[next, previous, action]` of what never changes and no control moves."""
    return np.eye(size)[..., np.newaxis]


def bandit() -> Case:
    """Two arms, of which the context says which is better, and a hint about the context."""
    hint = np.zeros((3, 2, 3))
    hint[0, :, :] = 1
    hint[:, :, 1] = [[0, 0], [0.8, 0.2], [0.2, 0.8]]
    reward = np.zeros((3, 2, 3))
    reward[0, :, :2] = 1
    reward = np.concatenate([reward, np.zeros((3, 2, 1))], axis=2)
    reward[:, :, 2] = [[0, 0], [0.9, 0.25], [0.1, 0.75]]
    reward[:, :, 3] = [[0, 0], [0.25, 0.9], [0.75, 0.1]]
    hint = np.concatenate([hint, hint[:, :, :1]], axis=2)
    return Case(
        model(
            A=[hint, reward, np.eye(4)],
            A_of=((0, 1), (0, 1), (1,)),
            B=[still(2), goto(4)],
            B_of=((0,), (1,)),
            B_by=(-1, 0),
            C=[np.zeros(3), np.array([0.0, 2.0, -4.0]), np.zeros(4)],
            D=[np.array([0.5, 0.5]), point(4, 0)],
            controls=(4,),
        ),
        [[0, 0, 0], [1, 0, 1], [0, 1, 2], [0, 2, 2], [2, 0, 1], [0, 1, 3]],
        policy_len=2,
    )


def plain() -> Case:
    """One factor of four states, five observations and three actions, nothing certain."""
    return Case(
        model(
            A=[columns(5, 4, seed=1)],
            A_of=((0,),),
            B=[columns(4, 4, 3, seed=2)],
            B_of=((0,),),
            B_by=(0,),
            C=[np.array([0.3, -1.0, 2.0, 0.0, 0.7])],
            D=[columns(4, seed=3)],
            controls=(3,),
        ),
        [[2], [0], [4], [1], [3], [2], [2], [0]],
        policy_len=2,
        gamma=1.0,
    )


def grid(size: int, policy_len: int, seen: list[int]) -> Case:
    """A square grid whose cells are seen with noise, with a goal in the last one.

    It begins anywhere, so that the beliefs are uncertain.
    """
    cells = size * size
    return Case(
        model(
            A=[noisy(cells, 0.9)],
            A_of=((0,),),
            B=[grid_transition(size, size)],
            B_of=((0,),),
            B_by=(0,),
            C=[point(cells, cells - 1, 3.0)],
            D=[columns(cells, seed=20)],
            controls=(5,),
        ),
        [[cell] for cell in seen],
        policy_len=policy_len,
    )


def tmaze() -> Case:
    """Four places, a reward in one of two arms, and a cue that says in which."""
    cue = np.full((2, 4, 2), 0.5)
    cue[:, 3, :] = [[0.95, 0.05], [0.05, 0.95]]
    reward = np.zeros((3, 4, 2))
    reward[0, (0, 3), :] = 1
    reward[1:, 1, :] = [[0.98, 0.02], [0.02, 0.98]]
    reward[1:, 2, :] = [[0.02, 0.98], [0.98, 0.02]]
    go = goto(4)
    go[:, 1:3, :] = np.eye(4)[:, 1:3, np.newaxis]  # the arms hold whoever enters them
    return Case(
        model(
            A=[np.eye(4), reward, cue],
            A_of=((0,), (0, 1), (0, 1)),
            B=[go, still(2)],
            B_of=((0,), (1,)),
            B_by=(0, -1),
            C=[np.zeros(4), np.array([0.0, 3.0, -3.0]), np.zeros(2)],
            D=[point(4, 0), np.array([0.5, 0.5])],
            controls=(4,),
        ),
        [[0, 0, 1], [3, 0, 0], [1, 1, 0], [1, 1, 1]],
        policy_len=2,
    )


def several_controls() -> Case:
    """Two controls that move a factor each, and a third factor that drifts by itself."""
    return Case(
        model(
            A=[columns(3, 2, 3, seed=4), columns(4, 3, 2, seed=5), columns(2, 3, seed=6)],
            A_of=((0, 1), (1, 2), (1,)),
            B=[columns(2, 2, 2, seed=7), columns(3, 3, 3, seed=8), columns(2, 2, 1, seed=9)],
            B_of=((0,), (1,), (2,)),
            B_by=(0, 1, -1),
            C=[np.array([0.0, 1.0, -1.0]), np.array([0.5, 0.0, 0.0, -2.0]), np.zeros(2)],
            D=[columns(2, seed=10), columns(3, seed=11), columns(2, seed=12)],
            controls=(2, 3),
        ),
        [[0, 3, 1], [2, 1, 0], [1, 0, 0], [2, 2, 1], [0, 0, 1]],
        policy_len=2,
        gamma=4.0,
    )


def across() -> Case:
    """Transitions that depend on other factors, and one that does not depend on itself."""
    memory = np.zeros((3, 3, 1))
    memory[..., 0] = np.eye(3)  # the next memory is where the agent is
    return Case(
        model(
            A=[noisy(3, 0.8), columns(3, 3, 2, seed=13), columns(2, 3, 2, 3, seed=14)],
            A_of=((0,), (2, 1), (0, 1, 2)),
            B=[columns(3, 3, 2, 2, seed=15), columns(2, 3, 2, 1, seed=16), memory],
            B_of=((0, 1), (0, 1), (0,)),
            B_by=(0, -1, -1),
            C=[np.zeros(3), np.array([1.0, 0.0, -1.0]), np.array([0.0, 0.4])],
            D=[columns(3, seed=17), columns(2, seed=18), np.full(3, 1 / 3)],
            controls=(2,),
        ),
        [[0, 1, 1], [2, 0, 0], [1, 2, 1], [1, 0, 0], [2, 2, 1]],
        policy_len=3,
        gamma=2.0,
    )


def habit() -> Case:
    """The plain model with a prior over its nine policies."""
    case = plain()
    named = {**vars(case.model), "E": columns(9, seed=19)}
    return Case(Model(**named), case.observations, policy_len=2, gamma=1.0)


def wanted_states() -> Case:
    """A preference over states beside one over observations, which pymdp gets as a modality."""
    case = grid(3, 2, [0, 1, 4, 5, 8])
    wanted = (np.array([0.0, 1.0, 0, 0, -2.0, 0, 0.5, 0, 0]),)
    named = {**vars(case.model), "H": wanted}
    return Case(Model(**named), case.observations, policy_len=2)


def missing() -> Case:
    """Two factors and observations that are not always there."""
    case = several_controls()
    seen: list[list[int | None]] = [[0, None, 1], [None, None, None], [1, 0, None], [None, 2, 1]]
    return Case(case.model, seen, policy_len=1)


def only_utility() -> Case:
    """The T-maze for an agent that does not care for information."""
    case = tmaze()
    return Case(case.model, case.observations, policy_len=2, options={"information_gain": False})


def only_information() -> Case:
    """The T-maze for an agent that wants nothing but information."""
    case = tmaze()
    return Case(case.model, case.observations, policy_len=2, options={"utility": False})


CASES: dict[str, Callable[[], Case]] = {
    "bandit": bandit,
    "plain": plain,
    "grid 3x3": lambda: grid(3, 2, [0, 1, 1, 4, 5, 8]),
    "grid 5x5": lambda: grid(5, 3, [0, 1, 6, 7, 2, 12, 13]),
    "t-maze": tmaze,
    "several controls": several_controls,
    "across factors": across,
    "habit": habit,
    "wanted states": wanted_states,
    "missing observations": missing,
    "only utility": only_utility,
    "only information": only_information,
}

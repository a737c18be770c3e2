"""Histories: runs and how they end, arrays by name, and what is said of them in a line."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from gmn_models import model, point, still
from gmn_runs import explorer, rat, written

from llmport_magic.errors import GMNError
from llmport_magic.gmn import GridWorld, History, TMaze, parse
from llmport_magic.gmn.agents.history import run


def in_the_maze() -> History:
    """Give a run of three steps in the T-maze."""
    return rat().agent(seed=0).run(TMaze("right", seed=0), steps=10)


def test_arrays_by_name() -> None:
    """Beliefs, actions and observations are had by the names of the specification (S3-46)."""
    history = in_the_maze()

    assert history.beliefs("location").shape == (3, 4)
    assert history.beliefs("context")[0] == pytest.approx([0.5, 0.5])
    assert history.beliefs("context")[2] == pytest.approx([0, 1], abs=1e-6)
    assert list(history.actions("move")[:2]) == [3, 2]
    assert list(history.observations("cue")) == [0, 2, 0]
    assert list(history.true_states("context")) == [1, 1, 1]
    assert history.neg_efe.shape == history.probabilities.shape == (3, 4)
    assert history.free_energy.shape == (3,)
    for number, step in enumerate(history.steps):
        assert (history.beliefs("location")[number] == step.beliefs[0]).all()
        assert (history.neg_efe[number] == step.neg_efe).all()


def test_an_index_does_as_well_as_a_name() -> None:
    """A factor may be given by its place; the first one is meant where none is given."""
    history = in_the_maze()

    assert (history.beliefs(1) == history.beliefs("context")).all()
    assert (history.beliefs() == history.beliefs("location")).all()


@pytest.mark.parametrize(
    ("method", "name", "message"),
    [
        ("beliefs", "place", "there is no factor 'place'; there is `location`, `context`"),
        ("entropy", 2, "there is no factor 2; there is `location`, `context`"),
        ("true_states", -1, "there is no factor -1; there is `location`, `context`"),
        ("actions", "go", "there is no control 'go'; there is `move`"),
        ("observations", "x", "there is no modality 'x'; there is `place`, `outcome`, `cue`"),
    ],
)
def test_an_unknown_name_is_told_with_what_there_is(
    method: str, name: str | int, message: str
) -> None:
    """A name that is none is refused in one line that has the names that there are."""
    with pytest.raises(GMNError) as caught:
        getattr(in_the_maze(), method)(name)

    assert str(caught.value) == message


def test_entropy() -> None:
    """Entropy is in nats: 0 for certainty, also where a probability is 0, ln n for no idea."""
    arrays = model(
        A=[np.eye(4)], A_of=((0,),), B=[still(4)], B_of=((0,),), B_by=(-1,), C=[np.zeros(4)],
        D=[point(4, 0)], controls=(),
    )  # fmt: skip
    history = written(arrays, [[[1, 0, 0, 0]], [[0.25] * 4], [[0.5, 0.5, 0, 0]]], policies=1)

    assert history.entropy() == pytest.approx([0, np.log(4), np.log(2)])
    assert not np.signbit(history.entropy()[0])


def test_how_a_run_ends() -> None:
    """It ends where steps run out, the environment is done, or `until` holds, and says which."""
    agent, world = explorer().agent(seed=0), GridWorld(5, 5, start=12, goal=24)

    assert (run(agent, world, 3).ended, len(run(agent, world, 3))) == ("steps", 3)
    assert run(agent, world, 30).ended == "done"
    until = run(agent, world, 30, until=lambda state: state[0] >= 14)
    assert (until.ended, until.states[-1]) == ("until", (14,))
    with pytest.raises(GMNError, match="`steps` is 0; give 1 or more"):
        run(agent, world, 0)


def test_a_run_begins_anew() -> None:
    """Agent and environment are reset: the same run twice gives the same history."""
    spec = explorer()
    agent, world = spec.agent(seed=0), spec.environment(seed=4)
    first, second = run(agent, world, 6), run(agent, world, 6)

    assert first.states == second.states
    assert (first.beliefs() == second.beliefs()).all()
    assert (first.neg_efe == second.neg_efe).all()


def test_each_state_is_the_one_of_its_observation() -> None:
    """Step 0 has the first observation, and an action leads from its step to the next one."""
    history = run(explorer().agent(seed=0), GridWorld(5, 5, start=12, goal=24), 20)
    moves = {0: -5, 1: 1, 2: 5, 3: -1, 4: 0}
    states = history.true_states("location")

    assert list(history.observations("sight")) == list(states)
    assert [b - a for a, b in pairwise(states)] == [
        moves[action] for action in history.actions("move")[:-1]
    ]


class Anonymous:
    """An environment of the user's own, without names."""

    done = False

    def __init__(self, *state: int) -> None:
        self.state = state

    def reset(self) -> tuple[int, ...]:
        """Begin anew."""
        return (0, 0, 0)

    def step(self, action: tuple[int, ...]) -> tuple[int, ...]:
        """Show where the agent wanted to go, and nothing else."""
        return (action[0], 0, 0)


@pytest.mark.parametrize(
    ("state", "context"), [((0, 1), [1, 1]), ((0,), None), ((0, 1, 1), None), ((0, 5), None)]
)
def test_true_states_without_names(state: tuple[int, ...], context: list[int] | None) -> None:
    """They go by their places, where there are as many as factors; else they are not known."""
    found = rat().agent(seed=0).run(Anonymous(*state), steps=2).true_states("context")

    assert (None if found is None else list(found)) == context


def test_true_states_go_by_name() -> None:
    """An agent's factor that the environment does not have has no true states."""
    text = explorer().to_text().replace("location", "position")
    history = parse(text).agent(seed=0).run(GridWorld(5, 5), steps=2)

    assert history.world == ("location",)
    assert history.true_states("position") is None


def test_the_line_that_tells_a_run() -> None:
    """`repr` is one line: how many steps, why it ended, what was true and believed in the end."""
    assert repr(in_the_maze()) == (
        "<History: 3 steps, the environment was done: location right, believed right (100%); "
        "context right, believed right (100%)>"
    )
    assert repr(run(rat().agent(seed=0), Anonymous(0), 1)) == (
        "<History: 1 step: location believed centre (100%); context believed left (50%)>"
    )
    assert not hasattr(in_the_maze(), "_repr_html_")
    assert repr(in_the_maze().steps[0]) == (
        "<Step: observed (0, 0, 0), believes 0 (1.00), 0 (0.50), free energy 0.000, acts (3,)>"
    )


def test_what_is_wanted() -> None:
    """Wanted states are read from preferences over observations of them alone, or over them."""
    maze, walk = in_the_maze(), run(explorer().agent(seed=0), GridWorld(5, 5), 1)
    native = rat().to_text().replace("over: outcome", "over: location").replace(
        "[0, 3, -3]", "[0, 0, 0, 2]"
    )  # fmt: skip
    assert walk.wanted("location") == (24,)
    assert maze.wanted("location") == ()
    assert maze.wanted("context") == ()
    assert run(parse(native).agent(seed=0), TMaze(), 1).wanted("location") == (3,)


def test_grids() -> None:
    """A factor is a grid where its shape has two numbers whose product is its size."""
    assert run(explorer().agent(seed=0), GridWorld(5, 5), 1).grid("location") == (5, 5)
    assert in_the_maze().grid("location") is None


def test_names_where_a_model_has_none() -> None:
    """A model without names gives histories whose factors and actions go by numbers."""
    arrays = model(
        A=[np.eye(2)], A_of=((0,),), B=[still(2)], B_of=((0,),), B_by=(-1,), C=[np.zeros(2)],
        D=[point(2, 0)], controls=(2,), factors=(), modalities=(), control_names=(),
    )  # fmt: skip
    history = written(arrays, [[[1, 0]], [[0, 1]]])

    assert history.factors == ("factor 0",)
    assert list(history.actions("control 0")) == [0, 1]
    assert history.moment(0) == "step 0, then 0"


def test_nothing_is_loaded_before_it_is_needed() -> None:
    """Importing the package loads neither numpy nor matplotlib, and a history no matplotlib."""
    code = (
        "import sys, llmport_magic, llmport_magic.gmn\n"
        "assert not {'numpy', 'matplotlib'} & set(sys.modules)\n"
        "from llmport_magic.gmn import History, GridWorld\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr

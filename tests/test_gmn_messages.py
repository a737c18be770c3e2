"""What is said to somebody who writes by hand: what happened, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gmn_runs import explorer, rat

from llmport_magic.errors import GMNError, UsageError
from llmport_magic.gmn import Agent, GridWorld, Process, parse, validate

LAMP = """\
agent lamp {{ horizon: 1 }}
node state room {{ {size}: 2 }}
node observation sensor {{ size: 2 }}
node action switch {{ size: 2 }}
node emission sense {{ to: sensor, from: room, {matrix}: noisy(0.9) }}
node transition light {{ to: room, from: [room, switch], matrix: goto }}
node preference want {{ over: sensor, {values}: goal(1, 2.0) }}
node habit usual {{ values: {habit} }}
"""
WRITTEN = {"size": "size", "matrix": "matrix", "values": "values", "habit": "[0.5, 0.5]"}


def errors_of(source: Any) -> tuple[str, ...]:
    """Give the errors of what may be a specification."""
    return validate(source).errors


@pytest.mark.parametrize(
    ("key", "slip", "said"),
    [
        (
            "size",
            "sise",
            "line 2, column 1: `room` has no size: `sise` is none, did you mean `size`?",
        ),
        ("matrix", "matirx", "`sense` has no matrix: `matirx` is none, did you mean `matrix`?"),
        ("values", "valeus", "`want` has no values: `valeus` is none, did you mean `values`?"),
    ],
)
def test_a_misspelt_field_is_named_where_it_is_missed(key: str, slip: str, said: str) -> None:
    """The error of a field that is left out names the one that was meant to be it (S3-33)."""
    assert not errors_of(LAMP.format(**WRITTEN))
    (error,) = errors_of(LAMP.format(**{**WRITTEN, key: slip}))
    assert said in error
    with pytest.raises(GMNError, match=f"did you mean `{key}`"):
        parse(LAMP.format(**{**WRITTEN, key: slip}))


def test_a_habit_of_another_length_is_told_what_its_numbers_are() -> None:
    """A habit has a number for each policy, and the error says in which order (S3-33)."""
    (error,) = errors_of(LAMP.format(**{**WRITTEN, "habit": "[0.2, 0.3, 0.5]"}))
    assert "one number for each policy, the last action changing fastest" in error


def test_a_grid_that_is_not_the_shape_is_told_the_shape() -> None:
    """Where the states are cells of a grid, the grid that fits is named, and no other size."""
    text = explorer().to_text().replace("grid(5, 5", "grid(4, 4")
    (error,) = errors_of(text)
    assert error.endswith("4 x 4 has 16 cells, `location` has 25 states: write `grid(5, 5)`")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Path("walk.gmn"), "walk.gmn is a path: give the text, as `Path(…).read_text()` does"),
        ("my/walk.gmn", "my/walk.gmn is the name of a file: give its text"),
        ("An agent that walks.", "`An` begins no node: write `node KIND NAME { … }`"),
        (None, "a specification is a text, a mapping or a Spec, not NoneType"),
        ('{"nodes": [', "this is no JSON: Expecting value"),
    ],
)
def test_what_is_no_specification_is_told_in_one_line(source: object, said: str) -> None:
    """Something else than a specification is told as what it is, and nothing is added (S3-31)."""
    (error,) = errors_of(source)
    assert said in error


def test_a_fence_is_told_as_what_it_is() -> None:
    """A text that was pasted with its Markdown around it says which lines are too many."""
    text = f"```gmn\n{LAMP.format(**WRITTEN)}```\n"
    assert errors_of(text) == (
        "line 1, column 1: a line of ``` is of Markdown: delete it",
        "line 10, column 1: a line of ``` is of Markdown: delete it",
    )


def test_a_report_is_true_where_there_is_no_error() -> None:
    """A report can be asked whether it is well, and a notebook shows it as lines."""
    assert validate(LAMP.format(**WRITTEN))
    report = validate("node state s { size: 0 }")
    assert not report
    assert report._repr_mimebundle_() == {"text/plain": str(report)}
    assert str(report).startswith("not valid\n")
    assert "\nerror: line 1, column 22: `size` of `s` must be a whole number" in str(report)


def test_an_agent_is_made_of_a_model() -> None:
    """A specification where a model belongs is told how an agent is made of it."""
    with pytest.raises(
        GMNError, match=r"not of Spec: of a specification `spec.agent\(\)` makes one"
    ):
        Agent(explorer())  # type: ignore[arg-type]


class Number(GridWorld):
    """A world that tells its state as a number."""

    @property
    def state(self) -> Any:
        """The true state."""
        return 0


class Mute:
    """A world that tells no state."""

    def reset(self) -> tuple[int, ...]:
        """Begin."""
        return (0,)

    def step(self, action: tuple[int, ...]) -> tuple[int, ...]:
        """Go on."""
        return action


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (None, r"NoneType has no `reset` and no `step`: give a world with `reset`, `step`"),
        (explorer(), r"Spec has no `reset` and no `step`: .*such as `spec.environment\(\)`"),
        (Mute(), r"Mute has no `state` and no `done`"),
        (GridWorld, r"GridWorld is a class: make a world of it, `GridWorld\(\)`"),
        (GridWorld(4, 4), "made for 25 observations, and the world has 16: make both the same"),
        (GridWorld(6, 6), "made for 25 observations, and the world has 36"),
        (rat().environment(), "made for 25 observations, and the world has 4 and 3 and 3"),
        (Number(), r"`state` of Number is 0: give a tuple, an index for each factor"),
    ],
)
def test_what_is_no_world_is_refused(world: Any, said: str) -> None:
    """What an agent cannot be run in is refused with what is missing (S3-46)."""
    with pytest.raises(GMNError, match=said):
        explorer().agent(policy_len=1).run(world, steps=2)


def test_what_does_not_fit_is_refused_in_a_line() -> None:
    """A limit, a model and a specification of another type are named as what they are."""
    with pytest.raises(UsageError, match="`max_states` is 'a': give a whole number"):
        validate(explorer(), max_states="a")  # type: ignore[arg-type]
    with pytest.raises(GMNError, match="made of a specification or a `Model`, not of int"):
        Process(5)  # type: ignore[arg-type]
    with pytest.raises(GMNError, match="`diff` compares with a `Spec`, not str"):
        explorer().diff("node state s { size: 2 }")  # type: ignore[arg-type]


def test_agents_and_worlds_say_what_they_are() -> None:
    """An agent and a world as the value of a cell are a line of words (S3-46)."""
    assert repr(explorer().agent(policy_len=2)) == "<Agent: location; 25 policies of 2 steps>"
    assert repr(GridWorld(3, 3)) == "<GridWorld: location>"


@pytest.mark.parametrize("steps", ["5", 2.5, 0, None])
def test_steps_are_counted(steps: Any) -> None:
    """A number of steps that is none is refused as it was given (S3-46)."""
    with pytest.raises(GMNError, match=r"give 1 or more, a whole number"):
        explorer().agent(policy_len=1).run(GridWorld(), steps=steps)

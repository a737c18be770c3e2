"""What is put right in a model's answer without a call, and what is left alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from drafts import GOOD, TRANSPOSED, WRONG_SHAPE, good, line_of

from llmport_magic.gmn import Report, Spec, validate
from llmport_magic.gmn.writing.drafting import Drafting
from llmport_magic.gmn.writing.mending import mended
from llmport_magic.gmn.writing.prompting import Wish

LARGE = SimpleNamespace(size="large", prefill=False)
RIGHT = line_of(4)


# [action][previous][next] of three states and two actions.
ACTION_FIRST = (
    line_of(3)
    .replace("size: 3, labels: [left, right, stay]", "size: 2, labels: [left, right]")
    .replace("line", "[[[1, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 0], [0, 0, 1], [0, 0, 1]]]")
)


def taken(text: str, **constraints: int) -> tuple[Spec | None, tuple[str, ...]]:
    """Take an answer; give its specification and what was mended."""
    found = Drafting(Wish.of("x", constraints=constraints), LARGE).take(text)
    told = tuple(each for each in found.warnings if each.startswith("mended: "))
    assert found.spec is None or set(told) <= set(found.spec.notes)
    return found.spec, told


def without(text: str, name: str) -> str:
    """Leave out the line of a node."""
    return "\n".join(line for line in text.splitlines() if f" {name} {{" not in line)


MENDS = {
    "an observation without an emission": (
        without(RIGHT, "see"),
        "`sight` had no emission: it shows `place` as it is",
    ),
    "an emission to no observation": (
        without(RIGHT, "sight"),
        "`sight` was no observation: it has the values of `place`",
    ),
    "labels that are not counted": (
        GOOD.replace("room { size: 2", "room { size: 3"),
        "`room` has 2 labels, its size was 3",
    ),
    "a transition without its action": (
        RIGHT.replace("from: [place, move]", "from: place"),
        "`walk` goes by `move`, which `from` did not name",
    ),
    "a transposed emission": (TRANSPOSED, "the matrix of `sense` was transposed"),
    "a transition with the action first": (
        ACTION_FIRST,
        "the matrix of `walk` was transposed",
    ),
    "rounded columns": (
        line_of(3).replace("identity", "[[0.33, 0, 0], [0.33, 1, 0], [0.33, 0, 1]]"),
        "the columns of `see` summed to 0.99 to 1, not 1",
    ),
    "a preference over nothing": (
        GOOD.replace("over: sensor", "over: light_level"),
        "`want` is over `sensor`: there is no `light_level` to prefer",
    ),
    "a node that is there twice": (
        GOOD + GOOD.splitlines()[1] + "\n",
        "`room` was there twice",
    ),
    "one name for a state and an observation": (
        GOOD.replace("sensor", "room"),
        "the observation `room` is called `room_seen`",
    ),
    "too many policies": (
        RIGHT.replace("horizon: 1", "horizon: 30"),
        "the horizon is ",
    ),
    "a list that does not say over what": (
        RIGHT.replace("matrix: line", "matrix: map([0, 3, 1])"),
        "the list of `walk` goes over `move`",
    ),
}


@pytest.mark.parametrize("what", MENDS)
def test_what_can_be_meant_in_one_way_is_mended(what: str) -> None:
    """It is not valid as it stands, valid once mended, and the mend is told in one line (S3-25)."""
    text, told = MENDS[what]
    spec, warnings = taken(text)

    assert not validate(text).ok
    assert spec is not None
    assert validate(spec.to_text()).ok
    assert len(warnings) == 1
    assert warnings[0].startswith(f"mended: {told}")
    assert "\n" not in warnings[0]


def test_the_numbers_are_those_that_were_meant() -> None:
    """A transposed matrix is turned, whatever its axes, and nothing else changes (S3-33)."""
    emission, _ = taken(TRANSPOSED)
    transition, _ = taken(ACTION_FIRST)
    assert emission is not None
    assert transition is not None

    assert emission.A[0].tolist() == [[0.9, 0.3], [0.1, 0.7]]
    # [next, previous, action]: left leads from 1 to 0, right from 1 to 2.
    assert transition.B[0][0, 1].tolist() == [1, 0]
    assert transition.B[0][2, 1].tolist() == [0, 1]
    assert emission.factors == good().factors


def test_several_mends_at_once() -> None:
    """A text with three slips is mended three times."""
    text = without(RIGHT, "see").replace("from: [place, move]", "from: place")
    spec, told = taken(text.replace("horizon: 1", "horizon: 30"))

    assert spec is not None
    assert len(told) == 3


def test_the_horizon_is_as_asked() -> None:
    """A limit on the horizon is kept without asking again; other limits are not mended (S3-24)."""
    spec, told = taken(RIGHT, horizon=2)

    assert spec is not None
    assert spec.horizon == 2
    assert told == ("mended: the horizon is 2, not 1: as it was asked for",)
    assert taken(line_of(12), max_states=10) == (None, ())


@pytest.mark.parametrize(
    "text",
    [
        WRONG_SHAPE,
        # Two states of the same size: which one is seen?
        without(RIGHT, "see") + "\nnode state mood { size: 4 }\n",
        # Neither axis sums to 1.
        GOOD.replace("noisy(0.9)", "[[0.5, 0.3], [0.1, 0.6]]"),
        # Negative, although its columns sum to 1.
        GOOD.replace("noisy(0.9)", "[[1.2, 0.2], [-0.2, 0.8]]"),
        # Two actions: by which one?
        RIGHT.replace("from: [place, move]", "from: place")
        + "node action jump { size: 3, labels: [left, right, stay] }\n",
        # [action][next][previous] of as many actions as states: which axis is which?
        GOOD.replace("goto", "[[[1, 0], [0, 1]], [[0.2, 0.2], [0.8, 0.8]]]"),
        # A label that nothing has.
        GOOD.replace("goal(bright", "goal(brightest_of_all"),
    ],
)
def test_what_can_be_meant_in_several_ways_is_not(text: str) -> None:
    """A guess is never made: the findings stay, and go back to the model."""
    spec, told = taken(text)

    assert spec is None
    assert told == ()


def test_half_a_mend_is_none() -> None:
    """Where one slip can be mended and another cannot, the text stays as it was."""
    text = WRONG_SHAPE.replace("room { size: 2", "room { size: 3")
    report = validate(text)

    assert mended(text, report, validate) == (report, ())


@pytest.mark.parametrize("count", [20, 200])
def test_mending_does_not_go_on_for_ever(count: int) -> None:
    """However many nodes are wrong, a bounded number of proposals is looked at."""
    pairs = "".join(
        f"node state s{n} {{ size: 2 }}\nnode observation o{n} {{ size: 2 }}\n"
        for n in range(count)
    )
    looked: list[str] = []

    def check(text: str) -> Report:
        looked.append(text)
        return validate(text)

    report = validate(pairs)
    assert mended(pairs, report, check) == (report, ())
    assert len(looked) < 500


def test_what_is_valid_is_left_alone() -> None:
    """Nothing is changed in an answer that is valid."""
    for text in (GOOD, RIGHT):
        assert taken(text)[1] == ()
        assert mended(text, validate(text), validate)[1] == ()


def test_nothing_is_mended_of_what_cannot_be_read() -> None:
    """A text without nodes gives what it gave."""
    report = validate("these are words")

    assert mended("these are words", report, validate) == (report, ())

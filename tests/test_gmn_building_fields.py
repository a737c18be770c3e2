"""The fields of a specification: sizes, labels, names, horizons and beliefs are read, or told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_specs import SMALL, errors_of, spec_of, texts, warnings_of

from llmport_magic.gmn.notation import reading
from llmport_magic.gmn.notation.building import build
from llmport_magic.gmn.notation.nodes import Call
from llmport_magic.gmn.spec import Emission, Factor, Transition

# -- sizes, labels and names -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "size", "labels", "shape"),
    [
        ("size: 3", 3, (), ()),
        ("labels: [a, b]", 2, ("a", "b"), ()),
        ("size: 2, labels: [a, b]", 2, ("a", "b"), ()),
        ("labels: [yes, true, 5, 0.5]", 4, ("yes", "true", "5", "0.5"), ()),
        ("labels: 'a, b'", 2, ("a", "b"), ()),
        ("labels: [0, 1, 2]", 3, (), ()),
        ("states: 3", 3, (), ()),
        ("states: [a, b]", 2, ("a", "b"), ()),
        ("shape: [2, 3]", 6, (), (2, 3)),
        ("size: [2, 3]", 6, (), (2, 3)),
        ("shape: 2x3", 6, (), (2, 3)),
        ("size: '2 x 3'", 6, (), (2, 3)),
        ("size: 100000", 100_000, (), ()),
    ],
)
def test_size_labels_and_shape(
    fields: str, size: int, labels: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    """The size follows from labels or shape where only these are given (S3-32)."""
    factor = spec_of(SMALL.replace("size: 4, initial: onehot(0)", fields)).factors[0]

    assert (factor.size, factor.labels, factor.shape) == (size, labels, shape)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ("", "`place` has no size: add `size: 2`, or `labels: [first, second]`"),
        ("size: 0", "`size` of `place` must be a whole number from 1 to 100,000; `0` is not"),
        ("size: -1", "`size` of `place` must be a whole number from 1 to 100,000; `-1` is not"),
        ("size: 2.5", "`size` of `place` must be a whole number from 1 to 100,000; `2.5` is not"),
        ("size: true", "`size` of `place` must be a whole number from 1 to 100,000; `true` is not"),
        (
            "size: 100001",
            "`size` of `place` must be a whole number from 1 to 100,000; `100001` is not",
        ),
        ("size: many()", "`size` of `place` must be a whole number from 1 to 100,000; it is not"),
        ("size: 3, labels: [a, b]", "`place` has 2 labels and a size of 3"),
        ("labels: [a, b, a]", "`labels` of `place` has `a` twice"),
        ("labels: [a, '']", "`labels` of `place` has an empty text"),
        ("labels: [[a]]", "`labels` of `place` must be a list of texts, such as `[left, right]`"),
        ("labels: f(a)", "`labels` of `place` must be a list of texts, such as `[left, right]`"),
        ("size: 5, shape: [2, 3]", "`place` has a shape of 2 x 3 = 6 and a size of 5"),
        ("shape: [1000, 1000]", "`place` has 1,000,000 values, more than 100,000"),
        ("shape: [2]", "`shape` of `place` must be rows and columns, such as `[5, 5]`"),
        ("shape: [2, -3]", "`shape` of `place` must be rows and columns, such as `[5, 5]`"),
        ("shape: wide", "`shape` of `place` must be rows and columns, such as `[5, 5]`"),
        (
            "size: 2, type: continuous",
            (
                "`place` is continuous: only discrete states, observations and actions "
                "can be used; "
                "divide it into labelled values"
            ),
        ),
    ],
)
def test_sizes_that_cannot_be(fields: str, error: str) -> None:
    """Sizes are whole numbers up to 100,000; labels are unique and as many as the size (S3-32)."""
    text = SMALL.replace("size: 4, initial: onehot(0)", fields)

    assert errors_of(text) == [error]


def test_names_that_are_none_are_mended_or_told() -> None:
    """A name with a hyphen or a blank is read with `_`, also where it is referred to."""
    text = SMALL.replace("place", '"grid-position"')

    assert spec_of(text).factors[0].name == "grid_position"
    assert spec_of(text).emissions[0].of == ("grid_position",)
    assert warnings_of(text)[0] == "`grid-position` is read as `grid_position`"
    assert errors_of(SMALL.replace("action move", 'action "2nd"'))[0] == (
        "`2nd` cannot name a node: a name has letters, digits and `_`, and begins with no digit"
    )


# -- the agent and the rest --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("type: explorer", ("explorer", 1, 16.0)),
        ("type: 'cautious explorer', gamma: 4", ("explorer", 1, 4.0)),
        ("type: robot, policy_len: 3", ("general", 3, 16.0)),
        ("precision: 0.5, horizon: 2.0", ("general", 2, 0.5)),
    ],
)
def test_the_agent(fields: str, expected: tuple[str, int, float]) -> None:
    """What is said of the agent is read; a type that there is not is a warning."""
    spec = spec_of(f"agent bob {{ {fields} }}\n{SMALL}")

    assert (spec.agent_type, spec.horizon, spec.precision) == expected
    assert spec.name == "bob"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ("horizon: 0", "`horizon` of `bob` must be a whole number from 1 to 1,000; `0` is not"),
        ("precision: 0", "`precision` of `bob` must be a number above 0"),
        ("precision: high", "`precision` of `bob` must be a number above 0"),
    ],
)
def test_what_an_agent_cannot_have(fields: str, error: str) -> None:
    """Horizon and precision are positive numbers."""
    assert errors_of(f"agent bob {{ {fields} }}\n{SMALL}") == [error]


@pytest.mark.parametrize(
    ("old", "new", "initial"),
    [
        ("initial: onehot(0)", "initial: 2", Call("onehot", (2,))),
        ("size: 4, initial: onehot(0)", "labels: [a, b, c, d], start: b", Call("onehot", ("b",))),
        ("initial: onehot(0)", "initial: uniform", Call("uniform")),
        (", initial: onehot(0)", "", None),
        ("initial: onehot(0)", "initial: none", None),
        ("initial: onehot(0)", "initial: None", None),
        ("initial: onehot(0)", "labels: [none, b, c, d], initial: none", Call("onehot", ("none",))),
    ],
)
def test_beliefs_to_begin_with(old: str, new: str, initial: object) -> None:
    """A number or a label is that one state; a word that is none is a constructor."""
    assert spec_of(SMALL.replace(old, new)).factors[0].initial == initial


def test_a_belief_may_be_a_node() -> None:
    """A belief that is written as a node is the `initial` of its state; not a second one."""
    belief = "node belief start { state: place, values: onehot(1) }"
    spec = spec_of(SMALL.replace(", initial: onehot(0)", "") + belief)

    assert spec.factors[0].initial == Call("onehot", (1,))
    assert errors_of(SMALL + belief) == ["`place` has two beliefs to begin with"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"factors": ()}, "there is no state: add `node state NAME { size: 2 }`"),
        ({"horizon": 0}, "`horizon` of `agent` must be a whole number from 1 to 1,000; `0` is not"),
        (
            {"emissions": (Emission(name="e", to="sight", of=("plce",), matrix="uniform"),)},
            "`from` of `e` names `plce`, and there is no such state; did you mean `place`?",
        ),
        (
            {"emissions": (Emission(name="e", to="sight", of=("place",), matrix="5 by 5"),)},
            (
                "`matrix` of `e` must be a list of numbers or a constructor such as `uniform`; "
                "`5 by 5` is neither"
            ),
        ),
        (
            {"emissions": (Emission(name="e", to="sight", of="place", matrix=((float("nan"),),)),)},
            "`matrix` of `e`: nan is not a finite number",
        ),
        (
            {"transitions": (Transition(name="t", to="place", of=("place", "move"), by="move"),)},
            "`from` of `t` names `move` twice",
        ),
        (
            {"factors": (Factor(name="place", size=2, labels=("a\x00", "b")),)},
            "`labels` of `place`: a text holds the invisible character U+0000",
        ),
    ],
)
def test_one_made_in_python_is_checked_as_well(change: dict[str, object], error: str) -> None:
    """A specification made by hand has the findings that its text would have."""
    made = replace(spec_of(SMALL), **change)  # type: ignore[arg-type]
    spec, found = build(reading.read(made)[0])

    assert spec is None
    assert error in texts(found, "error")

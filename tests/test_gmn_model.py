"""The arrays of a specification: what they are, and whose axes they have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from llmport_magic.errors import GMNError
from llmport_magic.gmn.arrays.model import Model, model_of
from llmport_magic.gmn.notation.nodes import Call, Value
from llmport_magic.gmn.spec import (
    Control,
    Emission,
    Factor,
    Modality,
    Preference,
    Spec,
    Transition,
)
from llmport_magic.gmn.validation import parse


def spec_of(**changed: Any) -> Spec:
    """Make a specification of two factors, two modalities and one control that moves both."""
    usual: dict[str, Any] = {
        "factors": (
            Factor(name="place", size=3, labels=("home", "shop", "park"), initial="home"),
            Factor(name="memory", size=2),
        ),
        "modalities": (Modality(name="sight", size=3), Modality(name="recall", size=2)),
        "controls": (Control(name="go", size=3),),
        "emissions": (
            Emission(name="a_recall", to="recall", of=("memory", "place"), matrix="copy(memory)"),
            Emission(name="a_sight", to="sight", of=("place",), matrix="noisy(0.8)"),
        ),
        "transitions": (
            Transition(
                name="b_memory",
                to="memory",
                of=("place", "memory"),
                by="go",
                matrix=Call("latch", ("place", "park")),
            ),
            Transition(name="b_place", to="place", of=("place",), by="go", matrix=Call("goto")),
        ),
        "preferences": (
            Preference(name="c", over="sight", values=(0, 0, 1, 0)[:3]),
            Preference(name="h", over="memory", values=Call("goal", (1, 2.5))),
        ),
    }
    return Spec(**{**usual, **changed})


def bandit(matrix: Value, *, size: int = 2, by: str | None = None) -> Spec:
    """Make a specification of one factor, whose transition is the matrix."""
    return Spec(
        factors=(Factor(name="arm", size=size),),
        modalities=(Modality(name="coin", size=size),),
        controls=(Control(name="pull", size=3),),
        emissions=(Emission(name="a", to="coin", of=("arm",), matrix="identity"),),
        transitions=(Transition(name="b", to="arm", of=("arm",), by=by, matrix=matrix),),
    )


def test_arrays_stand_in_the_order_of_what_they_are_about() -> None:
    """A, C follow the modalities, B, D, H the factors, whatever order the nodes were written in."""
    model = spec_of().model

    assert [array.shape for array in model.A] == [(3, 3), (2, 2, 3)]
    assert model.A_of == ((0,), (1, 0))
    assert [array.shape for array in model.B] == [(3, 3, 3), (2, 3, 2, 3)]
    assert model.B_of == ((0,), (0, 1))
    assert model.B_by == (0, 0)
    assert [array.tolist() for array in model.C] == [[0, 0, 1], [0, 0]]
    assert [array.tolist() for array in model.D] == [[1, 0, 0], [0.5, 0.5]]
    assert model.E is None
    assert model.H[0] is None
    assert model.H[1] is not None
    assert model.H[1].tolist() == [0, 2.5]
    assert (model.controls, model.control_names) == ((3,), ("go",))
    assert (model.factors, model.modalities) == (("place", "memory"), ("sight", "recall"))
    assert model.labels == {"place": ("home", "shop", "park")}
    assert model.shapes == {}


def test_a_transition_without_a_control_has_an_axis_of_one_action() -> None:
    """What no control moves has a last axis of length 1; without a transition nothing changes."""
    model = bandit(((0.9, 0.2), (0.1, 0.8))).model
    assert model.B[0].tolist() == [[[0.9], [0.2]], [[0.1], [0.8]]]
    assert model.B_by == (-1,)

    still = replace(bandit("identity"), transitions=())
    assert still.model.B[0].tolist() == [[[1], [0]], [[0], [1]]]
    assert (still.model.B_of, still.model.B_by) == (((0,),), (-1,))
    # An axis of one action, written out, is that axis.
    assert bandit((((1,), (0,)), ((0,), (1,)))).model.B[0].shape == (2, 2, 1)


def test_each_transition_has_the_control_that_it_names() -> None:
    """Of two controls each moves its own factor, in the arrays and in the agent (S3-33)."""
    spec = parse("""
        node state place { size: 3, initial: onehot(0) }
        node state lamp { size: 2, initial: onehot(0) }
        node observation light { size: 2 }
        node observation sight { size: 3 }
        node action switch { size: 2 }
        node action move { size: 3 }
        node emission shine { to: light, from: lamp, matrix: identity }
        node emission see { to: sight, from: place, matrix: identity }
        node transition walk { to: place, from: [place, move], matrix: goto }
        node transition turn { to: lamp, from: [lamp, switch], matrix: goto }
        node preference want { over: sight, values: goal(2, 3.0) }
    """)

    assert spec.model.B_by == (1, 0)
    assert [each.shape for each in spec.B] == [(3, 3, 3), (2, 2, 2)]
    assert spec.agent().step([0, 0]).action == (0, 2)
    assert spec.environment().step((1, 2)) == (1, 2)
    assert spec.to_pymdp()["B_action_dependencies"] == [[1], [0]]


def test_arrays_cannot_be_changed_and_are_made_once() -> None:
    """Every array is float64 and read-only; `Spec.model` keeps them, `model_of` makes new ones."""
    spec = replace(spec_of(), habit=Call("uniform"))
    model = spec.model
    held = [*model.A, *model.B, *model.C, *model.D, *(h for h in model.H if h is not None)]
    assert model.E is not None

    for array in (*held, model.E):
        assert array.dtype == np.float64
        assert array.flags.c_contiguous or array.ndim > 1
        with pytest.raises(ValueError, match="read-only"):
            array[(0,) * array.ndim] = 7.0
    assert spec.model is model
    assert spec.A is model.A
    again = model_of(spec)
    assert again is not model
    assert all(np.array_equal(one, two) for one, two in zip(model.B, again.B, strict=True))


def test_columns_that_nearly_sum_to_one_are_divided() -> None:
    """0.33333 three times is a third, exactly; what sums to 1 stays to the letter (S3-34)."""
    third = (0.33333,) * 3
    model = bandit((third, third, third), size=3).model
    assert np.allclose(model.B[0], 1 / 3, atol=1e-15)

    exact = ((0.9, 0.2), (0.1, 0.8))
    assert bandit(exact).model.B[0][..., 0].tolist() == [list(row) for row in exact]
    edge = ((0.999, 0.001), (0.0, 1.0))
    assert bandit(edge).model.B[0][..., 0].sum(axis=0).tolist() == pytest.approx([1, 1], abs=1e-15)


def test_the_specification_keeps_what_was_written() -> None:
    """Normalising is the model's: the specification still says 0.33333."""
    third = (0.33333,) * 3
    spec = bandit((third, third, third), size=3)

    assert isinstance(spec.model, Model)
    assert spec.transitions[0].matrix == (third, third, third)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        # 0.9 and 1.0011 are too far from 1, whatever the other columns are
        (bandit(((0.9, 1), (0, 0))), "`b`: the column at `arm` = 0 sums to 0.9, expected 1"),
        (bandit(((1.0011, 1), (0, 0))), "`b`: the column at `arm` = 0 sums to 1.0011, expected 1"),
        # its sum is 1, but pymdp would take it
        (bandit(((1.2, 1), (-0.2, 0))), "`b`: -0.2 at `arm` = 1, `arm` = 0 is no probability"),
        (bandit(((float("nan"), 1), (1, 0))), "`matrix` of `b`: nan is not a finite number"),
        (bandit(((float("inf"), 1), (1, 0))), "`matrix` of `b`: inf is not a finite number"),
        (bandit(((10**400, 1), (1, 0))), "`matrix` of `b`: a whole number is too large"),
        (bandit(((True, 1), (1, 0))), "`b`: `true` at [0, 0] is no number"),
        (
            bandit(((1, 0), (0, 1)), by="pull"),
            ("`b`: expected 2x2x3 (`arm` x `arm` x `pull`), found 2x2: the axis of `pull` is "
            "missing: write one matrix for each action with `by(pull, [ … ])`, or leave `pull` "
            "out of `from`"),
        ),
        (
            bandit((((1, 0), (0, 1)),) * 3, by="pull"),
            ("`b`: expected 2x2x3 (`arm` x `arm` x `pull`), found 3x2x2: the actions are the last "
            "axis: write `by(pull, [ … ])`, a matrix each"),
        ),
        (bandit(()), ("`b`: expected 2x2 (`arm` x `arm`), found 0 numbers: one row for each state "
            "of `arm`, of 2 numbers")),
    ],
)  # fmt: skip
def test_a_matrix_that_does_not_fit_is_refused(spec: Spec, message: str) -> None:
    """The error says which node, what was expected, what was found and the mend (S3-33, S3-34)."""
    with pytest.raises(GMNError) as caught:
        _ = spec.model

    assert str(caught.value) == message
    assert caught.value.findings == (message,)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """The error has a line for each matrix that does not fit."""
    spec = spec_of(
        preferences=(Preference(name="c", over="sight", values=(1, 2)),),
        emissions=(
            Emission(name="a_recall", to="recall", of=("memory", "place"), matrix="identity"),
            Emission(name="a_sight", to="sight", of=("place",), matrix="noisy(8)"),
        ),
    )

    with pytest.raises(GMNError) as caught:
        model_of(spec)
    assert [line.partition(":")[0] for line in caught.value.findings] == [
        "`a_sight`",
        "`a_recall`",
        "`c`",
    ]


def test_a_habit_has_one_number_for_each_policy() -> None:
    """There are actions ** horizon policies, and their prior is a probability."""
    spec = replace(bandit("goto", size=3, by="pull"), horizon=2)

    habit = replace(spec, habit=tuple([0.5, 0.5] + [0.0] * 7)).model.E
    assert habit is not None
    assert habit.tolist() == [0.5, 0.5] + [0.0] * 7
    with pytest.raises(GMNError, match=r"`habit`: expected 9 numbers .*, found 3 numbers"):
        _ = replace(spec, habit=(0.2, 0.2, 0.6)).model
    with pytest.raises(GMNError, match=r"`habit`: they sum to 1\.8, expected 1"):
        _ = replace(spec, habit=(0.2,) * 9).model


def test_nothing_large_is_made() -> None:
    """Too many numbers are refused with their count, before any array is there (S3-36)."""
    with pytest.raises(GMNError) as caught:
        _ = bandit("identity", size=100_000, by="pull").model

    assert caught.value.findings == (
        (
            "`a` has 100,000 x 100,000 = 10,000,000,000 numbers, and 4,000,000 are allowed: lower "
            "`size` of `coin`, or split it into several nodes"
        ),
        (
            "`b` has 100,000 x 100,000 x 3 = 30,000,000,000 numbers, and 4,000,000 are allowed: "
            "lower `size` of `arm`, or split it into several nodes"
        ),
    )
    many = tuple(Factor(name=f"f{number}", size=2_000) for number in range(5))
    with pytest.raises(GMNError, match=r"with `f3` all arrays have 16,\d{3},\d{3} numbers"):
        _ = replace(bandit("identity"), factors=(*bandit("identity").factors, *many)).model


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"emissions": ()}, "nothing says how `coin` comes about"),
        (
            {"preferences": (Preference(name="c", over="luck", values=(1, 0)),)},
            "`over` of `c` names `luck`",
        ),
        (
            {
                "factors": (Factor(name="arm", size=2, shape=(2, 2)),),
                "transitions": (
                    Transition(name="b", to="arm", of=("arm",), matrix=Call("near", (0.5,))),
                ),
            },
            "a shape of 2 x 2 = 4",
        ),
        (
            {"factors": (Factor(name="arm", size=2.0),)},  # type: ignore[arg-type]
            "`size` of `arm` is 2.0: give a whole number",
        ),
    ],
)
def test_what_does_not_hang_together_is_refused(changed: dict[str, Any], message: str) -> None:
    """One that was made in Python is checked like one that was read (S3-32)."""
    with pytest.raises(GMNError) as caught:
        _ = replace(bandit("identity"), **changed).model

    assert message in str(caught.value)


def test_a_size_is_counted() -> None:
    """Labels or a shape say how many there are; what says neither has no size."""
    assert Factor(name="weather", labels=("dry", "wet")).size == 2
    assert Factor(name="place", shape=(3, 4)).size == 12
    assert Control(name="move", labels=["left", "right", "stay"]).size == 3
    named = Factor(name="weather", size=2, labels=("dry", "wet"))
    assert Factor(name="weather", labels=("dry", "wet")) == named
    with pytest.raises(GMNError, match="`size` of `place` must be a whole number"):
        assert spec_of(factors=(Factor(name="place"),)).model


@pytest.mark.parametrize("name", [3, None, ("a",)])
def test_a_name_is_a_text(name: Any) -> None:
    """What is no text is refused when the node is made, with the sort of the node."""
    with pytest.raises(GMNError, match="the `name` of a modality is a text, not "):
        Modality(name=name, size=2)

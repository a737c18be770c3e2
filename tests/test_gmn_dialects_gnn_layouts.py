"""GNN files in every layout that is in use: read, reported, or refused with what is wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from gnn_files import FOLDER
from gnn_files import text_of as _text

from llmport_magic.gmn.notation.dialects import gnn
from llmport_magic.gmn.notation.nodes import UNREAD
from llmport_magic.gmn.validation import parse, validate

# Slices of `action_first_*` and `previous_next_action`: one model in three layouts.
WAIT = [[1.0, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 0.5]]
GO = [[0.1, 0.0, 0.2], [0.9, 0.1, 0.0], [0.0, 0.9, 0.8]]
FORWARD = np.stack([WAIT, GO], axis=-1)


class Verdict(NamedTuple):
    """What a file must come to: whether it is used, and words of what is said, in their order."""

    ok: bool
    said: tuple[str, ...] = ()


def _given(name: str, *axes: str, read: str = "next, previous, action") -> str:
    return f"warning: `{name}` was given [{', '.join(axes)}]; read as [{read}]"


VERDICTS = {
    "canonical": Verdict(True, ("left out, as an agent has its own or needs none",)),
    "action_first_next_previous": Verdict(True, (_given("B", "action", "next", "previous"),)),
    "action_first_next_previous_declared_otherwise": Verdict(
        True, (_given("B", "action", "next", "previous"),)
    ),
    "action_first_previous_next": Verdict(True, (_given("B", "action", "previous", "next"),)),
    "previous_next_action": Verdict(True, (_given("B", "previous", "next", "action"),)),
    "square_in_all_axes": Verdict(
        True,
        (
            _given("B", "action", "next", "previous")
            + "; if it is [previous, next, action], say `B_axes: previous, next, action`",
        ),
    ),
    "symmetric_slices": Verdict(True, (_given("B", "action", "next", "previous"),)),
    "symmetric_emission": Verdict(True),
    "rows_sum_to_1": Verdict(
        True,
        (
            _given("A", "state", "observation", read="observation, state"),
            _given("B", "previous", "next", read="next, previous"),
        ),
    ),
    "rounded": Verdict(True, ("warning: `A`: a column sums to 0.999", "warning: `B`: a column")),
    "one_more_bracket": Verdict(True),
    "square_brackets": Verdict(True),
    "four_levels": Verdict(
        True,
        (
            "`G` is connected, but is no variable",
            "`A_light` was read as [observation, s_room, s_lamp, s_day], the states in this order",
            "`B_lamp` was read as [next, previous, s_room, action], the states in this order",
        ),
    ),
    "missing_matrices": Verdict(
        True,
        (
            "warning: no emission for `o`: uniform",
            "warning: no initial belief for `s`: it starts uniform",
            "warning: no transition for `s`: it never changes",
            "warning: `u` changes no state; left out",
            "warning: no values for `C`",
        ),
    ),
    "undeclared": Verdict(True, ("`o` is not declared", "`s` is not declared")),
    "other_names": Verdict(True, ("left out, as an agent has its own or needs none: `β`",)),
    "two_modalities": Verdict(True, ("left out, as an agent has its own or needs none",)),
    "two_levels": Verdict(True, ("`D_level1` is connected with `s_level2`",)),
    "groups": Verdict(
        False,
        (
            "`A_m0` was read as [observation, s_f0, s_f1], the states in this order",
            "error: `A_m1` has 1 axes for states; which of `s_f0`, `s_f1` these are is not said",
        ),
    ),
    "ambiguous_cube": Verdict(
        False,
        (
            (
                "error: `B` can be read as [next, previous, action] or [action, next, previous],"
                " which are different matrices: say which it is, with"
                " `B_axes: next, previous, action` or `B_axes: action, next, previous`"
                " under ## ModelParameters"
            ),
        ),
    ),
    "ambiguous_cycle": Verdict(
        False, ("error: `B` can be read as [action, next, previous] or [action, previous, next]",)
    ),
    "ambiguous_emission": Verdict(
        False, ("error: `A` can be read as [observation, state] or [state, observation]",)
    ),
    "level2_contradicts_itself": Verdict(
        False, ("error: `C_level2` is declared [2], but its value has the shape 4", "`D_level1`")
    ),
    "actions_contradict": Verdict(
        False,
        (
            "error: `B_level2` is declared [2, 2, 2], but its value has the shape 2x2x1",
            "`D_level1`",
        ),
    ),
    "no_axis_sums_to_1": Verdict(
        False,
        (
            (
                "error: `B` must sum to 1 over the axis next; its sums go, read as [next, previous,"
                " action] from 0.3 to 1.2"
            ),
        ),
    ),
    "no_prior_sum": Verdict(False, ("sum to 1.3",)),
    "negative": Verdict(False, ("error: `A` holds -0.1; a probability is not negative",)),
    "ragged": Verdict(False, ("error: `A` is no full matrix: its element 2 has 2 numbers",)),
    "unclosed": Verdict(False, ("error: `A`: `}` closes what `)` should close",)),
    "no_number": Verdict(False, ("error: `A`: not a number: `p`",)),
    "wrong_size": Verdict(
        False, ("error: `B` has the shape 2x4x4 and must have [next 3, previous 3, action ?]",)
    ),
    "continuous": Verdict(False, ("error: the model is in continuous time",)),
    "preference_over_time": Verdict(False, ("error: `C` has the shape 3x2",)),
}


def test_every_file_has_a_verdict() -> None:
    """The table and the folder have the same files (S3-38)."""
    assert {path.stem for path in FOLDER.glob("*.md")} == VERDICTS.keys()


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name: str) -> None:
    """Each file is used or refused, and exactly what must be is said of it (S3-38)."""
    verdict = VERDICTS[name]
    report = validate(_text(name))
    said = [f"{each.level}: {each.text}" for each in report.findings]

    assert report.dialect == "gnn"
    assert report.ok == verdict.ok, report
    assert (report.spec is not None) == verdict.ok
    assert len(said) == len(verdict.said), report
    assert all(part in line for part, line in zip(verdict.said, said, strict=True)), report


@pytest.mark.parametrize("name", [name for name, verdict in VERDICTS.items() if verdict.ok])
def test_used_files_run_and_round_trip(name: str) -> None:
    """What is used has columns that sum to 1, acts, and is the same in our notation (S3-38)."""
    spec = parse(_text(name))
    model = spec.model

    for matrix in (*model.A, *model.B, *model.D):
        np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-12)
    step = spec.agent(seed=0).step((0,) * len(spec.modalities))
    assert np.isfinite(step.neg_efe).all()
    assert parse(spec.to_text()) == spec


def test_other_texts_are_no_gnn() -> None:
    """Our notation, JSON and prose are not taken for GNN."""
    for text in ("node state s { size: 2 }", "{}", "# StateSpaceBlock", "## Results\n", ""):
        assert not gnn.looks_like(text)
    assert all(gnn.looks_like(_text(name)) for name in VERDICTS)


@pytest.mark.parametrize(
    "name",
    [
        "action_first_next_previous",
        "action_first_next_previous_declared_otherwise",
        "action_first_previous_next",
    ],
)
def test_layouts_of_one_model(name: str) -> None:
    """One transition in three layouts is the same array (S3-38)."""
    np.testing.assert_allclose(parse(_text(name)).B[0], FORWARD)


def test_rare_layout() -> None:
    """[previous, next, action] is read where nothing else fits, the actions in their order."""
    given = np.array(
        [
            [[1.0, 0.1], [0.0, 0.9], [0.0, 0.0]],
            [[0.5, 0.0], [0.5, 0.1], [0.0, 0.9]],
            [[0.0, 0.2], [0.5, 0.0], [0.5, 0.8]],
        ]
    )

    np.testing.assert_allclose(parse(_text("previous_next_action")).B[0], given.transpose(1, 0, 2))


def test_rows_that_sum_to_1() -> None:
    """An emission and a transition whose rows sum to 1 are turned around, and that is said."""
    spec = parse(_text("rows_sum_to_1"))

    np.testing.assert_allclose(spec.A[0], [[0.7, 0.1], [0.2, 0.3], [0.1, 0.6]])
    np.testing.assert_allclose(spec.B[0][..., 0], [[0.9, 0.4], [0.1, 0.6]])
    assert len(spec.notes) == 2


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("ambiguous_cube", "next, previous, action"),
        ("ambiguous_cube", "action, next, previous"),
        ("ambiguous_cycle", "[action, next, prev]"),
        ("ambiguous_cycle", "action, previous, next"),
        ("square_in_all_axes", "previous, next, action"),
    ],
)
def test_told_axes(name: str, axes: str) -> None:
    """Where several layouts fit, the writer says which it is, in the words of the error (S3-38)."""
    text = _text(name)
    value = next(node for node in gnn.read(text)[0] if node.name == "B").fields["matrix"].value
    spec = parse(f"{text}\n## ModelParameters\nB_axes: {axes}\n")
    written = [word.strip(" []").replace("prev", "previous")[:8] for word in axes.split(",")]
    order = [written.index(axis) for axis in ("next", "previous", "action")]
    block = text.partition("\nB={")[2].partition("}")[0]
    numbers = "".join(each if each in "0123456789. " else " " for each in block).split()
    given = np.array(numbers, dtype=float).reshape((-1, 3, 3))

    assert value is UNREAD or name == "square_in_all_axes"
    np.testing.assert_allclose(spec.B[0], given.transpose(order), atol=1e-12)


def test_told_axes_that_do_not_fit() -> None:
    """A layout that is told and does not sum to 1 is refused, not read in another one."""
    text = (
        _text("action_first_next_previous")
        + "\n## ModelParameters\nB_axes: action, previous, next\n"
    )
    report = validate(text)

    assert "from 0.3 to 1.7" in report.errors[0]
    assert validate(text.replace("action, previous", "action, before")).errors == (
        "line 21, column 3: `B_axes` must name each of next, previous, action once",
    )


def test_several_factors() -> None:
    """Matrices of several factors keep the factors' order; an action of one value is none."""
    spec = parse(_text("four_levels"))
    light, lamp = spec.emissions[0], spec.transitions[1]

    assert light.of == ("s_room", "s_lamp", "s_day")
    assert spec.A[0].shape == (2, 2, 2, 2)
    assert spec.A[0][1, 0, 1, 0] == 1.0
    assert (lamp.to, lamp.of, lamp.by) == ("s_lamp", ("s_lamp", "s_room"), "u_press")
    assert (spec.transitions[2].of, spec.transitions[2].by) == (("s_day",), None)
    assert [each.name for each in spec.controls] == ["u_walk", "u_press"]


@pytest.mark.parametrize("state", ["s_f0", "s_f1"])
def test_told_states(state: str) -> None:
    """Where groups of states and matrices are connected, the axes' names say which is which."""
    text = _text("groups")
    by_axes = parse(f"{text}\n## ModelParameters\nA_m1_axes: observation, {state}\n")
    by_link = parse(
        text.replace("## Connections", f"## Connections\nA_m1-{state}").replace(
            "(s_f0,s_f1)-(A_m0,A_m1)", "(s_f0,s_f1)-A_m0"
        )
    )
    turned = parse(
        f"{text}\n## ModelParameters\nA_m1_axes: observation, {state}\n"
        "A_m0_axes: observation, s_f1, s_f0\n"
    )

    assert by_axes.emissions[1].of == (state,)
    assert by_link == by_axes
    assert [each.by for each in by_axes.transitions] == [None, "u_f1"]
    assert by_axes.emissions[0].of == ("s_f0", "s_f1")
    assert turned.emissions[0].of == ("s_f1", "s_f0")
    np.testing.assert_array_equal(turned.A[0], by_axes.A[0])


@pytest.mark.parametrize("value", ["{0.5, 0.5}", "{}", "{()}", "0.5", "{(0.5)}"])
def test_too_few_axes(value: str) -> None:
    """An emission without an axis for a state is refused."""
    text = _text("undeclared").replace("{ (0.9, 0.2), (0.1, 0.8) }", value)

    assert any("`A`" in each for each in validate(text).errors)

"""What a GNN file says of its variables: taken section by section, and faults have their line."""

from __future__ import annotations

import numpy as np
import pytest
from counting import LINEAR, growth
from gnn_files import text_of as _text
from hypothesis import given, settings
from hypothesis import strategies as st

from llmport_magic.errors import GMNError
from llmport_magic.gmn.notation.dialects import gnn
from llmport_magic.gmn.validation import parse, validate


def test_whole_file() -> None:
    """A file with every section gives names, sizes, descriptions, horizon and precision."""
    spec = parse(_text("canonical"))

    assert (spec.name, spec.description) == (
        "Thermostat_in_a_cold_room",
        "Thermostat in a cold room",
    )
    assert (spec.horizon, spec.precision) == (2, 8.0)
    assert [(each.name, each.size) for each in spec.factors] == [("s", 3)]
    assert spec.factors[0].description == "the room: cold, fine, hot"
    assert [(each.name, each.size) for each in spec.modalities] == [("o", 2)]
    assert [(each.name, each.size) for each in spec.controls] == [("u", 2)]
    np.testing.assert_allclose(spec.A[0], [[0.9, 0.5, 0.1], [0.1, 0.5, 0.9]])
    np.testing.assert_allclose(spec.B[0][:, 1, 1], [0.0, 0.1, 0.9])
    np.testing.assert_allclose(spec.C[0], [0.0, 1.5])
    np.testing.assert_allclose(spec.D[0], [0.8, 0.1, 0.1])
    assert spec.habit == (0.25,) * 4


def test_annotation_before_names() -> None:
    """The ontology's annotation says what a variable is, in letters of any script."""
    spec = parse(_text("other_names"))

    assert (spec.factors[0].name, spec.modalities[0].name, spec.controls[0].name) == (
        "ξ",
        "ψ",
        "α",
    )
    assert spec.controls[0].size == 3
    assert spec.preferences[0].over == "ψ"


def test_several_modalities() -> None:
    """`ObservationModality0` is an observation; what a model learns or saw before is no node."""
    spec = parse(_text("two_modalities"))

    assert [(each.name, each.size) for each in spec.modalities] == [("o_m0", 2), ("o_m1", 3)]
    assert [(each.name, each.size) for each in spec.factors] == [("s_f0", 2)]
    assert [each.over for each in spec.preferences] == ["o_m0", "o_m1"]
    np.testing.assert_allclose(spec.A[1], [[0.7, 0.1], [0.2, 0.2], [0.1, 0.7]])
    left_out = next(note for note in spec.notes if "left out" in note)
    for name in ("s_prev", "s_tau1", "s_tau2", "gamma_obs", "sigma", "dirichlet_A"):
        assert f"`{name}`" in left_out


def test_numbers_stay_as_they_were_written() -> None:
    """What was rounded stays so in the specification; its arrays sum to 1."""
    spec = parse(_text("rounded"))

    assert spec.emissions[0].matrix[0] == (0.33333, 0.99999, 0.05)
    np.testing.assert_allclose(spec.A[0].sum(axis=0), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("found", "made", "said"),
    [
        ("D={(1, 0, 0)}", "D={(1, 0)}", "declared [3]"),
        ("s[3,1,type=float]", "s[4,1,type=float]", "must have [observation 3, state 4]"),
        ("u[1,type=int]", "u[4]", "`B` has 2 values of the action, but `u` has 4"),
        ("D={(1, 0, 0)}", "D={(1,0,0)}\n## ModelParameters\nnum_actions: 3", "but `u` has 3"),
        ("A={", "A={ __import__('os') ", "not a number: `__import__`"),
        ("D={(1, 0, 0)}", "D={(nan, 0, 0)}", "not a number: `nan`"),
        ("D={(1, 0, 0)}", "D={(1, 0, 0)} 5", "follows the value"),
        ("D={(1, 0, 0)}", "D=", "the value is missing"),
        ("D={(1, 0, 0)}", "D={(1, 0, 0)", "is missing at the end"),
        ("D={(1, 0, 0)}", f"D={'(' * 50}", "brackets in each other"),
        ("D={(1, 0, 0)}", "D={(1, 0, 0)}\nD={(0, 1, 0)}", "`D` is given twice"),
        ("D[3,type=float]", "D[3,type=float]\nD[3]", "`D` is declared twice"),
        ("D[3,type=float]", "D 3", "not a variable"),
        ("D={(1, 0, 0)}", "D={(1, 0, 0)}\nthe rest", "not a value"),
    ],
)
def test_faults(found: str, made: str, said: str) -> None:
    """A fault is refused with its line, whatever stands there; nothing is evaluated."""
    text = _text("action_first_next_previous")
    assert text.count(found) == 1
    report = validate(text.replace(found, made))

    assert any(said in each and each.startswith("line ") for each in report.errors), report
    with pytest.raises(GMNError):
        parse(text.replace(found, made))


def test_layout_of_the_page() -> None:
    """Line ends, a byte order mark, spaces in headings and a line before a value mean nothing."""
    text = _text("action_first_previous_next")
    spaced = text.replace("## StateSpaceBlock", "## State Space Block:").replace("A={", "A=\n\n{")

    assert spaced.count("State Space") == 1
    for other in (text.replace("\n", "\r\n"), f"\ufeff{text}", spaced):
        assert parse(other) == parse(text)


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        ("A=ObservationModel\nD=InitialStateDistribution", "A"),
        ("A=EmissionMatrix\nB=StateTransitionMatrix", "A"),
        ("D=PriorBelief\nA=Likelihood\nu=ControlState", "A"),
    ],
)
def test_other_words_of_annotations(annotation: str, name: str) -> None:
    """Usual other words of an annotation change nothing of what a variable is."""
    text = _text("action_first_previous_next")

    assert parse(f"{text}\n## ActInfOntologyAnnotation\n{annotation}\n") == parse(text)
    assert parse(text).emissions[0].name == name


def test_policy_prior_is_a_habit() -> None:
    """A prior over policies is a habit, not a belief about states."""
    text = _text("action_first_previous_next").replace("D={", "E={(0.9, 0.1)}\nD={")
    spec = parse(f"{text}\n## ActInfOntologyAnnotation\nE=PriorOverPolicies\n")

    assert spec.habit == (0.9, 0.1)


def test_value_of_a_state_is_left_out() -> None:
    """What a state is at the moment is no prior; it is said that it is left out."""
    text = _text("action_first_previous_next").replace("D={", "s={(0, 1, 0)}\nD={")

    assert "the value of `s` is left out: an agent begins with `D`" in str(parse(text).notes)


LONG = {
    "states": lambda size: (
        "## StateSpaceBlock\n" + "".join(f"s_{each}[2]\n" for each in range(size // 11))
    ),
    "open": lambda size: "## InitialParameterization\n" + "A={\n" * (size // 4),
    "values": lambda size: "## InitialParameterization\n" + "a=1\n" * (size // 4),
    "blanks": lambda size: "## InitialParameterization\nA=" + " " * size + "x",
    "spaces": lambda size: "## StateSpaceBlock\nA[2]" + " " * size + "x",
    "links": lambda size: "## Connections\n" + "-" * size,
    "pairs": lambda size: "## StateSpaceBlock\ns[2]\n## Connections\n" + "s-s\n" * (size // 4),
    "axes": lambda size: "## StateSpaceBlock\nA[" + "9," * (size // 2) + "]",
}


@pytest.mark.parametrize("kind", LONG)
def test_long_texts_are_read_in_time(kind: str) -> None:
    """A file made to take long is refused, and twice of it takes twice as much."""
    assert not validate(LONG[kind](980_000)).ok
    assert growth(lambda size: validate(LONG[kind](size)), 20_000) < LINEAR


PIECES = st.sampled_from(
    [
        *"\n\n\n\n#[](){},;=>-:'",
        *("A", "B_f0", "s", "s_f0", "s_f1", "o", "u", "π", "0.5", "-1", "3", "1e999", " ", "_axes"),
        *("## StateSpaceBlock\n", "## Connections\n", "## InitialParameterization\n"),
        *("## ActInfOntologyAnnotation\n", "## ModelParameters\n", "## Time\n", "## ModelName\n"),
        *("A[2,2]\n", "B[2,2,2]\n", "s[2,1]\n", "o[2,1]\n", "A={(0.5,0.5),(0.5,0.5)}\n", "B={"),
        *("s-A\n", "(0.5, 0.5)", "=HiddenState\n", "A_m1[2,0]\n", "A={()}\n", "B={((),())}\n"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=60).map("".join) | st.text(max_size=200))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    """Whatever a file says, reading it gives nodes and findings, and validating it a verdict."""
    nodes, findings = gnn.read(f"## StateSpaceBlock\n{text}")
    report = validate(f"## StateSpaceBlock\n{text}")

    assert all("\n" not in each.text for each in findings)
    assert (report.spec is not None) == report.ok
    assert nodes[0].kind == "agent"


def test_an_error_is_not_lost_behind_many_warnings() -> None:
    """However much is only worth a word, a file with an error is not valid."""
    many = "".join(f"z{each}-s\n" for each in range(40))
    text = _text("negative").replace("D>s\n", f"D>s\n{many}")
    report = validate(text)

    assert not report.ok
    assert len(report.warnings) < 40

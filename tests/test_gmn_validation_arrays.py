"""Shapes that fit, probabilities that sum to one, and preferences, which are any numbers."""

from __future__ import annotations

import numpy as np
import pytest

from llmport_magic.gmn.validation import parse, validate

# Three states, two actions, in full.
SMALL = """\
node state s {{ size: 3 }}
node observation o {{ size: 3 }}
node action a {{ size: 2 }}
node emission e {{ to: o, from: s, matrix: {emission} }}
node transition t {{ to: s, from: [s, a], matrix: {transition} }}
node preference p {{ over: {over}, values: {values} }}
"""
EYE = "[[1, 0, 0], [0, 1, 0], [0, 0, 1]]"


def small(
    *, emission: str = EYE, transition: str = "uniform", over: str = "o", values: str = "[0, 0, 1]"
) -> str:
    """Write the small specification with other values."""
    return SMALL.format(emission=emission, transition=transition, over=over, values=values)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            {"emission": "[[1, 0, 0], [0, 1, 1]]"},
            (
                "expected 3x3 (`o` x `s`), found 2x3: one row for each observation of `o`, of 3 "
                "numbers"
            ),
        ),
        (
            {"emission": "[1, 0, 0, 0, 1, 0, 0, 0, 1]"},
            (
                "expected 3x3 (`o` x `s`), found 9 numbers: write it as rows, one for each "
                "observation "
                "of `o`"
            ),
        ),
        (
            {"emission": "[[1, 0, 0], [0, 1], [0, 0, 1]]"},
            "the rows are not equally long: 3 numbers at [0], 2 numbers at [1]",
        ),
        (
            {"emission": "[[0.9, 0.1, 0], [0.3, 0.7, 0], [0, 0.5, 0.5]]"},
            (
                "the column at `s` = 0 sums to 1.2, expected 1 (and 2 more columns); each row "
                "does: "
                "transposed? the first axis is the observation that follows, one row for each "
                "observation of `o`"
            ),
        ),
        (
            {"transition": EYE},
            (
                "expected 3x3x2 (`s` x `s` x `a`), found 3x3: the axis of `a` is missing: write "
                "one "
                "matrix for each action with `by(a, [ … ])`, or leave `a` out of `from`"
            ),
        ),
        (
            {"transition": f"[{EYE}, {EYE}]"},
            (
                "expected 3x3x2 (`s` x `s` x `a`), found 2x3x3: the actions are the last axis: "
                "write "
                "`by(a, [ … ])`, a matrix each"
            ),
        ),
        (
            {"transition": f"by(a, [{EYE}, [[0.9, 0.1, 0], [0.3, 0.7, 0], [0, 0.5, 0.5]]])"},
            (
                "the column at `s` = 0, `a` = 1 sums to 1.2, expected 1 (and 2 more columns); "
                "along "
                "`s` all do: transposed? the first axis is the state that follows, one row for "
                "each "
                "state of `s`"
            ),
        ),
        (
            {"transition": f"by(a, [{EYE}, [[1, 0], [0, 1]]])"},
            (
                "`by(a, [[[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[1, 0], [0, 1]]])`: expected 3x3 "
                "(`s` x "
                "`s`), found 2x2: one row for each state of `s`, of 3 numbers"
            ),
        ),
        (
            {"values": "[0, 1]"},
            "expected 3 numbers (`o`), found 2 numbers: one number for each observation of `o`",
        ),
        (
            {"values": "[[0, 0, 1]]"},
            "expected 3 numbers (`o`), found 1x3: one number for each observation of `o`",
        ),
    ],
)
def test_shapes(written: dict[str, str], message: str) -> None:
    """A shape that does not fit is told with the one expected and what was meant (S3-33)."""
    report = validate(small(**written))
    (error,) = report.errors

    assert error.partition("`: ")[2] == message


def test_shapes_of_several_states() -> None:
    """Numbers for all states in one row are told how to be written (S3-33)."""
    text = small(emission="[[1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 1]]").replace(
        "from: s, m", "from: [s, z], m"
    )
    report = validate(f"{text}node state z {{ size: 2 }}\n")

    assert "expected 3x3x2 (`o` x `s` x `z`), found 3x6: write `by(z, [ … ])`" in report.errors[0]


def test_a_transposed_matrix_is_not_turned() -> None:
    """Where rows and columns sum to 1, what is written is taken as it is (S3-33)."""
    spec = parse(small(emission="[[0, 1, 0], [0, 0, 1], [1, 0, 0]]"))

    assert spec.A[0].tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_actions_first_are_not_called_transposed() -> None:
    """As many actions as states: both orders that the numbers can have are named (S3-33)."""
    first = "[[[0.9, 0.2, 0], [0.1, 0.8, 0], [0, 0, 1]], [[0, 0, 1], [1, 0, 0], [0, 1, 0]], "
    first += "[[0.5, 0, 0], [0.5, 1, 0], [0, 0, 1]]]"
    text = small(transition=first).replace("node action a { size: 2 }", "node action a { size: 3 }")
    (error,) = validate(text).errors

    assert error.endswith(
        "along `s` all do: [action, next, previous]? write `by(a, [ … ])` around these numbers; or "
        "[previous, next, action]? the first axis is the state that follows"
    )
    mended = text.replace(first, f"by(a, {first})")
    assert parse(mended).B[0][:, 0, 0].tolist() == [0.9, 0.1, 0]
    turned = text.replace(
        first, "by(a, [[[0.9, 0.1, 0], [0.3, 0.7, 0], [0, 0.5, 0.5]], identity, identity])"
    )
    assert "transposed?" in validate(turned).errors[0]


def test_numbers_that_fit_in_two_orders_get_a_word() -> None:
    """As many actions as states may fit with the action first: how it is read is said (S3-33)."""
    goto = "[[[1, 1, 1], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [1, 1, 1], [0, 0, 0]], "
    goto += "[[0, 0, 0], [0, 0, 0], [1, 1, 1]]]"
    text = small(transition=goto).replace("node action a { size: 2 }", "node action a { size: 3 }")
    report = validate(text)

    assert report.ok
    assert report.warnings == (
        (
            "line 5, column 50: `t`: these numbers would also fit with the action first: they are "
            "read as [next, previous, action]; `by(a, [ … ])` leaves no doubt"
        ),
    )
    # As constructors, and where both readings are the same, there is no doubt.
    plain = f"by(a, [{EYE}, {EYE}, {EYE}])"
    assert validate(text.replace(goto, plain)).warnings == ()
    assert validate(text.replace(goto, str([[[1 / 3] * 3] * 3] * 3))).warnings == ()


@pytest.mark.parametrize(
    ("emission", "column", "message"),
    [
        (
            "[[0.9, 0, 0], [0, 1, 0], [0, 0, 1]]",
            45,
            "the column at `s` = 0 sums to 0.9, expected 1",
        ),
        (
            "[[1.1, 0, 0], [-0.1, 1, 0], [0, 0, 1]]",
            58,
            "-0.1 at `o` = 1, `s` = 0 is no probability",
        ),
        (
            "[[-0.5, -0.5, 0], [1.5, 1, 0], [0, 0.5, 1]]",
            45,
            "-0.5 at `o` = 0, `s` = 0 is no probability (and 1 more number)",
        ),
        (
            "[[80, 10, 10], [10, 80, 10], [10, 10, 80]]",
            43,
            (
                "the column at `s` = 0 sums to 100, expected 1 (and 2 more columns): percent? "
                "write "
                "0.9 for 90"
            ),
        ),
        ("[[0, 0, 0], [0, 1, 0], [0, 0, 1]]", 45, "the column at `s` = 0 sums to 0, expected 1"),
        ("[[high, 0, 0], [0, 1, 0], [0, 0, 1]]", 45, "`high` at [0, 0] is no number"),
        ("[[true, 0, 0], [0, 1, 0], [0, 0, 1]]", 45, "`true` at [0, 0] is no number"),
    ],
)
def test_probabilities(emission: str, column: int, message: str) -> None:
    """What is no probability is an error that names the place, even if the sum is 1 (S3-34)."""
    (error,) = validate(small(emission=emission)).errors

    assert error == f"line 4, column {column}: `e`: {message}"


ROWS = "[\n  [{}],\n  [{}],  # the second\n  [{}]\n  ]"


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        (("1, 0, 0", "0, 1", "0, 0, 1"), "line 6, column 3: "),
        (("1, 0, 0", "0, -1, 0", "0, 0, 1"), "line 6, column 7: "),
        (("1, 0, 0", "0, 1, 0", "0, 0, high"), "line 7, column 10: "),
        (("1, 0, 0", "0 1 0", "0, 1/2, 1"), "line 5, column 7: "),
        (("100, 0, 0", "0, 100, 0", "0, 0, 100"), "line 4, column 43: "),
        (("0.9, 0.1, 0", "0.3, 0.7, 0", "0, 0.5, 0.5"), "line 4, column 43: "),
    ],
    ids=["a short row", "a negative entry", "a word", "a column", "percent", "transposed"],
)
def test_a_fault_within_a_matrix_is_placed_there(rows: tuple[str, ...], place: str) -> None:
    """A row, an entry or the head of a column has its own line; what is about all has the `[`."""
    (error,) = validate(small(emission=ROWS.format(*rows))).errors

    assert error.startswith(f"{place}`e`: ")


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        ("[0.5, 0.2, 0.2]", "34: `s`: they sum to 0.9, expected 1"),
        ("[0.5, -0.5, 1]", "40: `s`: -0.5 at `s` = 1 is no probability"),
    ],
)
def test_a_first_belief_is_a_probability(initial: str, message: str) -> None:
    """What the agent believes at first sums to 1 as well (S3-34)."""
    report = validate(small().replace("{ size: 3 }", f"{{ size: 3, initial: {initial} }}", 1))

    assert report.errors == (f"line 1, column {message}",)


@pytest.mark.parametrize("word", ["nan", "NaN", "inf", "-inf", "Infinity", "1e999"])
def test_no_number_is_infinite(word: str) -> None:
    """What is no number, or not finite, is refused in a matrix and in a preference (S3-31)."""
    assert not validate(small(emission=EYE.replace("1", word, 1))).ok
    assert not validate(small(values=f"[0, {word}, 0]")).ok


def test_an_error_names_places_by_their_labels() -> None:
    """A column is named as the specification names its states (S3-34)."""
    text = small(emission="[[1, 0, 0.5], [0, 1, 0.4], [0, 0, 0]]").replace(
        "node state s { size: 3 }", "node state s { labels: [cold, fine, hot] }"
    )

    assert "the column at `s` = `hot` sums to 0.9, expected 1" in validate(text).errors[0]


@pytest.mark.parametrize(
    ("column", "total"),
    [
        ("[0.33333, 0.33333, 0.33333]", "0.99999"),
        ("[0.333, 0.333, 0.333]", "0.999"),
        ("[0.334, 0.333, 0.334]", "1.001"),
    ],
)
def test_rounded_probabilities_are_divided_with_a_word(column: str, total: str) -> None:
    """Within 0.001 of 1, a column is divided by its sum, and that is said (S3-34)."""
    row = column.strip("[]").split(", ")
    report = validate(small(emission=str([[each] * 3 for each in row]).replace("'", "")))

    assert report.errors == ()
    assert report.warnings == (
        (
            f"line 4, column 43: `e`: a column sums to {total}, not exactly 1: each was "
            "divided by its "
            "sum"
        ),
    )
    assert report.spec is not None
    assert np.allclose(report.spec.A[0].sum(axis=0), 1, atol=1e-15)
    assert report.spec.notes == report.warnings


# -- preferences ---------------------------------------------------------------------------------


@pytest.mark.parametrize("values", ["[0, 0, 1]", "[-3.5, 0, 100]", "[0, 0, 0]", "onehot(2)"])
@pytest.mark.parametrize("over", ["o", "s"])
def test_preferences_are_any_numbers(values: str, over: str) -> None:
    """Log-preferences need not sum to 1, and stand over observations or over states (S3-35)."""
    report = validate(small(over=over, values=values))

    assert report.findings == ()
    assert report.spec is not None
    assert (report.spec.model.H[0] is not None) == (over == "s")


def test_preferences_that_look_like_probabilities_get_a_word() -> None:
    """What sums to 1 is taken as log-preferences, and its logarithms are told (S3-35)."""
    report = validate(small(values="[0.1, 0.2, 0.7]"))

    assert report.ok
    assert report.warnings == (
        (
            "line 6, column 38: `p`: these are log-preferences, not probabilities: if "
            "probabilities "
            "were meant, write their logarithms [-2.30, -1.61, -0.36]"
        ),
    )
    assert report.spec is not None
    assert report.spec.C[0].tolist() == [0.1, 0.2, 0.7]

"""What is wrong with how a text is written is found with its place, however large it is."""

from __future__ import annotations

import pytest
from counting import LINEAR, growth
from gmn_readings import SMALL, changed, errors_of, found_in

from llmport_magic.gmn.notation import reading
from llmport_magic.gmn.notation.building import build
from llmport_magic.gmn.notation.nodes import UNREAD, Call
from llmport_magic.gmn.notation.text import MAX_BYTES, read_text


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            "goal(3, 2.0) }",
            "goal(3, 2.0)",
            "line 6, column 1: `want` is not closed: a `}` is missing",
        ),
        (
            "sight { size: 4 }",
            "sight { size: 4",
            "line 2, column 1: `sight` is not closed: a `}` is missing",
        ),
        ("{ size: 2 }", "{ size: 2 } }", "line 3, column 30: a `}` closes nothing; delete it"),
        (
            "node action move {",
            "node action my move {",
            "line 3, column 1: `node action my move` is no header: write `node KIND NAME { … }`",
        ),
        (
            "node action move",
            "node action",
            "line 3, column 1: a node of kind `action` has no name: write `node action NAME`",
        ),
        (
            "observation sight",
            "observation place",
            "line 2, column 1: the name `place` is given to two nodes",
        ),
        (
            "node emission",
            "node emision",
            (
                "line 4, column 1: there is no kind of node called `emision`; did you "
                "mean `emission`? "
                "(agent, state, observation, action, emission, transition, preference, habit)"
            ),
        ),
        (
            "[place, move]",
            "[place, move",
            "line 5, column 41: a `]` is missing for this `[`",
        ),
        (
            "[place, move]",
            "[place move]",
            "line 5, column 48: a comma is missing before `move`, or quotes around both words",
        ),
        ("line()", "line(", "line 5, column 68: a `)` is missing for this `(`"),
        ("{ size: 2 }", "{ size: }", "line 3, column 26: a value is missing here"),
        ("{ size: 2 }", "{ size }", "line 3, column 25: `size` has no value: write `size: value`"),
        (
            "{ size: 2 }",
            "{ size: two }",
            (
                "line 3, column 26: `size` of `move` must be a whole number from 1 to "
                "100,000; `two` "
                "is not"
            ),
        ),
        (
            "{ size: 2 }",
            "{ size: 2 3 }",
            "line 3, column 28: `3` is too much after the value of `size`",
        ),
        ("{ size: 2 }", "{ size: 2, size: 3 }", "line 3, column 29: `size` is given twice"),
        (
            "{ size: 2 }",
            "{ size: 2, num_actions: 3 }",
            "line 3, column 42: `size` of `move` is given twice, in different ways",
        ),
        (
            "{ size: 2 }",
            "{ size: { n: 2 } }",
            (
                "line 3, column 26: a block cannot be a value; write a list, or a constructor "
                "such as `by(NAME, […])`"
            ),
        ),
        (
            "goal(3, 2.0)",
            "{ left: 1 }",
            (
                "line 6, column 45: a block cannot be a value; write a list, or a constructor "
                "such as `goal(LABEL)`"
            ),
        ),
        (
            "noisy(0.9)",
            "[[NaN, 1], [0, 1]]",
            "line 4, column 53: `matrix` of `see`: `NaN` is not a finite number",
        ),
        (
            "goal(3, 2.0)",
            "[0, 0, -Infinity, 0]",
            "line 6, column 52: `-Infinity` is not a finite number",
        ),
        (
            "goal(3, 2.0)",
            "[0, 0, Infinity, 0]",
            "line 6, column 45: `values` of `want`: `Infinity` is not a finite number",
        ),
        (
            "goal(3, 2.0)",
            "[1e999, 0, 0, 0]",
            "line 6, column 46: `1e999` is not a number that can be used",
        ),
        (
            "goal(3, 2.0)",
            "[0, ..., 1]",
            "line 6, column 49: `...` leaves something out: write every value, or a constructor",
        ),
        (
            "goal(3, 2.0)",
            '"goal(3',
            'line 6, column 45: the text that begins with `"goal(3 }` has no closing quote',
        ),
        (
            "noisy(0.9)",
            "np.eye(4)",
            "line 4, column 53: `np.eye` is no constructor's name",
        ),
        (
            "noisy(0.9)",
            "__import__('os').system('true')",
            "line 4, column 69: `.` is too much after the value of `matrix`",
        ),
        (
            "noisy(0.9)",
            "'5 by 5'",
            (
                "line 4, column 53: `matrix` of `see` must be a list of numbers or a "
                "constructor such "
                "as `uniform`; `5 by 5` is neither"
            ),
        ),
        (
            "sight {",
            "sight \u202e{",
            (
                "line 2, column 24: the invisible character U+202E; delete it, or write "
                "it in quotes "
                "as an escape"
            ),
        ),
        (
            "{ size: 2 }",
            '{ labels: ["a\\u202e", b] }',
            "line 3, column 28: `labels` of `move`: a text holds the invisible character U+202E",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(old: str, new: str, error: str) -> None:
    """Each mistake of writing has one line with its line and column, and hides no other (S3-31)."""
    errors = errors_of(changed(old, new))

    assert error in errors
    # Names that are gone are missed by those who refer to them.
    rest = [each for each in errors if each != error]
    assert all("there is no such" in each or "must name" in each for each in rest), rest


def test_an_unknown_field_is_a_warning_with_the_nearest() -> None:
    """A field that the notation does not know is told, and not used (S3-31)."""
    spec, found = found_in(changed("{ size: 2 }", "{ size: 2, labl: [a, b] }"))

    assert spec == found_in(SMALL)[0]
    assert [(each.level, str(each)) for each in found] == [
        (
            "warning",
            (
                "line 3, column 35: `labl` is no field of `move`, and is not used; did you mean "
                "`labels`?"
            ),
        )
    ]


def test_code_in_values_is_never_evaluated(tmp_path: object) -> None:
    """What looks like code stays a name with arguments, in every form (S3-31)."""
    path = f"{tmp_path}/made"
    code = f"__import__('os').mkdir('{path}')"
    for text in (
        changed("noisy(0.9)", code),
        changed("noisy(0.9)", f'"{code}"'),
        changed("size: 2", f"size: {code}"),
        changed("node action move", f"node action {code}"),
    ):
        assert errors_of(text)
    spec, _ = found_in(changed("noisy(0.9)", "__import__('os')"))

    assert spec is not None
    assert spec.emissions[0].matrix == Call("__import__", ("os",))
    assert not __import__("os").path.exists(path)


def test_several_mistakes_are_told_in_one_reading() -> None:
    """Reading goes on behind a mistake, and knows what could not be read."""
    text = (
        changed("{ size: 2 }", "{ size: 2 3, labels: [left right] }")
        .replace("noisy(0.9)", "[[0.9, 0.1], [0.1, 0.9]")
        .replace("goal(3, 2.0)", "goal(3, ?)")
    )
    errors = errors_of(text)
    nodes, _ = read_text(text)

    assert [each.partition(":")[0] for each in errors] == [
        "line 3, column 28",
        "line 3, column 45",
        "line 4, column 53",
        "line 6, column 53",
    ]
    assert nodes[2].fields["labels"].value is UNREAD


def test_prose_around_is_one_finding_each() -> None:
    """What is no node is told once where it begins, and the nodes are read."""
    errors = errors_of(f"Sure! Here it is: a {{thing}}.\nWell.\n\n{SMALL}\nHope it's fine; bye.\n")

    assert errors == [
        "line 1, column 1: `Sure` begins no node: write `node KIND NAME { … }`",
        "line 11, column 1: `Hope` begins no node: write `node KIND NAME { … }`",
    ]


def test_there_are_at_most_twenty_findings() -> None:
    """A text that is wrong throughout has as many findings as somebody can use."""
    nodes, found = read_text("".join(f"node state s{i} {{ size: ? }}\n" for i in range(100)))

    assert len(found) == 20
    assert len(build(nodes)[1]) <= 20


# -- large and deep ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        ("node emission e { matrix: [", "[0.25, 0.25, 0.25, 0.25],\n"),
        ("node state s { labels: [", "word, "),
        ("", "node state s { size: 2 }\n"),
        ("node state s { ", "a: 1\n"),
        ("node state s { size: ", "["),
        ("node state s { size: ", "a("),
        ("node state s { size: ", '"'),
        ("node state s { size: ", "1"),
        ("node state s { size: ", " \n"),
        ('node state s { description: "', "\\"),
        ('node state s { description: "', '\\"'),
        ("node state s { ", "x [ }\n"),
        ("node state s { ", "= "),
        ("", "a b\n"),
        ("", "}"),
    ],
)
def test_reading_is_linear_in_the_text(start: str, piece: str) -> None:
    """Twice the text takes twice the steps, whatever it is; 1 MB takes no minutes."""

    def read(size: int) -> None:
        nodes, _, _ = reading.read(start + piece * (size // len(piece)))
        build(nodes)

    assert growth(read, 20_000) < LINEAR
    read(MAX_BYTES - 100)


def test_deep_nesting_is_refused() -> None:
    """A value is nested at most 8 deep; more is told, without exhausting the stack."""
    assert errors_of(changed("noisy(0.9)", "[" * 8 + "1" + "]" * 8)) == []
    for deep in (9, 50_000):
        for opening, closing in ("[]", "()", ("f(", ")")):
            text = changed("noisy(0.9)", opening * deep + "1" + closing * deep)
            assert errors_of(text)[0].endswith("lists and calls are nested deeper than 8")


def test_a_huge_text_is_refused() -> None:
    """More than 1 MB is refused before it is read."""
    assert read_text("#" * MAX_BYTES) == ([], [])
    nodes, found = read_text("é" * (MAX_BYTES // 2 + 1))

    assert nodes == []
    assert [str(each) for each in found] == ["the text is longer than 1 MB"]


@pytest.mark.parametrize("written", ["0.90.2", "1.2.3", "٣.٣.٣"])
def test_what_only_looks_like_a_number_is_told(written: str) -> None:
    """A text of digits and points that is no number is a finding with its line (S3-31)."""
    _, found = read_text(f"node state s {{\n  size: {written}\n}}\n")
    assert [str(each) for each in found] == [
        f"line 2, column 9: a text that is no word is written in quotes: `{written}`"
    ]

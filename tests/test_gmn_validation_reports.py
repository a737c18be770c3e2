"""A report has no finding of what is valid, and everything at once of what is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gmn_explorer import EXPLORER, changed
from hypothesis import given, settings
from hypothesis import strategies as some

from llmport_magic import bridge
from llmport_magic.errors import GMNError
from llmport_magic.gmn.validation import parse, validate

# -- what is valid -------------------------------------------------------------------------------


def test_a_valid_specification_has_no_findings() -> None:
    """The 5x5 explorer is valid as text, as JSON and as a specification (S3-30)."""
    report = validate(EXPLORER)

    assert report.ok
    assert report.findings == ()
    assert report.dialect == "gmn"
    assert report.spec is not None
    assert report.spec.model.B[0].shape == (25, 25, 5)
    assert str(report) == "valid"
    for source, dialect in ((report.spec.to_json(), "json"), (report.spec, "spec")):
        other = validate(source)
        assert (other.ok, other.dialect, other.spec) == (True, dialect, report.spec)


def test_the_arrays_of_validating_are_kept() -> None:
    """What validating made need not be made again by the first use."""
    spec = parse(EXPLORER)

    assert "model" in vars(spec)
    assert spec.model is spec.model


def test_validating_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs on the loop on which every call to a model is made (S3-30)."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was asked")

    monkeypatch.setattr(bridge, "run", refuse)
    first, second = validate(changed(("24", "25"))), validate(changed(("24", "25")))
    assert not first.ok
    assert first == second


@pytest.mark.parametrize(
    "value",
    [
        "__import__('os').system('touch evaluated')",
        "eval(\"open('evaluated', 'w')\")",
        "(lambda: open('evaluated', 'w'))()",
        "f\"{open('evaluated', 'w')}\"",
        "\"__import__('os').system('touch evaluated')\"",
        "noisy(open('evaluated', 'w'))",
    ],
)
def test_nothing_is_evaluated(value: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code in a value is an error like any other text that is no matrix (S3-31)."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    report = validate(changed(("noisy(0.9)", value)))

    assert not report.ok
    assert any(error.startswith("line 5") for error in report.errors)
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        # a T-maze: the cue tells where the reward is
        """
        agent mouse { horizon: 2 }
        node state place { labels: [centre, left, right, cue], initial: onehot(centre) }
        node state reward_at { labels: [left, right] }
        node observation position { labels: [centre, left, right, cue] }
        node observation reward { labels: [none, win, loss] }
        node observation hint { labels: [nothing, left, right] }
        node action go { labels: [centre, left, right, cue] }
        node emission a1 { to: position, from: place, matrix: identity }
        node emission a2 { to: reward, from: [place, reward_at], matrix: by(place, centre=none,
          cue=none, left=map([win, loss], 0.98), right=map([loss, win], 0.98)) }
        node emission a3 { to: hint, from: [place, reward_at],
          matrix: where(place, cue, map([left, right]), nothing) }
        node transition b { to: place, from: [place, go],
          matrix: absorbing(goto, [left, right]) }
        node transition stays { to: reward_at, from: reward_at, matrix: identity }
        node preference c { over: reward, values: sum(goal(win, 3), avoid(loss, 3)) }
        """,
        # a trader in a market that turns
        """
        node state regime { labels: [bull, bear] }
        node state position { labels: [flat, long, short] }
        node observation signal { labels: [up, down] }
        node observation profit { labels: [loss, even, gain] }
        node action trade { labels: [flat, long, short] }
        node emission a1 { to: signal, from: regime, matrix: noisy(0.7) }
        node emission a2 { to: profit, from: [position, regime],
          matrix: by(position, [even, map([gain, loss], 0.8), map([loss, gain], 0.8)]) }
        node transition b1 { to: regime, from: regime, matrix: noisy(0.95) }
        node transition b2 { to: position, from: [position, trade], matrix: goto }
        node preference c { over: profit, values: [-2, 0, 2] }
        """,
        # two of several tasks that share the work
        """
        node state first { labels: [todo, done], initial: onehot(todo) }
        node state second { labels: [todo, half, done], initial: onehot(todo) }
        node observation report { labels: [todo, done] }
        node observation progress { labels: [todo, half, done] }
        node action work { labels: [on_first, on_second] }
        node emission a1 { to: report, from: first, matrix: noisy(0.9) }
        node emission a2 { to: progress, from: second, matrix: near(0.9) }
        node transition b1 { to: first, from: [first, work],
          matrix: where(work, on_first, onehot(done), identity) }
        node transition b2 { to: second, from: [second, work],
          matrix: line(steps=[0, 1], slip=0.2) }
        node preference c1 { over: first, values: goal(done, 2) }
        node preference c2 { over: progress, values: toward(done) }
        """,
        # an explorer that remembers whether and where it found something
        """
        node state location { size: 9, shape: [3, 3] }
        node state found { labels: [nothing, north, south], initial: onehot(nothing) }
        node state before { size: 9, shape: [3, 3] }
        node observation sight { size: 9, shape: [3, 3] }
        node action move { size: 4 }
        node emission see { to: sight, from: location, matrix: near(0.8) }
        node transition walk { to: location, from: [location, move], matrix: grid }
        node transition find { to: found, from: [found, location], matrix: latch(location, [0, 8]) }
        node transition past { to: before, from: [before, location], matrix: copy(location) }
        node preference want { over: found, values: goal([north, south], 3) }
        """,
    ],
    ids=["t-maze", "trader", "coordinator", "memory"],
)
def test_what_people_specify_is_short(text: str) -> None:
    """A T-maze, a market, tasks and a memory are each written in a few lines without numbers."""
    report = validate(text)

    assert report.errors == ()
    assert report.warnings == ()


# -- what is wrong -------------------------------------------------------------------------------


def test_everything_is_reported_at_once_in_the_order_of_the_text() -> None:
    """Every error has line and column, in a list those of the row; none hides another (S3-33)."""
    report = validate(
        changed(
            ("horizon: 3", "horizon: 30"),
            ("onehot(0)", "onehot(25)"),
            ("noisy(0.9)", "[[1, 2], [3]]"),
            ("grid(5, 5)", "grid(5, 4)"),
            ("goal(24", "gaol(24"),
        )
    )

    assert report.spec is None
    assert [(found.line, found.column, found.node) for found in report.findings] == [
        (1, 43, "agent"),
        (2, 57, "location"),
        (5, 65, "see"),
        (6, 70, "walk"),
        (7, 45, "want"),
    ]
    assert report.errors[3] == (
        "line 6, column 70: `walk`: `grid(5, 4)`: 5 x 4 has 20 cells, `location` has 25 states: "
        "write `grid(5, 5)`"
    )


def test_an_error_of_a_name_hides_no_error_of_a_matrix() -> None:
    """What does not hang together is reported together with arrays that do not fit (S3-32)."""
    report = validate(
        changed(("from: location,", "from: locaton,"), ("(5, 5)", "(5, 4)"), ("goal", "gaol"))
    )

    assert [found.line for found in report.findings] == [5, 6]
    # What depends on what is broken is not guessed at.
    other = validate(changed(("size: 25, shape: [5, 5], i", "size: -1, i"), ("goal(24", "goal(25")))
    assert [found.line for found in other.findings] == [2]


def test_a_field_that_cannot_be_read_hides_no_other() -> None:
    """A bracket that is open is reported together with a wrong matrix of another node (S3-31)."""
    report = validate(changed(("noisy(0.9)", "noisy(0.9"), ("grid(5, 5)", "grid(5, 4)")))

    assert [found.line for found in report.findings] == [5, 6]


# -- parse ---------------------------------------------------------------------------------------


def test_parse_raises_with_everything() -> None:
    """`parse` raises one line that names the first error; `findings` has them all (S3-30)."""
    with pytest.raises(GMNError) as caught:
        parse(changed(("goal(24", "goal(25"), ("noisy(0.9)", "noisy(2)")))

    assert len(caught.value.findings) == 2
    assert str(caught.value) == (
        f"the specification is not valid: {caught.value.findings[0]} (and 1 more, see `findings`)"
    )
    assert "\n" not in str(caught.value)
    with pytest.raises(GMNError, match="not valid"):
        parse("")


def test_parse_keeps_warnings_as_notes() -> None:
    """What is only worth a word is in `notes`, which is no part of what is compared."""
    spec = parse(EXPLORER + "node state mood { size: 2 }\n")

    assert spec.notes == ("line 8, column 1: `mood` has no transition, and never changes",)
    assert parse(spec) == spec


# -- anything ------------------------------------------------------------------------------------

PIECES = some.sampled_from(
    [
        "node",
        "state",
        "emission",
        "matrix",
        "from",
        "to",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        ",",
        ":",
        "grid",
        "by",
        "where",
        "onehot",
        "0",
        "-1",
        "1e9",
        "nan",
        "location",
        "sight",
        "move",
        "\n",
        "identity",
        "toward",
        "absorbing",
        "map",
        "0.5",
        "[[",
        "]]",
        "true",
        '"',
        "agent",
        "#",
    ]
)


@settings(max_examples=150, deadline=None)
@given(some.lists(PIECES, max_size=12), some.integers(0, len(EXPLORER)), some.integers(0, 40))
def test_no_text_breaks_it(pieces: list[str], at: int, cut: int) -> None:
    """Whatever is put into the text, there is a report of single lines (S3-31)."""
    text = EXPLORER[:at] + " ".join(pieces) + EXPLORER[at + cut :]
    report = validate(text)

    assert report.ok == (report.spec is not None)
    assert all("\n" not in found.text for found in report.findings)
    if report.spec is not None:
        assert all(np.allclose(array.sum(axis=0), 1) for array in report.spec.A + report.spec.B)

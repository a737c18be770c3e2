"""Text in sections, `[nodes]` and `[edges]`, becomes an agent, or says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from counting import LINEAR, growth
from hypothesis import given, settings
from hypothesis import strategies as st

from llmport_magic.gmn.notation.dialects import sections
from llmport_magic.gmn.notation.nodes import Call
from llmport_magic.gmn.validation import parse, validate

WHOLE = """\
# an explorer of four places
[nodes]
location: state {num_states: 4}
sight: observation {num_observations: 4}   # what it sees
move: action {num_actions: 2, labels: [stay, go]}
home: belief {
  distribution: [1, 0,
    0, 0]
}
want: preference {preferred_observation: 3}
see: likelihood {matrix: noisy(0.9)}
walk: transition {matrix: by(move, [identity, cycle(1)])}

[edges]
location -> see: depends_on
see -> sight: generates
location -> walk: depends_on
move -> walk: influences
walk -> location: updates
want -> sight: depends_on
home -> location: depends_on
"""
SMALL = """\
[nodes]
s: state {num_states: 2}
o: observation {num_observations: 2}
u: action {num_actions: 2}
d: belief {distribution: [0.5, 0.5]}
A: likelihood {matrix: identity}
B: transition {matrix: goto}
[edges]
s -> A: depends_on
A -> o: generates
s -> B: depends_on
u -> B: influences
d -> s: depends_on
"""


def test_whole_text_runs() -> None:
    """A text becomes a specification whose agent acts; edges say what belongs together (S3-38)."""
    report = validate(WHOLE)
    spec = report.spec

    assert report.dialect == "sections"
    assert spec is not None, report
    assert (spec.emissions[0].to, spec.emissions[0].of) == ("sight", ("location",))
    walk = spec.transitions[0]
    assert (walk.to, walk.of, walk.by) == ("location", ("location",), "move")
    np.testing.assert_array_equal(spec.D[0], [1, 0, 0, 0])
    np.testing.assert_array_equal(spec.B[0][:, 0, 1], [0, 1, 0, 0])
    assert spec.preferences[0].over == "sight"
    assert spec.preferences[0].values == Call("goal", (3,))
    assert spec.agent(seed=0).step((0,)).action in {(0,), (1,)}
    assert parse(spec.to_text()) == spec


def test_places() -> None:
    """What stands in the text keeps its line and its column, on the header's line, too."""
    nodes, _ = sections.read(WHOLE)
    location = next(node for node in nodes if node.name == "location")
    want = next(node for node in nodes if node.name == "want")

    assert (location.line, location.column) == (3, 1)
    size, goal = location.fields["size"], want.fields["values"]
    for field, text in ((size, "4"), (goal, "3")):
        assert WHOLE.splitlines()[field.line - 1][field.column - 1 :].startswith(text)
    initial = location.fields["initial"]
    assert WHOLE.splitlines()[initial.line - 1][initial.column - 1 :].startswith("[1, 0,")


def test_multi_line_query_keeps_its_neighbours() -> None:
    """A query of several lines, with braces and colons in it, is left out alone, and said so."""
    query = (
        "ask: llm_query {\n  trigger: on_observation\n"
        '  prompt_template: "Where {am I}: say"\n  then: what do you: see\n}\n'
    )
    text = SMALL.replace("A: likelihood", query + "A: likelihood") + "ask -> u: updates\n"
    spec = parse(text)

    assert spec.notes == ("line 6, column 1: `ask` (llm_query): an agent does without; left out",)
    assert spec.emissions == parse(SMALL).emissions
    assert spec.transitions == parse(SMALL).transitions


@pytest.mark.parametrize("kind", ["llm_query", "policy", "llm"])
def test_left_out(kind: str) -> None:
    """Kinds that an agent does without are read and left out with a warning, and so their edges."""
    text = SMALL.replace("[edges]", f"x: {kind} {{depth: 3}}\n[edges]") + "s -> x: queries\n"
    report = validate(text)

    assert report.ok
    assert report.warnings == (f"line 8, column 1: `x` ({kind}): an agent does without; left out",)


@pytest.mark.parametrize(
    ("found", "made", "said"),
    [
        ("s -> A: depends_on", "s -> A: depend_on", "did you mean `depends_on`?"),
        ("s -> A: depends_on", "s -> A: causes", "there is no such relation"),
        ("s -> A: depends_on", "s -> a2: depends_on", "there is no node `a2`"),
        ("s -> A: depends_on", "s to A", "`s to A` is no edge: write `a -> b: depends_on`"),
        ("s -> A: depends_on", "o -> s: generates", "only a state, a likelihood or a transition"),
        ("s -> A: depends_on", "s -> o: depends_on", "no state depends on an observation"),
        ("s -> A: depends_on", "u -> s: depends_on", "follows from its beliefs"),
        (
            "s -> A: depends_on",
            "s -> o: generates\no -> s: depends_on\ns -> d: depends_on",
            "itself",
        ),
        ("s: state", "s: sttae", "there is no kind of node called `sttae`; did you mean `state`?"),
        ("num_states: 2}", "num_states: two}", "must be a whole number"),
        ("num_states: 2}", "num_states: 2", "is not closed"),
        ("num_states: 2}", "num_states: }", "a value is missing"),
        ("{num_states: 2}", "", "has no size"),
        ("o: observation", "s: observation", "given to two nodes"),
        ("matrix: identity", "matrix: [[1, 0], [0, 2]]", "`A`"),
        ("matrix: identity", "matrix: __import__('os').system('ls')", "`.` is too much"),
        ("distribution: [0.5, 0.5]", "distribution: [0.5, 0.6]", "sum to 1.1"),
        ("[edges]", "e: belief {distribution: [1, 0]}\n[edges]", "two beliefs"),
        ("num_states: 2", "num_states: 2, initial: [1, 0]", "two beliefs"),
    ],
)
def test_faults(found: str, made: str, said: str) -> None:
    """A fault is refused with its line and what to write (S3-38)."""
    report = validate(SMALL.replace(found, made, 1))

    assert validate(SMALL).findings == ()
    assert not report.ok
    assert any(said in each and each.startswith("line ") for each in report.errors), report


@pytest.mark.parametrize("following", ["A: likelihood\n", "A: likelihood {matrix: identity}\n", ""])
def test_a_query_that_does_not_end(following: str) -> None:
    """A query without its closing brace is an error: what follows is not left out with it."""
    text = SMALL.replace("A: likelihood {matrix: identity}\n", "").replace(
        "[edges]\n",
        "ask: llm_query {\n  prompt: a {brace\n  in two lines\n}\n" + following + "[edges]\n",
    )
    report = validate(text)

    assert "line 7, column 1: `ask` is not closed: a `}` is missing" in report.errors


def test_preference_over_states() -> None:
    """A preference over a state is one over that state, not over an observation."""
    by_edge = parse(SMALL.replace("[edges]", "c: preference {vector: [0, 2]}\n[edges]\nc -> s"))
    by_field = parse(SMALL.replace("[edges]", "c: preference {preferred_state: 1}\n[edges]"))

    for spec in (by_edge, by_field):
        assert spec.preferences[0].over == "s"
        assert spec.model.H[0] is not None
    np.testing.assert_array_equal(by_edge.model.H[0], [0, 2])


def test_nothing_but_edges() -> None:
    """Matrices that nobody wrote are uniform or change nothing, and that is said of each."""
    text = (
        "[nodes]\ns: state {num_states: 3}\no: observation {num_observations: 2}\n"
        "u: action {num_actions: 2}\n[edges]\ns -> o: generates\nu -> s: influences\n"
    )
    spec = parse(text)

    np.testing.assert_array_equal(spec.A[0], np.full((2, 3), 0.5))
    np.testing.assert_array_equal(spec.B[0], np.stack([np.eye(3)] * 2, axis=-1))
    np.testing.assert_allclose(spec.D[0], np.full(3, 1 / 3))
    assert [note.partition(": ")[2] for note in spec.notes] == [
        "no initial belief for `s`: it starts uniform",
        "no transition for `s`: nothing changes (`identity`)",
        "no likelihood for `o`: uniform, so it says nothing",
    ]


def test_matrices_without_numbers() -> None:
    """A likelihood and a transition without a matrix are uniform and identity, with a warning."""
    text = SMALL.replace(" {matrix: identity}", "").replace(" {matrix: goto}", "")
    spec = parse(text)

    np.testing.assert_array_equal(spec.A[0], np.full((2, 2), 0.5))
    np.testing.assert_array_equal(spec.B[0], np.stack([np.eye(2)] * 2, axis=-1))
    assert len(spec.notes) == 2


TWO = """\
[nodes]
room: state {size: 2}
lamp: state {size: 2}
light: observation {size: 2}
press: action {size: 2}
see: likelihood {matrix: uniform}
switch: transition {matrix: uniform}
b1: belief {about: room, distribution: [1, 0]}
b2: belief {about: lamp, distribution: [1, 0]}
[edges]
room -> see
lamp -> see
see -> light: generates
room -> switch
lamp -> switch
press -> switch
"""


def test_several_states() -> None:
    """A transition of several states needs an edge that says which it changes: none is guessed."""
    asked = validate(TWO)
    told = validate(TWO + "switch -> lamp: updates\n")

    assert asked.errors == (
        (
            "line 7, column 1: which of the states `room`, `lamp` `switch` changes is not said: "
            "write `switch -> room: updates`, or another of them"
        ),
    )
    assert told.spec is not None, told
    assert told.spec.emissions[0].of == ("room", "lamp")
    switch = told.spec.transitions[0]
    assert (switch.to, switch.of, switch.by) == ("lamp", ("room", "lamp"), "press")


def test_loops_over_a_transition_are_legal() -> None:
    """A state may lead to itself over a transition, for that is one step later."""
    assert validate(SMALL + "B -> s: depends_on\n").ok


def test_edge_that_says_nothing() -> None:
    """An edge that nothing is read from is named, so that nobody thinks it counts."""
    report = validate(SMALL + "o -> d: influences\n")

    assert report.warnings == (
        "line 14, column 1: `o -> d: influences` says nothing that an agent needs; left out",
    )


LONG = {
    "states": lambda size: "".join(f"s{each}: state {{size: 2}}\n" for each in range(size // 30)),
    "open": lambda size: "s: state {\n" * (size // 11),
    "blanks": lambda size: "s" + " " * size + "x",
    "edges": lambda size: "[edges]\n" + "a -> b: depends_on\n" * (size // 19),
    "arrows": lambda size: "[edges]\n" + "->" * (size // 2),
    "sections": lambda size: "".join(f"[x{each}]\n" for each in range(size // 11)),
}


@pytest.mark.parametrize("kind", LONG)
def test_long_texts_are_read_in_time(kind: str) -> None:
    """A text made to take long is refused, and twice of it takes twice as much."""
    assert not validate(f"[nodes]\n{LONG[kind](980_000)}").ok
    assert growth(lambda size: validate(f"[nodes]\n{LONG[kind](size)}"), 20_000) < LINEAR


PIECES = st.sampled_from(
    [
        *"\n\n\n\n{}[]:,#\"'",
        *("[nodes]\n", "[edges]\n", "[x]\n", "s: state {size: 2}\n", "o: observation {size: 2}\n"),
        *(
            "A: likelihood",
            "B: transition",
            "u: action",
            "p: policy {",
            "d: belief",
            "c: preference",
        ),
        *("s -> A\n", "A -> o: generates\n", "s -> s: depends_on\n", "u -> B\n", " -> ", "B -> s"),
        *("matrix: [[1, 0], [0, 1]]", "vector: [1, 2]", "about: s", "nan", "1e999", "\x00", "é"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=60).map("".join) | st.text(max_size=200))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    """Whatever a text says, reading it gives nodes and findings, and validating it a verdict."""
    _, findings = sections.read(f"[nodes]\n{text}")
    report = validate(f"[nodes]\n{text}")

    assert all("\n" not in each.text for each in findings)
    assert (report.spec is not None) == report.ok


def test_example_of_the_docs() -> None:
    """The text that the page on the notation shows is valid, and as it says."""
    page = (Path(__file__).parents[1] / "docs" / "gmn.md").read_text(encoding="utf-8")
    text = next(part for part in page.split("```text\n") if part.startswith("[nodes]"))
    report = validate(text.partition("```")[0])

    assert report.dialect == "sections"
    assert report.findings == ()

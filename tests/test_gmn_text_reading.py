"""The notation as text: what is read, what is accepted with a word, and what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from gmn_readings import SMALL, changed, found_in

from llmport_magic.gmn.notation.nodes import Call, Node
from llmport_magic.gmn.notation.spellings import KINDS
from llmport_magic.gmn.notation.text import read_text, read_value, write_value
from llmport_magic.gmn.spec import Spec


def fields_of(text: str) -> dict[str, object]:
    """Read the fields of one node."""
    nodes, _ = read_text(f"node state s {{ {text} }}")
    return {key: field.value for key, field in nodes[0].fields.items()}


# -- what is read ----------------------------------------------------------------------------


def test_a_specification_is_read_with_places() -> None:
    """Nodes and fields know their line and column, from 1."""
    nodes, found = read_text("# one\n\n  node state s {\n  size: 3, initial: [1, 0, 0] # x\n}\n")

    assert found == []
    assert nodes == [Node("state", "s", nodes[0].fields, 3, 3)]
    assert [(f.line, f.column) for f in nodes[0].fields.values()] == [(4, 9), (4, 21)]
    assert fields_of("size: 3")["size"] == 3


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("-0.5", -0.5),
        ("+.5", 0.5),
        ("1e-3", 0.001),
        ("2.", 2.0),
        ("true", True),
        ("False", False),
        ("word", "word"),
        ("état_1", "état_1"),
        ("'it is'", "it is"),
        (r'"a\"b\u00e9\n"', 'a"bé\n'),
        (r'"\ud83d\ude00"', "😀"),
        ('"true"', "true"),
        ("[]", ()),
        ("[1, [2, a],]", (1, (2, "a"))),
        ("[ # one\n 1,\n # two\n 2 ]", (1, 2)),
        ("grid(5, 5, slip=0.1)", Call("grid", (5, 5), (("slip", 0.1),))),
        ("by(move, [identity, cycle(1)])", Call("by", ("move", ("identity", Call("cycle", (1,)))))),
    ],
)
def test_values(written: str, value: object) -> None:
    """A value is what is written, and of the type that is written."""
    read = read_value(written)

    assert read == value
    assert type(read) is type(value)
    assert read_value(write_value(read)) == value


@pytest.mark.parametrize("written", ["", "[", "1 2", "a b", "{a: 1}", "1e999", "none", "=", "a("])
def test_what_is_no_value_is_told(written: str) -> None:
    """Reading a value raises ValueError with one line where there is none, or more than one."""
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        read_value(written)


# -- what is accepted ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{ size: 2 }", "{\n  size: 2,\n}"),
        ("{ size: 2 }", "{ size: 2 type: discrete }"),
        ("node action", "node  ACTION"),
        ("see { to: sight, from: place,", "see { from: [place]\n to: [sight]\n"),
        ("{ size: 2 }", '{ "size": 2 }'),
        ("{ size: 2 }", "{ size: 2 } # that is all"),
        ("{ size: 2 }", "{ size: 2 } // that is all"),
        ("node action move {", "node action move\n{"),
    ],
)
def test_other_layouts_mean_the_same(old: str, new: str) -> None:
    """Commas, lines, comments and the order of fields are free."""
    assert found_in(changed(old, new))[0] == found_in(SMALL)[0]


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ("node action", "action", "begins with the word `node`"),
        ("node action move", "move: action", "the kind comes first"),
        ("node action move", "node move action", "the kind comes first"),
        ("node action move", "node action: move", ""),
        ("node action move", "node control move", "`control` is read as `action`"),
        ("{ size: 2 }", "{ size = 2 }", "with a colon"),
        ("{ size: 2 }", "{ size 2 }", "with a colon"),
        ("{ size: 2 }", "{ size: 2; }", "not by `;`"),
        ("{ size: 2 }", "{ size: '2' }", "whole number"),
        ("{ size: 2 }", "{ size: 2.0 }", "whole number"),
        ("{ size: 2 }", "{ num_actions: 2 }", "`num_actions` is read as `size`"),
        ("{ size: 2 }", "{ numActions: 2 }", "`numActions` is read as `size`"),
        ("{ size: 2 }", "{ actions: 2 }", "`actions` is read as `size`"),
        ("{ size: 2 }", "{ size: 2, labels: None }", "`None` is left out"),
        ("{ size: 2 }", ":\n  size: 2\n", "belong in braces"),
        ("line()", '"line()"', ""),
        ("line()", "line", ""),
        ("noisy(0.9)", "noisy(p: 0.9)", None),
        ("noisy(0.9)", "noisy(90%)", "a share is written as a number"),
        ("onehot(0)", "(1, 0, 0, 0)", None),
        ("onehot(0)", "0", "`initial: onehot(0)`"),
        ("onehot(0)", "[1 0 0 0]", None),
        ("onehot(0)", "[1/2, 1/2, 0, 0]", None),
        ("goal(3, 2.0)", "[−1, 0, 0, 0]", None),
        ("over: sight", "observation: sight", "`observation` is read as `over`"),
        ("over: sight, values: goal(3, 2.0)", "over: sight, goal: 3", "`goal` is read as `values`"),
        ("from: [place, move],", "from: place, action: move,", "belongs into `from`"),
        ("from: [place, move],", "from: 'place, move',", ""),
        ("from: [place, move],", "from: place, move,", "in square brackets"),
        ("from: [place, move],", "from: place, move", "in square brackets"),
        ("{ size: 2 }", "{ size: 2, labels: up, down }", "in square brackets"),
        ("{ size: 2 }", "{ size: 2, labels [up, down] }", "with a colon"),
        ("node action move", "action: move", "begins with the word `node`"),
        ("node action move", 'action "move"', "begins with the word `node`"),
        ("to: sight, from: place", "of: sight, given: place", "`given` is read as `from`"),
        ("to: sight, from: place", "to: Sight, from: PLACE", "`Sight` is read as `sight`"),
        ("{ size: 2 }", "{ size: 2, description: what it's for }", "a text is written in quotes"),
    ],
)
def test_what_means_one_thing_is_accepted(old: str, new: str, warning: str | None) -> None:
    """What small models write instead is read, with a warning where it is not canonical."""
    spec, found = found_in(changed(old, new))
    right = found_in(SMALL)[0]

    assert [str(each) for each in found if each.level == "error"] == []
    assert spec is not None
    assert right is not None
    assert spec.controls[0].size == 2
    assert spec.transitions[0] == right.transitions[0] or "line" in new
    if warning is None:
        assert spec != right or "p:" in new
    elif warning:
        assert any(warning in each.text for each in found if each.level == "warning"), found


def test_each_kind_of_sloppiness_is_told_once() -> None:
    """A text with semicolons throughout has one warning about them."""
    found = found_in(SMALL.replace(" }", "; }"))[1]

    assert [each.text for each in found] == [
        "fields are separated by commas or new lines, not by `;`"
    ]


# -- the page ----------------------------------------------------------------------------------


def fenced(language: str) -> list[str]:
    """Give the blocks of a language in the page about the notation."""
    page = (Path(__file__).parents[1] / "docs/gmn.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page_are_canonical() -> None:
    """Each whole specification of `docs/gmn.md` is read without a finding."""
    whole = [each for each in fenced("gmn") if "node state" in each and "node emission" in each]

    assert len(whole) >= 2
    assert [found_in(each)[1] for each in whole] == [[] for _ in whole]


def test_the_json_of_the_page_is_its_first_example() -> None:
    """The page says the same thing in both forms."""
    text, written = fenced("gmn")[0], json.loads(fenced("json")[0])
    spec, _ = found_in(text)

    assert spec is not None
    assert spec.to_json() == written


def test_the_grammar_of_the_page_is_what_is_read() -> None:
    """What the page's grammar derives is read without an error of writing."""
    rules = dict(re.findall(r"^(\w+)\s+= (.*?) ;$", fenced("ebnf")[0], re.MULTILINE | re.DOTALL))
    kinds = re.findall(r'"(\w+)"', rules["kind"])

    assert {*kinds, "agent"} == set(KINDS)
    for sep in (",", "\n", ",\n"):
        for kind in kinds:
            text = (
                f"node {kind} a {{ b: -.5e+3{sep} c: [x, 'y', [],]{sep} d: f(g(), h=true,){sep} }}"
            )
            nodes, found = read_text(text)
            assert found == []
            assert len(nodes[0].fields) == 3


def test_the_python_of_the_page_runs() -> None:
    """What the page does in Python gives a specification."""
    names: dict[str, object] = {}
    exec(fenced("python")[0], names)
    spec = names["spec"]

    assert isinstance(spec, Spec)
    assert spec.emissions[0].matrix == ((1.0, 0.0), (0.0, 1.0))

"""What a small model writes when it is held to a grammar, and what of its answer stays."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from gbnf import Grammar

from llmport_magic.gmn import validate
from llmport_magic.gmn.notation.text import read_text
from llmport_magic.gmn.writing.continuing import kept
from llmport_magic.gmn.writing.drafting import Drafting
from llmport_magic.gmn.writing.grammar import END, rest, whole
from llmport_magic.gmn.writing.prompting import Wish, agent_types, texts

HELD = SimpleNamespace(size="small", prefill=True, grammar=True)

BEGUN = {
    "one of each": """\
agent lamp { type: general, horizon: 2 }
node state light { labels: [off, on] }
node observation eye { labels: [dark, bright] }
node action press { labels: [switch, wait] }""",
    "a grid": """\
agent rover { type: explorer, horizon: 2 }
node state place { shape: [3, 4] }
node observation sight { shape: [3, 4] }
node action move { labels: [up, right, down, left, stay] }""",
    "more to see than there is": """\
agent tea { type: analyst, horizon: 1 }
node state quality { labels: [good, bad] }
node observation smell { labels: [sweet, flat, sour] }""",
    "two of each": """\
agent trader { type: trader, horizon: 1 }
node state market { labels: [rising, falling] }
node state held { labels: [nothing, some] }
node observation price { labels: [up, down] }
node observation profit { labels: [loss, none, gain] }
node action do { labels: [buy, sell, hold] }""",
    "a place without labels": """\
agent lift { type: general, horizon: 1 }
node state floor { size: 7 }
node observation display { size: 7 }
node action go { labels: [up, down, wait] }""",
}


@pytest.mark.parametrize("name", BEGUN)
def test_whatever_is_written_on_is_valid(name: str) -> None:
    """Every text of the grammar makes what was begun a valid specification (S3-25)."""
    begun = kept(BEGUN[name], validate)
    assert begun is not None
    grammar = rest(begun.spec)

    for seed in range(25):
        drawn = Grammar(grammar, seed).draw()
        assert drawn.endswith(END)
        report = validate(begun.text + drawn.removesuffix(END))
        assert report.spec is not None, (drawn, report.errors)
        assert len(report.spec.preferences) == 1
        assert report.spec.agent(seed=0) is not None
        # What an agent does changes something, and what it sees says something.
        assert {each.by for each in report.spec.transitions} >= {
            each.name for each in report.spec.controls
        }


def test_nothing_is_left_to_write_where_all_is_there() -> None:
    """Behind a whole specification the grammar is empty."""
    text = texts()["shown"][0]["answer"]
    found = validate(text).spec
    assert found is not None
    assert rest(found) == ""


@pytest.mark.parametrize("agent_type", agent_types())
def test_whatever_is_held_to_the_grammar_can_be_read(agent_type: str) -> None:
    """No text of the grammar has a finding of how it is written (S3-23)."""
    for seed in range(25):
        drawn = Grammar(whole(agent_type), seed).draw()
        nodes, findings = read_text("agent" + drawn.removesuffix(END))
        assert not findings, (drawn, findings)
        assert nodes[0].fields["type"].value == agent_type


def test_the_horizon_that_is_asked_for_is_written() -> None:
    """A limit of the horizon is part of the grammar."""
    assert "horizon: 5 }" in Grammar(whole("general", 5)).draw()


@pytest.mark.parametrize(
    ("name", "labels", "way"),
    [
        ("a grid", "", "grid"),
        ("a place without labels", "", "line"),
        ("one of each", "[on, off]", "goto"),
    ],
)
def test_labels_that_say_what_actions_do_are_believed(name: str, labels: str, way: str) -> None:
    """Up and down are ways, and an action called after a state leads to it: only that fits."""
    text = BEGUN[name].replace("[switch, wait]", labels)
    begun = kept(text, validate)
    assert begun is not None

    for seed in range(5):
        drawn = Grammar(rest(begun.spec), seed).draw().removesuffix(END)
        found = validate(begun.text + drawn).spec
        assert found is not None
        assert str(found.transitions[0].matrix.name) == way  # type: ignore[union-attr]


WRONG = f"""\
{BEGUN["one of each"]}
node emission look {{ to: eye, from: light, matrix: noisy(0.9) }}
node transition flip {{ to: light, from: [light, press], matrix: grid }}
node preference want {{ over: eye, values: goal(bright, 3.0) }}"""


def test_what_is_right_stays() -> None:
    """The node that is wrong goes, the others stay as they were written."""
    found = kept(WRONG, validate)
    assert found is not None
    lines = WRONG.split("\n")
    assert found.text.split("\n") == [*lines[:5], lines[6]]
    assert found.needed == {"light"}


def test_nothing_stays_where_the_beginning_is_wrong() -> None:
    """A state that is wrong is no start to go on from."""
    assert kept(WRONG.replace("[off, on]", "[off, off]"), validate) is None


def test_a_beginning_that_is_no_state_goes() -> None:
    """Where only the state to begin in is wrong, the states stay without it."""
    text = WRONG.replace("[off, on] }", "[off, on], initial: onehot(broken) }")
    found = kept(text, validate)
    assert found is not None
    assert found.text == getattr(kept(WRONG, validate), "text", "")


def test_two_things_of_one_name_get_two() -> None:
    """An observation that is called like a state is called otherwise, and what is seen goes."""
    text = WRONG.replace("observation eye", "observation light").replace("to: eye", "to: light")
    found = kept(text, validate)
    assert found is not None
    assert [each.name for each in found.spec.modalities] == ["light_seen"]
    assert not found.spec.emissions
    assert "see_light_seen { to: light_seen" in rest(found.spec)


def test_a_small_model_writes_on_from_what_is_right() -> None:
    """Its second answer begins with what stays of the first, held to what is missing (S3-25)."""
    begun = Drafting(Wish.of("a lamp"), HELD)
    first: dict[str, Any] = dict(begun.next_request().options)
    assert first["extra"]["grammar"] == whole("general")
    begun.take(WRONG.removeprefix("agent"))

    second = begun.next_request()
    assert begun.style == "repair"
    found = kept(WRONG, validate)
    assert found is not None
    assert second.opening == found.text
    assert second.options["prefill"] == f"```gmn\n{found.text}"
    assert second.options["extra"]["grammar"] == rest(found.spec, found.needed)

    # A transition by the action is all that is missing.
    taken = begun.take(Grammar(second.options["extra"]["grammar"]).draw().removesuffix(END))
    assert taken.spec is not None, taken.findings
    assert taken.spec.transitions[0].by == "press"


def test_what_is_changed_is_held_to_no_grammar() -> None:
    """A specification may have been written by somebody who writes otherwise."""
    current = validate(texts()["shown"][0]["answer"]).spec
    request = Drafting(Wish.of("a fourth state", current=current), HELD).next_request()
    assert "extra" not in request.options

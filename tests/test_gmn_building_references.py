"""From nodes to a specification: which nodes must be there, and what they may refer to."""

from __future__ import annotations

import pytest
from small_specs import LINES, SMALL, built, errors_of, spec_of, warnings_of

from llmport_magic.gmn.notation.building import build
from llmport_magic.gmn.notation.nodes import Call, Node
from llmport_magic.gmn.notation.text import read_text
from llmport_magic.gmn.spec import Factor


def test_a_specification_is_built() -> None:
    """Each node becomes what it stands for, without a finding."""
    spec, found = built(SMALL)

    assert found == []
    assert spec is not None
    assert spec.factors == (Factor(name="place", size=4, initial=Call("onehot", (0,))),)
    assert spec.transitions[0].of == ("place",)
    assert spec.transitions[0].by == "move"
    assert (spec.name, spec.agent_type, spec.horizon, spec.precision) == ("agent", "general", 1, 16)


def test_several_factors_modalities_and_actions() -> None:
    """A specification may have several of each, in the order of the text (S3-32)."""
    spec = spec_of(
        SMALL
        + """
        node state mood { labels: [glad, sad] }
        node observation face { size: 2 }
        node action smile { size: 2 }
        node emission look { to: face, from: [mood, place], matrix: uniform }
        node transition sway { to: mood, from: [mood, place, smile], matrix: uniform }
        """
    )

    assert [each.name for each in spec.factors] == ["place", "mood"]
    assert [each.name for each in spec.modalities] == ["sight", "face"]
    assert spec.emissions[1].of == ("mood", "place")
    assert (spec.transitions[1].of, spec.transitions[1].by) == (("mood", "place"), "smile")


def test_one_mistake_has_one_finding() -> None:
    """What depends on a node that cannot be read is not told as well."""
    nodes, _ = read_text(SMALL.replace("noisy(0.9)", "?").replace("node action", "node acton"))
    spec, found = build(nodes)

    assert spec is None
    assert [each.text.partition(";")[0] for each in found if each.level == "error"] == [
        "there is no kind of node called `acton`",
        "`from` of `walk` names `move`, and there is no such state or action",
    ]


def test_the_same_nodes_give_the_same_findings_in_the_order_of_the_text() -> None:
    """Findings are sorted by place, and the nodes are left as they are (S3-30)."""
    text = SMALL.replace("size: 4", "size: 0").replace("over: sight", "over: nothing")
    nodes, _ = read_text(text)
    first = build(nodes)

    assert build(nodes) == first
    assert [each.line for each in first[1]] == [1, 2, 6]


def test_a_node_by_hand_has_no_place() -> None:
    """Where there is no text, a finding has no line."""
    found = build([Node("stat", "s")])[1]

    assert str(found[0]).startswith("there is no kind of node called `stat`; did you mean `state`?")


# -- what must be there ------------------------------------------------------------------------


def test_at_least_one_state_and_one_observation() -> None:
    """A specification without states, without observations or without anything is none (S3-32)."""
    assert errors_of("") == ["there is no node: begin with `node state NAME { size: 2 }`"]
    assert "there is no state: add `node state NAME { size: 2 }`" in errors_of(LINES["observation"])
    assert "there is no observation: add `node observation NAME { size: 2 }`" in errors_of(
        LINES["state"]
    )


def test_each_observation_has_one_emission() -> None:
    """An observation that comes from nowhere, or from two emissions, is an error (S3-32)."""
    assert errors_of(SMALL.replace(LINES["emission"], "")) == [
        (
            "nothing says how `sight` comes about: add `node emission NAME { to: sight, "
            "from: place, "
            "matrix: noisy(0.9) }`"
        )
    ]
    assert errors_of(SMALL + LINES["emission"].replace("see", "look")) == [
        "`sight` has two emissions, `see` and `look`"
    ]


def test_a_state_without_a_transition_never_changes() -> None:
    """A factor without a transition is told, and so is the action that changes nothing (S3-32)."""
    assert warnings_of(SMALL.replace(LINES["transition"], "")) == [
        "`place` has no transition, and never changes",
        "`move` changes nothing: no transition has it in `from`",
    ]


def test_transitions_may_go_in_circles() -> None:
    """Two factors that depend on each other are no error (S3-32)."""
    text = (
        SMALL.replace("from: [place, move]", "from: [place, mood, move]")
        + "node state mood { size: 2 }\n"
        + "node transition sway { to: mood, from: [mood, place], matrix: uniform }\n"
    )

    assert warnings_of(text) == []


@pytest.mark.parametrize(
    ("extra", "error"),
    [
        (
            LINES["transition"].replace("walk", "run"),
            "`place` has two transitions, `walk` and `run`; write one that depends on all it needs",
        ),
        (
            LINES["preference"].replace("want", "like"),
            "`sight` has two preferences, `want` and `like`; add them up with `sum(…)`",
        ),
        (LINES["state"], "the name `place` is given to two nodes"),
        (
            "node state move { size: 2 }",
            "the name `move` is given to two nodes",
        ),
        (
            "node habit a { values: [1] }\nnode habit b { values: [1] }",
            "there are two habits; a specification has one prior over policies",
        ),
        ("agent a {}\nagent b {}", "there are two agents; a specification is about one"),
    ],
)
def test_what_may_be_there_once_is_told(extra: str, error: str) -> None:
    """Names and what there is one of are not given twice (S3-31, S3-32)."""
    assert error in errors_of(SMALL + extra)


def test_a_name_that_nobody_refers_to_may_give_way() -> None:
    """An emission with the name of its observation gets another name, and a warning."""
    text = SMALL.replace("emission see", "emission sight")

    assert warnings_of(text) == [
        "two nodes are called `sight`; the emission becomes `sight_emission`"
    ]
    assert spec_of(text).emissions[0].name == "sight_emission"


# -- references --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            "to: sight",
            "to: sigth",
            "`to` of `see` names `sigth`, and there is no such observation; did you mean `sight`?",
        ),
        (
            "from: [place, move]",
            "from: [plaec, move]",
            (
                "`from` of `walk` names `plaec`, and there is no such state or action; "
                "did you mean "
                "`place`?"
            ),
        ),
        (
            "over: sight",
            "over: xyz",
            "`over` of `want` names `xyz`, and there is no such observation or state",
        ),
        (
            "over: sight",
            "over: move",
            "`over` of `want` must name an observation or a state; `move` is an action",
        ),
        ("to: sight", "to: place", "`to` of `see` must name an observation; `place` is a state"),
        (
            "from: place",
            "from: sight",
            "`from` of `see` must name a state; `sight` is an observation",
        ),
        (
            "from: place",
            "from: [place, move]",
            "`from` of `see` must name a state; `move` is an action",
        ),
        (
            "[place, move]",
            "[place, sight]",
            "`from` of `walk` must name a state or an action; `sight` is an observation",
        ),
        ("[place, move]", "[place, place]", "`from` of `walk` names `place` twice"),
        ("to: place", "to: [place, move]", "`to` of `walk` must name one node, not several"),
        ("from: place", "from: []", "`from` of `see` names nothing"),
        ("from: place", "from: [1, 2]", "`from` of `see` must be a name or a list of names"),
        ("from: [place, move], ", "", "`walk` has no `from`: add `from: [place, move]`"),
    ],
)
def test_references(old: str, new: str, error: str) -> None:
    """What is referred to must be there and of the right kind; the nearest is named (S3-32)."""
    assert SMALL.count(old) == 1

    assert errors_of(SMALL.replace(old, new)) == [error]


def test_a_transition_depends_on_one_action() -> None:
    """Two actions in one transition are an error that names them."""
    text = SMALL.replace("[place, move]", "[place, move, turn]") + "node action turn { size: 2 }"

    assert errors_of(text) == [
        (
            "`walk` depends on 2 actions (move, turn); a transition may depend on one: "
            "make one action "
            "of them"
        )
    ]


def test_what_is_left_out_follows_where_there_is_one() -> None:
    """The only observation and the only state need not be named; several must be."""
    text = SMALL.replace("to: sight, from: place, ", "").replace("over: sight, ", "")

    assert spec_of(text).emissions == spec_of(SMALL).emissions
    assert spec_of(text).preferences == spec_of(SMALL).preferences
    assert warnings_of(text) == [
        "`see` has no `to`; it is about `sight`, the only one",
        "`see` has no `from`; it is about `place`, the only one",
        "`want` has no `over`; it is about `sight`, the only one",
    ]
    assert "`see` has no `from`: add `from: place`, or another of place, mood" in errors_of(
        text + "node state mood { size: 2 }"
    )


def test_a_transition_from_an_action_alone() -> None:
    """A constructor is about the state itself; with a matrix it cannot be decided."""
    text = SMALL.replace("from: [place, move]", "from: move")

    assert spec_of(text).transitions == spec_of(SMALL).transitions
    assert errors_of(text.replace("line()", "[[1, 0], [0, 1]]")) == [
        (
            "`from` of `walk` names no state, and its matrix has an axis for each: write `from: "
            "[place, move]`"
        )
    ]


def test_the_action_is_the_last_axis() -> None:
    """An action that stands first in `from` of a written matrix is told."""
    text = SMALL.replace("[place, move]", "[move, place]")

    assert warnings_of(text) == []
    assert warnings_of(text.replace("line()", "[[[1]]]")) == [
        "the action is the last axis of a matrix, wherever `from` has it"
    ]


def test_matrices_are_not_guessed() -> None:
    """Without a matrix only what no action moves can be read: it stays as it is."""
    assert errors_of(SMALL.replace(", matrix: noisy(0.9)", "")) == [
        "`see` has no matrix: add `matrix: identity`, `matrix: noisy(0.9)` or the numbers"
    ]
    assert errors_of(SMALL.replace(", matrix: line()", "")) == [
        "`walk` has no matrix: add `matrix: grid(5, 5)`, another constructor or the numbers"
    ]
    still = SMALL.replace("from: [place, move], matrix: line()", "from: place")
    assert spec_of(still).transitions[0].matrix == Call("identity")
    assert "`walk` has no matrix; nothing changes by itself (`identity`)" in warnings_of(still)
    assert errors_of(SMALL.replace(", values: goal(3, 2.0)", "")) == [
        "`want` has no values: add `values: goal(0, 2.0)` or one for each"
    ]

"""Graphs in JSON, in both spellings of their keys, become agents, or say what is wrong."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmport_magic.gmn.notation.dialects import graph
from llmport_magic.gmn.notation.nodes import Call
from llmport_magic.gmn.validation import parse, validate

SEE = [[0.9, 0.2, 0.0], [0.1, 0.8, 1.0]]
GRAPH: dict[str, Any] = {
    "metadata": {"name": "Door opener", "planning_horizon": 2, "version": "1.0"},
    "nodes": [
        {"id": "door", "type": "state", "properties": {"num_states": 3}},
        {"id": "view", "type": "observation", "properties": {"num_observations": 2}},
        {"id": "push", "type": "action", "properties": {"num_actions": 2}},
        {"id": "start", "type": "belief", "properties": {"distribution": [1, 0, 0]}},
        {"id": "see", "type": "likelihood", "properties": {"matrix": SEE}},
        {
            "id": "move",
            "type": "transition",
            "properties": {"matrix": "by(push, [identity, cycle(1)])"},
        },
        {"id": "want", "type": "preference", "properties": {"vector": [0.0, 2.0]}},
        {"id": "ask", "type": "llm_query", "properties": {"prompt": "Where?", "options": {"n": 1}}},
    ],
    "edges": [
        {"source": "door", "target": "see", "type": "depends_on"},
        {"source": "see", "target": "view", "type": "generates"},
        {"source": "door", "target": "move", "type": "depends_on"},
        {"source": "push", "target": "move", "type": "influences"},
        {"source": "move", "target": "door", "type": "updates"},
        {"source": "start", "target": "door", "type": "depends_on"},
        {"source": "want", "target": "view", "type": "depends_on"},
        {"source": "ask", "target": "push", "type": "queries"},
    ],
}


def _other_spelling() -> dict[str, Any]:
    """Give the same graph with `name`, `from` and `to`, and its properties beside them."""
    return {
        "nodes": [
            {"name": node["id"], "type": node["type"], **node["properties"]}
            for node in GRAPH["nodes"]
        ],
        "edges": [
            {"from": edge["source"], "to": edge["target"], "type": edge["type"]}
            for edge in GRAPH["edges"]
        ],
        "metadata": GRAPH["metadata"],
    }


def _changed(**changes: Any) -> dict[str, Any]:
    """Give the graph with other properties of some nodes."""
    made = copy.deepcopy(GRAPH)
    for node in made["nodes"]:
        node["properties"] = changes.get(node["id"], node["properties"])
    return made


def test_whole_graph_runs() -> None:
    """A graph becomes a specification whose agent acts (S3-38)."""
    report = validate(GRAPH)
    spec = report.spec

    assert report.dialect == "graph"
    assert spec is not None, report
    assert (spec.name, spec.description, spec.horizon) == ("Door_opener", "Door opener", 2)
    np.testing.assert_array_equal(spec.A[0], SEE)
    np.testing.assert_array_equal(spec.B[0][:, 0, 1], [0, 1, 0])
    np.testing.assert_array_equal(spec.C[0], [0, 2])
    np.testing.assert_array_equal(spec.D[0], [1, 0, 0])
    assert spec.transitions[0].by == "push"
    assert spec.agent(seed=0).step((0,)).action in {(0,), (1,)}
    assert parse(spec.to_text()) == spec


def test_only_what_is_left_out_is_said() -> None:
    """What an agent does without is left out with a warning; nothing else is worth a word."""
    assert validate(GRAPH).warnings == (
        "`options` of `ask` is not used",
        "`ask` (llm_query): an agent does without; left out",
    )


@pytest.mark.parametrize("as_text", [False, True])
def test_both_spellings(as_text: bool) -> None:
    """Both spellings of the keys, as a mapping or as a text, are the same specification (S3-38)."""
    other = _other_spelling()

    assert parse(json.dumps(other) if as_text else other) == parse(GRAPH)


@pytest.mark.parametrize(
    ("wanted", "over", "values"),
    [
        ({"vector": [0, 1]}, "view", (0, 1)),
        ({"preferred_observation": 1}, "view", Call("goal", (1,))),
        ({"preferred_observation": [0, 1]}, "view", Call("goal", ((0, 1),))),
        ({"values": "goal(1, 3.0)"}, "view", Call("goal", (1, 3.0))),
    ],
)
def test_preferences(wanted: dict[str, Any], over: str, values: Any) -> None:
    """A vector, a preferred observation and a constructor are preferences."""
    preference = parse(_changed(want=wanted)).preferences[0]

    assert (preference.over, preference.values) == (over, values)


def test_missing_matrices() -> None:
    """Without matrices, likelihoods are uniform and nothing changes, each with a warning."""
    spec = parse(_changed(see={}, move={}, start={}))

    np.testing.assert_array_equal(spec.A[0], np.full((2, 3), 0.5))
    np.testing.assert_array_equal(spec.B[0], np.stack([np.eye(3)] * 2, axis=-1))
    np.testing.assert_allclose(spec.D[0], np.full(3, 1 / 3))
    assert {note for note in spec.notes if "ask" not in note} == {
        "`see` has no matrix: uniform, so it says nothing",
        "`move` has no matrix: nothing changes (`identity`)",
        "no initial belief for `door`: it starts uniform",
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"see": {"matrix": [[0.9, 0.1], [0.2, 0.8], [0.0, 1.0]]}}, "transposed"),
        ({"see": {"matrix": [[1.2, 0, 0], [-0.2, 1, 1]]}}, "-0.2"),
        ({"see": {"matrix": "deterministic_grid_transitions"}}, "deterministic_grid_transitions"),
        ({"see": {"matrix": [[0.9, 0.2], [0.1]]}}, "`see`"),
        ({"start": {"distribution": [1, 0]}}, "2"),
        ({"want": {"preferred_observation": 2}}, "2"),
        ({"door": {"num_states": 0}}, "whole number"),
        ({"door": {}}, "has no size"),
        ({"door": 3}, "`properties` of `door` must be an object"),
        ({"start": {"distribution": [float("nan"), 0, 0]}}, "nan"),
    ],
)
def test_faulty_properties(changes: dict[str, Any], said: str) -> None:
    """A property that is wrong is refused with the node's name (S3-38)."""
    report = validate(_changed(**changes))

    assert not report.ok
    assert any(said in each for each in report.errors), report


@pytest.mark.parametrize(
    ("key", "added", "said"),
    [
        ("nodes", "door", "node 9 of `nodes` must be an object"),
        ("nodes", {"type": "state"}, "node 9 of `nodes` has no `id`"),
        ("nodes", {"id": "x"}, "node 9 of `nodes` has no `type`"),
        ("nodes", {"id": "x", "type": "robot"}, "there is no kind of node called `robot`"),
        ("nodes", {"id": "door", "type": "action", "num_actions": 2}, "given to two nodes"),
        ("edges", "door", "edge 9 of `edges` must be an object"),
        ("edges", {"source": "door"}, "edge 9 of `edges` has no `target`"),
        ("edges", {"source": "dor", "target": "see"}, "no node `dor`; did you mean `door`?"),
        ("edges", {"source": "door", "target": "see", "type": "is"}, "there is no such relation"),
    ],
)
def test_faulty_nodes_and_edges(key: str, added: Any, said: str) -> None:
    """Nodes without a name, unknown relations and edges to nowhere are refused (S3-38)."""
    report = validate({**GRAPH, key: [*GRAPH[key], added]})

    assert not report.ok
    assert any(said in each for each in report.errors), report


@pytest.mark.parametrize("source", [{"nodes": {}}, {"edges": []}, {}, {"nodes": [], "edges": 3}])
def test_no_graph(source: dict[str, Any]) -> None:
    """What is no list of nodes is refused, whoever reads it."""
    assert not validate(source).ok
    _, findings = graph.read(source)

    assert not graph.looks_like(source)
    assert findings


def test_our_json_is_no_graph() -> None:
    """Our own JSON, with `kind`, is not taken for a graph."""
    ours = parse(GRAPH).to_json()

    assert validate(ours).dialect == "json"
    assert validate(ours).spec == parse(GRAPH)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
WORDS = st.sampled_from(
    [
        "s",
        "two\nlines",
        "policy",
        "o",
        "A",
        "state",
        "observation",
        "likelihood",
        "belief",
        "updates",
    ]
)
KEYS = (
    "id",
    "name",
    "type",
    "source",
    "target",
    "from",
    "to",
    "matrix",
    "num_states",
    "properties",
)
OBJECTS = st.dictionaries(st.sampled_from(KEYS), WORDS | VALUES) | VALUES
GRAPHS = st.fixed_dictionaries(
    {"nodes": st.lists(OBJECTS, max_size=8), "edges": st.lists(OBJECTS, max_size=8)},
    optional={"metadata": VALUES | st.dictionaries(st.sampled_from(["name", "horizon"]), VALUES)},
)


@settings(max_examples=150, deadline=None)
@given(GRAPHS)
def test_no_graph_makes_the_reader_raise(source: dict[str, Any]) -> None:
    """Whatever a graph says, reading it gives findings, and validating it a verdict."""
    _, findings = graph.read(source)
    report = validate(source)

    assert all("\n" not in each.text for each in findings)
    assert (report.spec is not None) == report.ok

"""The notation as JSON, its schema, and in which form something is written."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from llmport_magic.gmn.notation import reading
from llmport_magic.gmn.notation.building import build
from llmport_magic.gmn.notation.json_form import read_json, schema, write_json
from llmport_magic.gmn.notation.nodes import UNREAD, Call
from llmport_magic.gmn.spec import Spec

TEXT = """
agent shopper { type: trader, horizon: 2, description: "buys, mostly" }
node state trend { labels: [up, down, "side ways"], initial: [0.5, 0.25, 0.25] }
node observation price { size: 3 }
node action deal { labels: [buy, wait] }
node emission quote { to: price, from: trend, matrix: [
  [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]] }
node transition drift { to: trend, from: [trend, deal], matrix: by(deal, [identity, cycle(1)]) }
node preference profit { over: price, values: goal([0, 1], 2.0) }
"""


def spec_of(source: Any) -> Spec:
    """Read a specification without errors."""
    nodes, found, _ = reading.read(source)
    spec, more = build(nodes)
    assert [str(each) for each in (*found, *more) if each.level == "error"] == []
    assert spec is not None
    return spec


def errors_of(source: Any) -> list[str]:
    """Give the errors of reading."""
    return [str(each) for each in reading.read(source)[1] if each.level == "error"]


def test_the_form() -> None:
    """Literals are arrays, constructors texts, and what is as by default is left out."""
    written = write_json(spec_of(TEXT))

    assert written["agent"] == {
        "name": "shopper",
        "type": "trader",
        "horizon": 2,
        "precision": 16.0,
        "description": "buys, mostly",
    }
    assert written["nodes"][0] == {
        "kind": "state",
        "name": "trend",
        "size": 3,
        "labels": ["up", "down", "side ways"],
        "initial": [0.5, 0.25, 0.25],
    }
    assert [node.get("matrix", node.get("values")) for node in written["nodes"][3:]] == [
        [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]],
        "by(deal, [identity, cycle(1)])",
        "goal([0, 1], 2.0)",
    ]


def test_json_is_read_as_it_was_written() -> None:
    """JSON, loaded or not, gives the specification that it was written from (S3-37)."""
    spec = spec_of(TEXT)
    written = write_json(spec)

    assert spec_of(written) == spec
    assert spec_of(json.dumps(written, indent=2)) == spec


def test_constructors_may_stand_in_lists() -> None:
    """A constructor's text within a list is a constructor, and a word stays a word."""
    written = write_json(spec_of(TEXT))
    written["nodes"][0]["initial"] = ["onehot(0)", "up"]

    assert spec_of(written).factors[0].initial == (Call("onehot", (0,)), "up")


def test_the_schema_is_one_and_fits() -> None:
    """What is written fits the schema, which is valid itself."""
    jsonschema.Draft202012Validator.check_schema(schema())

    jsonschema.validate(write_json(spec_of(TEXT)), schema())


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "stat"},
        {"size": 0},
        {"size": "3"},
        {"labels": ["a", "a"]},
        {"lables": ["a"]},
        {"shape": [3]},
        {"initial": {"a": 1}},
    ],
)
def test_the_schema_refuses(change: dict[str, Any]) -> None:
    """A node with another kind, field or type does not fit the schema."""
    written = write_json(spec_of(TEXT))
    written["nodes"][0].update(change)

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(written, schema())


@pytest.mark.parametrize(
    ("source", "errors"),
    [
        (
            "{",
            [
                (
                    "line 1, column 2: this is no JSON: Expecting property name enclosed in "
                    "double quotes"
                )
            ],
        ),
        ('{"agent": {},\n "nodes": [}', ["line 2, column 12: this is no JSON: Expecting value"]),
        ("{" * 100_000, None),
        ('{"a":' * 100_000, ["this JSON is nested too deep, or has a number too long"]),
        ('{"nodes": [' + "[" * 100_000, ["this JSON is nested too deep, or has a number too long"]),
        (
            '{"nodes": [{"kind": "state", "name": "s", "size": ' + "1" * 5000 + "}]}",
            ["this JSON is nested too deep, or has a number too long"],
        ),
        ({"nodes": 3}, ["`nodes` must be a list of objects, each with `kind` and `name`"]),
        ({"nodes": [3]}, ["node 1 must be an object with `kind` and `name`"]),
        (
            {"nodes": [{"kind": "state", "name": "a", "size": 2}, {"kind": "state"}]},
            ["node 2 has no `name`, or it is no text"],
        ),
        (
            {"nodes": [{"kind": "state", "name": 3}]},
            ["node 1 has no `name`, or it is no text"],
        ),
        (
            {"agent": 3, "nodes": []},
            ['`agent` must be an object, such as `{"name": "explorer"}`'],
        ),
        (
            {"nodes": [{"kind": "state", "name": "s", "size": {"n": 2}}]},
            ["`size` of `s`: a value of type dict is no number, text, list or constructor"],
        ),
        (
            '{"nodes": [], "nodes": [{"kind": "state", "name": "s", "name": "t"}]}',
            ["`name` is given twice in one object", "`nodes` is given twice in one object"],
        ),
    ],
    ids=str,
)
def test_what_is_wrong_with_json_is_told(source: Any, errors: list[str] | None) -> None:
    """JSON that is none, or has other types, gives findings (S3-31)."""
    found = errors_of(source)

    assert found
    assert errors is None or found == errors


def test_nothing_that_is_no_finite_number_is_taken() -> None:
    """`NaN` and `Infinity`, which Python's JSON allows, are told (S3-31)."""
    written = json.dumps(write_json(spec_of(TEXT))).replace("0.5", "NaN").replace("0.8", "1e999")
    spec, found = build(reading.read(written)[0])

    assert spec is None
    assert [each.text for each in found] == [
        "`initial` of `trend`: nan is not a finite number",
        "`matrix` of `quote`: inf is not a finite number",
    ]


def test_null_is_left_out_and_other_keys_are_told() -> None:
    """A field that is null is not there; a key beside the notation's is a warning."""
    written = write_json(spec_of(TEXT))
    written["nodes"][0]["description"] = None
    written["nods"] = []
    nodes, found = read_json(written)

    assert "description" not in nodes[1].fields
    assert [str(each) for each in found] == ["`nods` is not used; did you mean `nodes`?"]


def test_a_field_that_cannot_be_read_is_told_once() -> None:
    """What has a finding of its type has no second one for missing."""
    written = write_json(spec_of(TEXT))
    written["nodes"][3]["matrix"] = {"rows": 3}
    nodes, found = read_json(written)
    spec, more = build(nodes)

    assert nodes[4].fields["matrix"].value is UNREAD
    assert len(found) == 1
    assert (spec, more) == (None, [])


@pytest.mark.parametrize(
    ("source", "form"),
    [
        (TEXT, "gmn"),
        ("", "gmn"),
        ("x" * 2_000_000, "gmn"),
        (3, "gmn"),
        (None, "gmn"),
        ('  {"nodes": [{"kind": "state", "name": "s"}]}', "json"),
        ({"nodes": [{"kind": "state", "name": "s"}]}, "json"),
        ("\ufeff" + TEXT, "gmn"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_form_is_told(source: Any, form: str) -> None:
    """Reading tells in what form something is written, whatever it is given."""
    assert reading.read(source)[2] == form


def test_a_specification_is_read_as_its_nodes() -> None:
    """One that was made in Python is checked like any other."""
    spec = spec_of(TEXT)

    assert reading.read(spec)[1:] == ([], "spec")
    assert spec_of(spec) == spec

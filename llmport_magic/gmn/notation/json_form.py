"""The notation as JSON: nodes as objects, lists as arrays, constructors as texts.

{"agent": {"name": "explorer", "horizon": 3},
 "nodes": [{"kind": "state", "name": "location", "size": 25, "initial": "onehot(0)"}, …]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmport_magic.errors import GMNError
from llmport_magic.gmn.findings import Finding
from llmport_magic.gmn.notation.fields import MAX_SIZE
from llmport_magic.gmn.notation.listing import nodes_of
from llmport_magic.gmn.notation.nodes import UNREAD, Field, Node, Value, value_of
from llmport_magic.gmn.notation.scanner import Findings, TooMuchError
from llmport_magic.gmn.notation.spellings import FIELDS, KINDS, meant
from llmport_magic.gmn.notation.values import quoted, write_value
from llmport_magic.gmn.spec import Spec

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TOP = ("agent", "nodes")


def read_json(data: Mapping[str, Any]) -> tuple[list[Node], list[Finding]]:
    """Read the nodes of what JSON was loaded into.

    Returns:
        The nodes in their order, and at most 20 findings; there are no lines. A field that cannot
        be read has the value `UNREAD`.
    """
    found = Findings()
    nodes: list[Node] = []
    try:
        for key in data:
            if key not in _TOP:
                found.warn(f"{quoted(str(key))} is not used{meant(str(key), _TOP)}")
        agent = data.get("agent")
        if isinstance(agent, Mapping):
            nodes += _node({"kind": "agent", "name": "agent", **agent}, "`agent`", found)
        elif agent is not None:
            found.error('`agent` must be an object, such as `{"name": "explorer"}`')
        listed = data.get("nodes")
        if not isinstance(listed, list | tuple):
            found.error("`nodes` must be a list of objects, each with `kind` and `name`")
            listed = ()
        for number, each in enumerate(listed, 1):
            nodes += _node(each, f"node {number}", found)
    except TooMuchError:
        pass
    return nodes, found.all


def _node(data: Any, where: str, found: Findings) -> list[Node]:
    if not isinstance(data, Mapping):
        found.error(f"{where} must be an object with `kind` and `name`")
        return []
    words = {"kind": "", "name": ""}
    for key in words:
        word = data.get(key, "")
        if not isinstance(word, str) or (
            not word and (key == "kind" or data.get("kind") != "habit")
        ):
            found.error(f"{where} has no `{key}`, or it is no text")
            return []
        words[key] = word or "habit"
    name = words["name"]
    fields = {str(key): _field(str(key), value, name, found) for key, value in data.items()}
    kept = {key: Field(value) for key, value in fields.items() if value is not None}
    return [Node(words["kind"], name, {k: v for k, v in kept.items() if k not in words})]


def _field(key: str, given: Any, name: str, found: Findings) -> Value | None:
    """Give a field's value; `None` where it is `null`."""
    if given is None:
        return None
    try:
        return value_of(given)
    except GMNError as error:
        found.error(f"{quoted(key)} of `{name}`: {error}", node=name)
        return UNREAD


def write_json(spec: Spec) -> dict[str, Any]:
    """Write a specification as JSON can hold it; reading that gives an equal one."""
    written: dict[str, Any] = {"nodes": []}
    for node in nodes_of(spec):
        fields = {key: _plain(key, field.value) for key, field in node.fields.items()}
        if node.kind == "agent":
            written = {"agent": {"name": node.name, **fields}, **written}
        else:
            written["nodes"].append({"kind": node.kind, "name": node.name, **fields})
    return written


def _plain(key: str, value: Value) -> Any:
    if key not in ("matrix", "values", "initial"):
        return list(value) if isinstance(value, tuple) else value
    return _listed(value) if _is_numbers(value) else write_value(value)


def _is_numbers(value: Value) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_numbers, value))
    return isinstance(value, bool | int | float)


def _listed(value: Value) -> Any:
    return [_listed(each) for each in value] if isinstance(value, tuple) else value


def schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of the JSON form.

    What it lets through may still be wrong in itself: that is what validating tells.
    """
    nodes = [{"$ref": f"#/$defs/{kind}"} for kind in KINDS if kind != "agent"]
    return {
        "$schema": _DRAFT,
        "title": "A specification of an active-inference agent",
        "type": "object",
        "properties": {
            "agent": {"$ref": "#/$defs/agent"},
            "nodes": {"type": "array", "items": {"anyOf": nodes}, "minItems": 3},
        },
        "required": ["nodes"],
        "additionalProperties": False,
        "$defs": {
            "array": {
                "description": "numbers in nested lists, or a constructor such as `grid(5, 5)`",
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"$ref": "#/$defs/item"}},
                ],
            },
            "item": {
                "anyOf": [
                    {"type": ["number", "string"]},
                    {"type": "array", "items": {"$ref": "#/$defs/item"}},
                ]
            },
            **{kind: _kind_schema(kind) for kind in KINDS},
        },
    }


_ARRAY = {"$ref": "#/$defs/array"}
_SIZES = {"type": "integer", "minimum": 1, "maximum": MAX_SIZE}
_NAMES = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_OF_FIELDS: dict[str, dict[str, Any]] = {
    "type": {"type": "string"},
    "horizon": {"type": "integer", "minimum": 1},
    "precision": {"type": "number", "exclusiveMinimum": 0},
    "description": {"type": "string"},
    "size": _SIZES,
    "labels": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    "shape": {"type": "array", "items": _SIZES, "minItems": 2, "maxItems": 2},
    "initial": _ARRAY,
    "to": {"type": "string"},
    "from": _NAMES,
    "by": {"type": "string"},
    "over": {"type": "string"},
    "matrix": _ARRAY,
    "values": _ARRAY,
}
_REQUIRED = {
    "emission": ("to", "from", "matrix"),
    "transition": ("to", "from", "matrix"),
    "preference": ("over", "values"),
    "habit": ("values",),
}


def _kind_schema(kind: str) -> dict[str, Any]:
    named: dict[str, Any] = {"name": {"type": "string"}}
    if kind != "agent":
        named = {"kind": {"const": kind}, **named}
    return {
        "type": "object",
        "properties": {**named, **{key: _OF_FIELDS[key] for key in FIELDS[kind]}},
        "required": [*named, *_REQUIRED.get(kind, ())],
        "additionalProperties": False,
    }

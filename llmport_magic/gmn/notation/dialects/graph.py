"""Graphs in JSON: nodes with properties, and edges between them; both spellings of the keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmport_magic.errors import GMNError
from llmport_magic.gmn.findings import Finding
from llmport_magic.gmn.notation.dialects.wiring import Edge, wire
from llmport_magic.gmn.notation.nodes import Field, Node, Value, value_of
from llmport_magic.gmn.notation.scanner import HIDDEN
from llmport_magic.gmn.notation.spellings import field_of, name_of
from llmport_magic.gmn.notation.values import quoted

_LONGEST_NAME = 200
_NAMES = ("id", "name")
_SOURCES = ("source", "from")
_TARGETS = ("target", "to")
_RELATIONS = ("type", "relation", "relationship")
_TITLES = ("name", "title", "model_name")


def looks_like(source: object) -> bool:
    """Tell whether a source is a graph: edges beside nodes, or nodes that have a type."""
    graph = _graph(source)
    nodes = graph.get("nodes") if graph else None
    if graph is None or not isinstance(nodes, list | tuple):
        return False
    return isinstance(graph.get("edges"), list | tuple) or any(
        isinstance(node, Mapping) and node.keys() & {"type", "properties"} for node in nodes
    )


def read(source: object) -> tuple[list[Node], list[Finding]]:
    """Read a graph, a mapping or its JSON; never raises, whatever stands in it.

    Returns:
        The nodes of our kinds; and what was found. There are no lines to tell.
    """
    graph = _graph(source)
    if graph is None:
        return [], [Finding("not a graph in JSON: an object with `nodes` and `edges`")]
    findings: list[Finding] = []
    nodes = list(_nodes(graph.get("nodes"), findings))
    edges = list(_edges(graph.get("edges", []), findings))
    made, found = wire([*_agent(graph.get("metadata")), *nodes], edges)
    return made, [*findings, *found]


def _graph(source: object) -> Mapping[str, Any] | None:
    if isinstance(source, str) and source.lstrip()[:1] == "{":
        try:
            source = json.loads(source)
        except (ValueError, RecursionError):
            return None
    return source if isinstance(source, Mapping) else None


def _listed(value: object, what: str, findings: list[Finding]) -> Iterator[Mapping[str, Any]]:
    """Give the objects of a list, and say what else stands in it."""
    if not isinstance(value, list | tuple):
        findings.append(Finding(f"`{what}s` must be a list of objects"))
        return
    for at, each in enumerate(value, 1):
        if isinstance(each, Mapping):
            yield each
        else:
            findings.append(Finding(f"{what} {at} of `{what}s` must be an object"))


def _said(given: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Give what the first of the keys says, on one line and not too long to be shown."""
    said = next((str(given[key]) for key in keys if isinstance(given.get(key), str | int)), "")
    return " ".join(HIDDEN.sub(" ", said[:_LONGEST_NAME]).split())


def _nodes(listed: object, findings: list[Finding]) -> Iterator[Node]:
    for at, given in enumerate(_listed(listed, "node", findings), 1):
        name, kind = _said(given, _NAMES), _said(given, ("type",))
        if not name or not kind:
            missing = "`id`" if not name else "`type`"
            findings.append(Finding(f"node {at} of `nodes` has no {missing}", node=name))
            continue
        inner = given.get("properties", {})
        if not isinstance(inner, Mapping):
            findings.append(Finding(f"`properties` of `{name}` must be an object", node=name))
            inner = {}
        beside = {k: v for k, v in given.items() if k not in {*_NAMES, "type", "properties"}}
        yield Node(kind, name, dict(_fields(name, {**beside, **inner}, findings)))


def _fields(
    name: str, given: Mapping[str, Any], findings: list[Finding]
) -> Iterator[tuple[str, Field]]:
    for key, value in given.items():
        if value is None:
            continue
        try:
            yield str(key), Field(value_of(value))
        except (GMNError, RecursionError):
            findings.append(Finding(f"{quoted(str(key))} of `{name}` is not used", "warning", name))


def _edges(listed: object, findings: list[Finding]) -> Iterator[Edge]:
    for at, given in enumerate(_listed(listed, "edge", findings), 1):
        source, target = _said(given, _SOURCES), _said(given, _TARGETS)
        if source and target:
            yield Edge(source, target, _said(given, _RELATIONS) or "depends_on")
        else:
            missing = "`target`" if source else "`source`"
            findings.append(Finding(f"edge {at} of `edges` has no {missing}"))


def _agent(metadata: object) -> Iterator[Node]:
    """Give what is said of the whole; a title that is no name is its description."""
    if not isinstance(metadata, Mapping):
        return
    title = _said(metadata, _TITLES)
    fields: dict[str, Value] = {}
    for key in ("agent_type", "horizon", "planning_horizon", "precision", "gamma", "description"):
        value = metadata.get(key)
        if isinstance(value, str | int | float):
            fields.setdefault(field_of("agent", key) or key, value)
    if title and title != name_of(title):
        fields.setdefault("description", title)
    name = name_of(title) if title else "agent"
    yield Node("agent", name or "agent", {key: Field(value) for key, value in fields.items()})

"""Which form of the notation something is written in, and its nodes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from llmport_magic.gmn.findings import Finding
from llmport_magic.gmn.notation.json_form import read_json
from llmport_magic.gmn.notation.listing import nodes_of
from llmport_magic.gmn.notation.nodes import Node
from llmport_magic.gmn.notation.scanner import MAX_FINDINGS
from llmport_magic.gmn.notation.text import MAX_BYTES, read_text
from llmport_magic.gmn.spec import Spec

# No other dialect has blocks.
_BLOCK = re.compile(
    r"^[ \t]*+node[ \t]++\w++[ \t:]++[\w\"-]++[ \t]*+\{", re.MULTILINE | re.IGNORECASE
)

_FILE = re.compile(r"[^\n{}]{1,200}\.(?:gmn|json|md|txt)")


def read(source: str | Mapping[str, Any] | Spec) -> tuple[list[Node], list[Finding], str]:
    """Read something in whatever form it is written.

    Args:
        source: a text (the notation, JSON, or a dialect), what JSON was loaded into, or a
            specification that was made in Python.

    Returns:
        The nodes, what is wrong with how it is written (at most 20 findings), and the form: `gmn`,
        `json`, `sections`, `graph`, `gnn` or `spec`.
    """
    nodes, findings, form = _read(source)
    # Where there are too many, no error may be lost behind what is only worth a word.
    return nodes, sorted(findings, key=lambda each: each.level)[:MAX_FINDINGS], form


def _read(source: Any) -> tuple[list[Node], list[Finding], str]:
    if isinstance(source, Spec):
        return nodes_of(source), [], "spec"
    if isinstance(source, Mapping):
        return _of_mapping(source)
    if isinstance(source, str):
        return _of_text(source)
    text = f"a specification is a text, a mapping or a Spec, not {type(source).__name__}"
    if isinstance(source, PurePath):
        text = f"{source} is a path: give the text, as `Path(…).read_text()` does"
    return [], [Finding(text)], "gmn"


def _of_text(source: str) -> tuple[list[Node], list[Finding], str]:
    if len(source) > MAX_BYTES or _BLOCK.search(source):
        return *read_text(source), "gmn"
    if source.lstrip("\ufeff \t\r\n").startswith("{"):
        return _of_json(source.removeprefix("\ufeff"))
    if _FILE.fullmatch(source):
        text = f"{source} is the name of a file: give its text, as `Path(…).read_text()` does"
        return [], [Finding(text)], "gmn"
    from llmport_magic.gmn.notation.dialects import gnn, sections

    if gnn.looks_like(source):
        return *gnn.read(source), "gnn"
    if sections.looks_like(source):
        return *sections.read(source), "sections"
    return *read_text(source), "gmn"


def _of_mapping(source: Mapping[str, Any]) -> tuple[list[Node], list[Finding], str]:
    listed = source.get("nodes")
    items = listed if isinstance(listed, list | tuple) else ()
    ours = any(isinstance(each, Mapping) and "kind" in each for each in items)
    if not ours:
        from llmport_magic.gmn.notation.dialects import graph

        if graph.looks_like(source):
            return *graph.read(source), "graph"
    return *read_json(source), "json"


def _of_json(source: str) -> tuple[list[Node], list[Finding], str]:
    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counted = Counter(key for key, _ in pairs)
        twice.extend(key for key, count in counted.items() if count > 1)
        return dict(pairs)

    try:
        data = json.loads(source, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        text = f"this is no JSON: {error.msg}"
        return [], [Finding(text, line=error.lineno, column=error.colno)], "json"
    except (RecursionError, ValueError):
        return [], [Finding("this JSON is nested too deep, or has a number too long")], "json"
    nodes, findings, form = _of_mapping(data)
    double = [Finding(f"`{key[:40]}` is given twice in one object") for key in sorted(set(twice))]
    return nodes, [*double, *findings], form

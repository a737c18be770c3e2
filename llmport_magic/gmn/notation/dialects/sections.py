"""Sections of a text: `[nodes]` with a node on each line, `[edges]` with what ties them together.

[nodes]
location: state {num_states: 4}
[edges]
location -> sight: generates
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from llmport_magic.gmn.findings import Finding
from llmport_magic.gmn.notation.dialects.wiring import LEFT_OUT, Edge, wire
from llmport_magic.gmn.notation.nodes import Field, Node
from llmport_magic.gmn.notation.spellings import kind_of
from llmport_magic.gmn.notation.text import read_text
from llmport_magic.gmn.notation.values import quoted

_SECTION = re.compile(r"\[\s*([A-Za-z_]\w*)\s*\](?:\s*#.*)?")
_HEADER = re.compile(r"([^\s:{}\[\]#,\"']+)[ \t]*:[ \t]*([A-Za-z_][\w-]*)[ \t]*(?=\{|#|,?$)")
_EDGE = re.compile(r"([^\s:]+?)[ \t]*(?:->|→)[ \t]*([^\s:]+)(?:[ \t]*:[ \t]*([^\s:]+))?")
# A string, which ends with its line at the latest; a comment; or a brace that is in neither.
_BRACE = re.compile(r"(?<!\w)\"(?:[^\"\\]|\\.)*+\"?|(?<!\w)'(?:[^'\\]|\\.)*+'?|#.*|[{}]")


@dataclass(frozen=True, slots=True)
class _Header:
    """Where a node begins, and how it reads in our notation."""

    name: str
    kind: str
    line: int
    column: int
    shift: int


def looks_like(source: object) -> bool:
    """Tell whether a source has the section `[nodes]`."""
    return isinstance(source, str) and any(
        title == "nodes" for title, _, _ in _sections(source.splitlines())
    )


def read(source: object) -> tuple[list[Node], list[Finding]]:
    """Read a text with sections; never raises, whatever stands in it.

    Returns:
        The nodes of our kinds, and what was found, in the order of the text.
    """
    if not isinstance(source, str):
        return [], [Finding("sections are a text")]
    lines = source.removeprefix("\ufeff").splitlines()
    nodes: list[Node] = []
    edges: list[Edge] = []
    findings: list[Finding] = []
    for title, first, last in _sections(lines):
        if title == "nodes":
            nodes += _nodes(lines, first, last, findings)
        elif title == "edges":
            edges += _edges(lines, first, last, findings)
        else:
            findings.append(Finding(f"the section [{title}] is not read", "warning", "", first, 1))
    made, found = wire(nodes, edges)
    return made, sorted((*findings, *found), key=lambda each: (each.line, each.column))


def _sections(lines: list[str]) -> Iterator[tuple[str, int, int]]:
    """Give each section's title in lower case, and the lines that it begins and ends at."""
    found = [
        (heading[1].lower(), at)
        for at, line in enumerate(lines)
        if (heading := _SECTION.fullmatch(line.strip()))
    ]
    ends = [at for _, at in found[1:]] + [len(lines)]
    for (title, at), end in zip(found, ends, strict=False):
        yield title, at + 1, end


def _nodes(lines: list[str], first: int, last: int, findings: list[Finding]) -> list[Node]:
    """Read nodes: each as one of our notation, so that values mean the same in both."""
    headers, ours = _in_our_words(lines[:last], first, findings)
    if not headers:
        return []
    read, found = read_text("\n".join(ours))
    at = {header.line: header for header in headers}
    left_out = {header.name for header in headers if header.kind.lower() in LEFT_OUT}
    findings += [
        replace(each, column=_column(at, each.line, each.column))
        for each in found
        if each.node not in left_out
    ]
    return [
        Node(
            at[node.line].kind,
            node.name,
            {
                key: Field(field.value, field.line, _column(at, field.line, field.column))
                for key, field in node.fields.items()
            },
            node.line,
            at[node.line].column,
        )
        for node in read
        if node.line in at
    ]


def _column(at: dict[int, _Header], line: int, column: int) -> int:
    """Give the column in the text for one in our words."""
    return max(1, column - at[line].shift) if line in at else column


def _in_our_words(
    lines: list[str], first: int, findings: list[Finding]
) -> tuple[list[_Header], list[str]]:
    """Rewrite each header, `name: state {` as `node state name {`; all else keeps its place.

    Every node becomes a state there: which it is, the header keeps.
    """
    headers: list[_Header] = []
    ours = [""] * first
    depth = 0
    for at, line in enumerate(lines[first:], first + 1):
        plain = line.strip()
        found = _HEADER.match(plain)
        if found is None or (depth and not _is_header(found)):
            ours.append(line)
            depth = _depth(line, depth)
            continue
        _see_closed(headers, depth, findings)
        rest = plain[found.end() :].strip()
        column = len(line) - len(line.lstrip()) + 1
        braces = "" if rest.startswith("{") or _opens(lines[at : at + 1]) else " {}"
        written = f"node state {found[1]} "
        headers.append(_Header(found[1], found[2], at, column, len(written) - found.end()))
        ours.append(" " * (column - 1) + written.rstrip() + braces + " " + plain[found.end() :])
        depth = _depth(plain[found.end() :], 0)
    _see_closed(headers, depth, findings)
    return headers, ours


def _see_closed(headers: list[_Header], depth: int, findings: list[Finding]) -> None:
    """See that a node that is left out ends somewhere: what follows must not be left out, too."""
    if depth and headers and headers[-1].kind.lower() in LEFT_OUT:
        last = headers[-1]
        text = f"`{last.name}` is not closed: a `}}` is missing"
        findings.append(Finding(text, "error", last.name, last.line, last.column))


def _is_header(found: re.Match[str]) -> bool:
    """Tell whether a line is a node's even where a brace is open: that was not closed then."""
    known = kind_of(found[2]) is not None or found[2].lower() in LEFT_OUT
    return known and found.string[found.end() :].startswith("{")


def _opens(following: list[str]) -> bool:
    return any(line.lstrip().startswith("{") for line in following)


def _depth(line: str, depth: int) -> int:
    for found in _BRACE.finditer(line):
        depth += (found[0] == "{") - (found[0] == "}")
    return max(0, depth)


def _edges(lines: list[str], first: int, last: int, findings: list[Finding]) -> Iterator[Edge]:
    for at, line in enumerate(lines[first:last], first + 1):
        plain = line.partition("#")[0].strip().rstrip(",;")
        column = len(line) - len(line.lstrip()) + 1
        if not plain:
            continue
        if found := _EDGE.fullmatch(plain):
            yield Edge(found[1], found[2], found[3] or "depends_on", at, column)
        else:
            text = f"{quoted(plain)} is no edge: write `a -> b: depends_on`"
            findings.append(Finding(text, line=at, column=column))

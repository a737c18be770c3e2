"""The page of a GNN file: its sections, variables, connections and values, as they were written.

Generalized Notation Notation: https://github.com/ActiveInferenceInstitute/GeneralizedNotationNotation
(read 2026-11-21). What the variables mean for an agent is decided in `gnn.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from llmport_magic.gmn.findings import Finding
from llmport_magic.gmn.notation.dialects.literals import Literal, LiteralError, read_literal
from llmport_magic.gmn.notation.scanner import HIDDEN

_MANY = 100
_HEADING = "##"
_VARIABLE = re.compile(r"([^\s\[\]=,]+)(?:\s*\[([^\]]*)\])?(?:,[\w=]+)?")
_VALUE = re.compile(r"\s*([^\s\[\]#=,:(){}]+)[ \t]*=[ \t]*")
_PAIR = re.compile(r"([^\s=:]+)\s*[=:]\s*(.*)")
_LINK = re.compile(r"<->|->|<-|>|<|-")


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the state space: `A[3,2,type=float]  # what it is`."""

    name: str
    dimensions: tuple[int | str, ...]
    description: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Link:
    """A connection of two variables; `grouped` as one of several, as in `(s_a, s_b)-(A_a, A_b)`."""

    source: str
    target: str
    line: int
    grouped: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """The value that a variable is given, numbers in nested tuples."""

    value: Literal
    line: int
    column: int


@dataclass(slots=True)
class Page:
    """What a GNN file says.

    Attributes:
        name: of the model.
        variables: by name, in their order.
        links: the pairs that are connected, in their order.
        values: by the variable's name.
        unread: the variables whose value could not be read.
        roles: what a variable is in the ontology of active inference, by its name.
        parameters: under `ModelParameters`, as text, with the line.
        time: under `Time`: words, and `key=value` as key and value.
        findings: what could not be read.
    """

    name: str = ""
    variables: dict[str, Variable] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    values: dict[str, Given] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    roles: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, tuple[str, int]] = field(default_factory=dict)
    time: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def linked(self, name: str, *, alone: bool = False) -> set[str]:
        """Give what a variable is connected with, in either direction.

        Args:
            name: the variable.
            alone: leave out what only two groups say that are connected.
        """
        return {
            each.target if each.source == name else each.source
            for each in self.links
            if name in {each.source, each.target} and not (alone and each.grouped)
        }


def read_page(text: str) -> Page:
    """Read a file; what cannot be read is among the findings."""
    page = Page()
    lines = HIDDEN.sub(" ", text.removeprefix("\ufeff")).splitlines()
    for title, first, last in _sections(lines):
        numbered = [
            (number, line)
            for number, line in enumerate(lines[first:last], first + 1)
            if line.strip() and not line.lstrip().startswith(("#", "```"))
        ]
        match title:
            case "modelname":
                page.name = numbered[0][1].strip() if numbered else ""
            case "statespaceblock":
                _read_variables(page, numbered)
            case "connections":
                _read_links(page, numbered)
            case "initialparameterization":
                _read_values(page, lines, first, last)
            case "actinfontologyannotation":
                page.roles.update((key, value) for key, value, _ in _pairs(numbered))
            case "modelparameters":
                page.parameters.update((key, (value, at)) for key, value, at in _pairs(numbered))
            case "time":
                page.time.update((_plain(line), "") for _, line in numbered)
                page.time.update((key.lower(), value) for key, value, _ in _pairs(numbered))
    _check_links(page)
    return page


def has_heading(text: str, *titles: str) -> bool:
    """Tell whether a text has one of these sections."""
    return any(
        title in titles for title, _, _ in _sections(text.removeprefix("\ufeff").splitlines())
    )


def _sections(lines: list[str]) -> Iterator[tuple[str, int, int]]:
    """Give each section's title in lower case, and the lines that it begins and ends at."""
    found = [
        (line.strip("# \t:").replace(" ", "").lower(), at)
        for at, line in enumerate(lines)
        if line.startswith(_HEADING) and not line.startswith(f"{_HEADING}#")
    ]
    ends = [at for _, at in found[1:]] + [len(lines)]
    for (title, at), end in zip(found, ends, strict=False):
        yield title, at + 1, end


def _plain(line: str) -> str:
    return line.partition("#")[0].strip().lower()


def _pairs(lines: list[tuple[int, str]]) -> Iterator[tuple[str, str, int]]:
    for number, line in lines:
        if pair := _PAIR.match(line.partition("#")[0].strip()):
            yield pair[1], pair[2], number


def _is_full(page: Page, line: int) -> bool:
    """Tell whether so much is wrong that reading on tells nothing; that is an error, too."""
    if len(page.findings) == _MANY:
        page.findings.append(Finding("too much is wrong here to read on", line=line, column=1))
    return len(page.findings) > _MANY


# -- what there is -----------------------------------------------------------------------------


def _read_variables(page: Page, lines: list[tuple[int, str]]) -> None:
    for number, line in lines:
        if _is_full(page, number):
            return
        plain, _, comment = line.partition("#")
        found = _VARIABLE.fullmatch(plain.strip())
        if found is None:
            text = f"not a variable: `{line.strip()[:60]}`; write it as `A[3,2,type=float]`"
            page.findings.append(Finding(text, line=number, column=1))
            continue
        name, column = found[1], line.index(found[1]) + 1
        if name in page.variables:
            text = f"`{name}` is declared twice, first in line {page.variables[name].line}"
            page.findings.append(Finding(text, node=name, line=number, column=column))
            continue
        parts = [part.strip() for part in (found[2] or "").split(",")]
        dimensions = tuple(
            int(part) if re.fullmatch(r"[0-9]{1,9}", part) else part
            for part in parts
            if part and "=" not in part
        )
        page.variables[name] = Variable(name, dimensions, comment.strip("# \t"), number, column)


# -- how it hangs together ---------------------------------------------------------------------


def _read_links(page: Page, lines: list[tuple[int, str]]) -> None:
    for number, line in lines:
        if _is_full(page, number):
            return
        plain = line.partition("#")[0].strip().lstrip("*").strip()
        ends = [_group(end) for end in _LINK.split(plain.partition(":")[0])]
        if len(ends) == 1 or not all(ends):
            text = f"not a connection: `{plain[:60]}`; write it as `s-A` or `u>s_prime`"
            page.findings.append(Finding(text, "warning", line=number, column=1))
            continue
        for sources, targets in pairwise(ends):
            grouped = len(sources) > 1 and len(targets) > 1
            page.links.extend(Link(a, b, number, grouped) for a in sources for b in targets)


def _group(end: str) -> list[str]:
    """Give the names of `A`, or of `(A, B)`."""
    return [name.strip() for name in end.strip().strip("()").split(",") if name.strip()]


def _check_links(page: Page) -> None:
    known = page.variables.keys() | page.values.keys() | page.roles.keys()
    said = set()
    for link in page.links:
        for name in (link.source, link.target):
            if name not in known and name not in said:
                said.add(name)
                text = f"`{name}` is connected, but is no variable; the connection is left out"
                page.findings.append(Finding(text, "warning", name, link.line, 1))


# -- what it is worth --------------------------------------------------------------------------


def _read_values(page: Page, lines: list[str], first: int, last: int) -> None:
    at = first
    while at < last and not _is_full(page, at + 1):
        line = lines[at]
        found = _VALUE.match(line)
        if found is None:
            if line.strip() and not line.lstrip().startswith(("#", "```")):
                text = f"not a value: `{line.strip()[:60]}`; write it as `D={{(0.5, 0.5)}}`"
                page.findings.append(Finding(text, line=at + 1, column=1))
            at += 1
            continue
        name, column = found[1], found.end() + 1
        try:
            value, after = read_literal(map(lines.__getitem__, range(at, last)), found.end())
        except LiteralError as wrong:
            page.unread.add(name)
            where = at + wrong.line
            text = f"`{name}`: {wrong}"
            page.findings.append(Finding(text, node=name, line=where, column=wrong.column))
            at = _next_value(lines, at + 1, last)
            continue
        if name in page.values:
            text = f"`{name}` is given twice, first in line {page.values[name].line}"
            page.findings.append(Finding(text, node=name, line=at + 1, column=1))
        else:
            page.values[name] = Given(value, at + 1, column)
        at += after


def _next_value(lines: list[str], at: int, last: int) -> int:
    while at < last and not _VALUE.match(lines[at]):
        at += 1
    return at

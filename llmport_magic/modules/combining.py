"""Making one module out of several answers, each of which has other functions right.

A small model that is asked for three functions seldom gets all of them right at once. Where each
of them passes its examples in some answer, it is taken out of that one: the answer with the most
examples passed stays, and what fails in it is replaced. Only examples decide, so that the result
has to pass them all like any other answer.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from llmport_magic.errors import VerificationError
from llmport_magic.modules.examples import bound_names, loaded_names
from llmport_magic.modules.merging import merge
from llmport_magic.modules.parsing import parse
from llmport_magic.modules.statements import DEFINITIONS, Statement, names_of, read_statements

if TYPE_CHECKING:
    from llmport_magic.modules.verdict import ExampleOutcome


class Tried(Protocol):
    """What is asked of an answer that failed."""

    @property
    def source(self) -> str:
        """The module that it gave."""

    @property
    def examples(self) -> tuple[ExampleOutcome, ...]:
        """What came of each example."""


@dataclass(frozen=True, slots=True)
class _Answer:
    source: str
    statements: tuple[Statement, ...]
    passed: tuple[bool, ...]

    def defines(self) -> set[str]:
        return {s.node.name for s in self.statements if isinstance(s.node, DEFINITIONS)}


def combine(tried: Sequence[Tried]) -> str | None:
    """Give a module whose parts pass their examples each for itself, or `None`.

    Args:
        tried: the answers so far, the newest last; only a combination that it is part of is new.
    """
    if len(tried) < 2:  # it takes two
        return None
    newest = tried[-1]
    answers = [
        found
        for each in tried
        if len(each.examples) == len(newest.examples) and (found := _read(each)) is not None
    ]
    if not answers or answers[-1].source != newest.source or not any(answers[-1].passed):
        return None
    uses = _uses(newest.examples, set().union(*(each.defines() for each in answers)))
    # The newest of those that are equally good.
    base = max(reversed(answers), key=lambda each: sum(each.passed))
    wrong = dict.fromkeys(
        name
        for names, passed in zip(uses, base.passed, strict=True)
        if not passed
        for name in sorted(names)
    )
    asked, source = set().union(*uses), base.source
    for name in wrong:
        donor = _with(name, uses, answers)
        if donor is None or donor is base:
            continue
        try:
            source = merge(source, _part(donor, name, (asked & base.defines()) - {name}))
        except VerificationError:
            return None
    return None if any(source == each.source for each in answers) else source


def _read(tried: Tried) -> _Answer | None:
    passed = tuple(example.status == "passed" for example in tried.examples)
    try:
        return _Answer(tried.source, read_statements(tried.source), passed) if passed else None
    except VerificationError:
        return None


def _uses(examples: Sequence[ExampleOutcome], defined: set[str]) -> list[set[str]]:
    """Name the definitions that each example uses, also through what earlier ones have made."""
    made: dict[str, set[str]] = {}
    found: list[set[str]] = []
    for example in examples:
        names = loaded_names(example.source) | _attributes(example.source, made)
        used = (names & defined) | set().union(*(made.get(name, set()) for name in names))
        made.update(dict.fromkeys(bound_names(example.source), used))
        found.append(used)
    return found


def _attributes(source: str, made: Mapping[str, set[str]]) -> set[str]:
    """Name what an example takes out of a module; of a variable `shape`, `shape.area` is not."""
    try:
        tree = parse(source)
    except (SyntaxError, ValueError):
        return set()
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id not in made
    }


def _with(name: str, uses: Sequence[set[str]], answers: Sequence[_Answer]) -> _Answer | None:
    """Find the newest answer in which every example that uses a name passes."""
    for answer in reversed(answers):
        concerned = [ok for names, ok in zip(uses, answer.passed, strict=True) if name in names]
        if name in answer.defines() and all(concerned):
            return answer
    return None


def _part(answer: _Answer, name: str, kept: set[str]) -> str:
    """Give a definition with all that it needs of its module, but for what is kept of the other."""
    wanted: set[int] = set()
    open_names, known = [name], {name, *kept}
    while open_names:
        looked_for = open_names.pop()
        for number, statement in enumerate(answer.statements):
            if looked_for in statement.names and number not in wanted:
                wanted.add(number)
                new = names_of([statement.node]) - known
                known |= new
                open_names += sorted(new)
    return "\n\n".join(answer.statements[number].commented for number in sorted(wanted)) + "\n"

"""A small specification, and what building a text gives: the specification, errors, warnings."""

from __future__ import annotations

from llmport_magic.gmn.findings import Finding
from llmport_magic.gmn.notation.building import build
from llmport_magic.gmn.notation.text import read_text
from llmport_magic.gmn.spec import Spec

SMALL = """\
node state place { size: 4, initial: onehot(0) }
node observation sight { size: 4 }
node action move { size: 2 }
node emission see { to: sight, from: place, matrix: noisy(0.9) }
node transition walk { to: place, from: [place, move], matrix: line() }
node preference want { over: sight, values: goal(3, 2.0) }
"""
LINES = dict(
    zip(
        ("state", "observation", "action", "emission", "transition", "preference"),
        SMALL.splitlines(keepends=True),
        strict=True,
    )
)


def built(text: str) -> tuple[Spec | None, list[Finding]]:
    """Build a text that is written well."""
    nodes, found = read_text(text)
    assert [str(each) for each in found if each.level == "error"] == []
    return build(nodes)


def texts(found: list[Finding], level: str) -> list[str]:
    """Give the findings of one level."""
    return [each.text for each in found if each.level == level]


def errors_of(text: str) -> list[str]:
    """Give the errors of a text."""
    return texts(built(text)[1], "error")


def warnings_of(text: str) -> list[str]:
    """Give the warnings of a text that has no error."""
    spec, found = built(text)
    assert texts(found, "error") == []
    assert spec is not None
    return texts(found, "warning")


def spec_of(text: str) -> Spec:
    """Give a specification."""
    spec, found = built(text)
    assert spec is not None, found
    return spec

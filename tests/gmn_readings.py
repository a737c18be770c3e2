"""What is found in a text that is read and built."""

from __future__ import annotations

from small_specs import SMALL

from llmport_magic.gmn.findings import Finding
from llmport_magic.gmn.notation.building import build
from llmport_magic.gmn.notation.text import read_text
from llmport_magic.gmn.spec import Spec


def changed(old: str, new: str) -> str:
    """Give the small specification with something else in one place."""
    assert SMALL.count(old) == 1
    return SMALL.replace(old, new)


def found_in(text: str) -> tuple[Spec | None, list[Finding]]:
    """Read and build a text."""
    nodes, found = read_text(text)
    spec, more = build(nodes)
    broken = any(each.level == "error" for each in found)
    return None if broken else spec, [*found, *more]


def errors_of(text: str) -> list[str]:
    """Give the errors of a text, with their places."""
    return [str(each) for each in found_in(text)[1] if each.level == "error"]

"""What of a wrong answer can stay, so that a small model need only write on from there.

States, observations and actions stay as they are, and of the nodes that connect them those that
nothing is wrong with. Telling a small model what is wrong hardly helps; giving it the start of the
answer, and no more to write than what is missing, does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llmport_magic.gmn.notation.spellings import kind_of
from llmport_magic.gmn.notation.text import read_text

if TYPE_CHECKING:
    from llmport_magic.gmn.findings import Report
    from llmport_magic.gmn.notation.nodes import Node
    from llmport_magic.gmn.spec import Spec

_FIRST = ("agent", "state", "observation", "action")
_ENDINGS = {"state": "state", "observation": "seen", "action": "done"}
_SPACES = tuple(_ENDINGS)
_INITIAL = re.compile(r",\s*initial:\s*\w+\([^()\n]*\)")
_STAND_IN = "stand_in_for_"


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays of a wrong answer.

    Attributes:
        text: its nodes that stay.
        spec: what they make; some observations of it have no emission yet.
        needed: the factors whose transitions were wrong.
    """

    text: str
    spec: Spec
    needed: frozenset[str]


def kept(text: str, check: Callable[[str | Mapping[str, Any]], Report]) -> Kept | None:
    """Give what can stay; `None` where already a state, an observation or an action is wrong.

    Args:
        text: an answer that is not valid.
        check: validates a text.
    """
    pieces = list(_renamed(_nodes(text)))
    stays = [piece for kind, piece in pieces if kind in _FIRST]
    if not stays:
        return None
    spec = _made(stays, check)
    if spec is None:
        # A state to begin in that is none of the states is the least of what it says.
        stays = [_INITIAL.sub("", piece) for piece in stays]
        spec = _made(stays, check)
    needed = set()
    for kind, piece in pieces if spec is not None else ():
        if kind in _FIRST:
            continue
        more = _made([*stays, piece], check)
        if more is not None:
            stays, spec = [*stays, piece], more
        elif kind == "transition":
            needed.add(piece)
    if spec is None:
        return None
    factors = frozenset(
        each.name for each in spec.factors for piece in needed if f"to: {each.name}," in piece
    )
    return Kept("\n".join(stays), spec, factors)


def _renamed(nodes: Iterable[tuple[Node, str]]) -> Iterator[tuple[str, str]]:
    """Give each node's kind and text; of two things of one name, the second gets another.

    What means the second by that name is then about the wrong kind of node, and goes.
    """
    taken: dict[str, str] = {}
    for node, piece in nodes:
        kind = kind_of(node.kind) or ""
        if kind in _SPACES and taken.setdefault(node.name, kind) != kind:
            other = f"{node.name}_{_ENDINGS[kind]}"
            taken[other] = kind
            yield kind, re.sub(rf"\b{re.escape(node.name)}\b", other, piece, count=1)
        else:
            yield kind, piece


def _nodes(text: str) -> Iterator[tuple[Node, str]]:
    """Give the nodes, each with its text."""
    lines = text.split("\n")
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line) + 1)
    nodes = read_text(text)[0]
    starts = [offsets[node.line - 1] + node.column - 1 for node in nodes]
    for node, start, end in zip(nodes, starts, [*starts[1:], len(text)], strict=True):
        yield node, text[start:end].strip()


def _made(pieces: list[str], check: Callable[[str | Mapping[str, Any]], Report]) -> Spec | None:
    """Give what nodes make, where an observation without an emission is no error."""
    text = "\n".join(pieces)
    words = [(kind_of(node.kind), node) for node in read_text(text)[0]]
    states = [node.name for kind, node in words if kind == "state"]
    seen = [node.name for kind, node in words if kind == "observation"]
    said = {str(f.value) for k, node in words if k == "emission" for f in node.fields.values()}
    if not states:
        return None
    added = [
        f"node emission {_STAND_IN}{name} {{ to: {name}, from: {states[0]}, matrix: uniform }}"
        for name in seen
        if name not in said
    ]
    spec = check("\n".join([text, *added])).spec
    if spec is None:
        return None
    own = tuple(each for each in spec.emissions if not each.name.startswith(_STAND_IN))
    return replace(spec, emissions=own)

"""Finding the fenced blocks of an answer, with the mistakes that models make in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

_FENCE = re.compile(r"^(?P<indent>[ \t>]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)$")
_PYTHON = re.compile(r"(python|py|ipython|python[23]|py3|ipython3|python3?\.\d+|cython|gpython)\Z")
_CONTAINER = {"markdown", "md", "mdx", "rst", "quarto", "qmd"}
_OTHER = frozenset(
    # As words, since a list of a hundred strings is harder to read.
    """
    bash sh shell zsh fish console terminal cmd bat batch powershell ps1 shell-session
    json jsonc json5 jsonl yaml yml toml ini cfg conf env dotenv properties xml html xhtml
    svg css scss sass less js javascript jsx ts typescript tsx node vue sql mysql postgres
    sqlite c h cpp c++ cc hpp objc java kotlin scala groovy go golang rust rs ruby rb php
    perl pl r julia jl matlab octave swift dart lua haskell hs ocaml elixir erlang clojure
    lisp scheme fortran f90 cobol pascal vb csharp cs c# fsharp f# zig nim solidity diff
    patch csv tsv dockerfile docker makefile make cmake nginx graphql protobuf proto latex
    tex bibtex mermaid dot graphviz plantuml pycon python-console python-repl pytb doctest
    output stdout log traceback http regex awk sed
    """.split()
)
# A container may hold containers; nothing sensible nests deeper or has more fences.
_MAX_DEPTH = 3
_MAX_FENCES = 400
_MAX_INNER_FENCES = 40

Kind = Literal["python", "untagged", "unknown", "other"]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: what its tag says it is, and its text without the fence's indent."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class _Fence:
    line: int
    indent: str
    mark: str
    info: str

    def closes(self, opening: _Fence) -> bool:
        """Tell whether this line can end what `opening` began."""
        return (
            not self.info
            and self.mark[0] == opening.mark[0]
            and len(self.mark) >= len(opening.mark)
        )


def find_blocks(text: str, parses: Callable[[str], bool], depth: int = 0) -> list[Block]:
    """Find the fenced blocks of a text, in their order.

    Args:
        text: the answer, with LF line ends.
        parses: tells whether a text is Python; decides which of several fences ends a block.
        depth: how many blocks the text stands in.
    """
    lines = text.split("\n")
    fences = [
        _Fence(i, m["indent"], m["fence"], m["info"].strip())
        for i, line in enumerate(lines)
        if (m := _FENCE.match(line))
    ][:_MAX_FENCES]
    blocks: list[Block] = []
    index = 0
    while index < len(fences):
        opening = fences[index]
        kind = _kind(opening.info)
        if kind is None:
            index += 1
            continue
        closing = _closing(lines, fences, index, parses if kind != "other" else None)
        body = _body(lines, opening, fences[closing].line if closing is not None else len(lines))
        index = len(fences) if closing is None else closing + 1
        if kind != "other" and not parses(body) and _FENCE_INSIDE.search(body):
            inner = find_blocks(body, parses, depth + 1) if depth < _MAX_DEPTH else []
            if any(parses(block.text) for block in inner):
                blocks.extend(inner)
                continue
        if body.strip():
            blocks.append(Block(kind, body))
    return blocks


_FENCE_INSIDE = re.compile(r"^[ \t]*(`{3,}|~{3,})", re.MULTILINE)


def _kind(info: str) -> Kind | None:
    """Say what a tag stands for; `None` for a block of Markdown, whose own blocks count."""
    words = re.split(r"[\s,;:{}=]+", info.strip().strip("{}").lstrip("."))
    tag = words[0].lower().lstrip(".") if words else ""
    if not tag:
        return "untagged"
    if tag in _CONTAINER:
        return None
    if _PYTHON.match(tag) or info.split(maxsplit=1)[0].lower().endswith((".py", ".pyi")):
        return "python"
    return "other" if tag in _OTHER else "unknown"


def _closing(
    lines: Sequence[str],
    fences: Sequence[_Fence],
    index: int,
    parses: Callable[[str], bool] | None,
) -> int | None:
    """Find the fence that ends a block: the first at which its text is Python, else the first."""
    opening = fences[index]
    possible = [i for i in range(index + 1, len(fences)) if fences[i].closes(opening)]
    if not possible:
        return None
    if parses is None or len(possible) == 1:
        return possible[0]
    for i in possible[:_MAX_INNER_FENCES]:
        body = _body(lines, opening, fences[i].line)
        if body.strip() and parses(body):
            return i
    # Unterminated, with a fence inside a string: the whole rest may be the block.
    if parses(_body(lines, opening, len(lines))):
        return None
    return possible[0]


def _body(lines: Sequence[str], opening: _Fence, end: int) -> str:
    indent = opening.indent
    body = lines[opening.line + 1 : end]
    if not indent or not all(line.startswith(indent) for line in body if line.strip()):
        return "\n".join(body)
    return "\n".join(line.removeprefix(indent) for line in body)

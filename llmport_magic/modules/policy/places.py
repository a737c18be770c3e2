"""In which line of a text a construct stands.

A node's own line is where its statement's part begins: of a chain of calls over several lines,
and of a text over several lines, that is not the line of what was found in it. Before Python 3.12
the parts of an f-string over several lines have lines that are wrong altogether.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Sequence

_EXACT_FSTRINGS = sys.version_info >= (3, 12)


class Places:
    """The lines of one module's constructs.

    Args:
        source: the module's text.
        nodes: all nodes of what it was parsed to.
    """

    def __init__(self, source: str, nodes: Sequence[ast.AST]) -> None:
        self._lines = re.split(r"\r\n|\r|\n", source)
        self._spans: dict[int, tuple[int, int]] = {}
        self._seen: dict[tuple[int, int, str], int] = {}
        for node in () if _EXACT_FSTRINGS else nodes:
            if isinstance(node, ast.JoinedStr):
                span = (node.lineno, node.end_lineno or node.lineno)
                for part in ast.walk(node):
                    self._spans.setdefault(id(part), span)

    def line_of(self, node: ast.AST, token: str) -> int:
        """Give the line in which a node's word stands, or else the one in which it begins."""
        first = getattr(node, "lineno", 1)
        last = getattr(node, "end_lineno", None) or first
        begin = last if isinstance(node, ast.Attribute) else first
        first, last = self._spans.get(id(node), (first, last))
        word = re.compile(rf"(?<!\w){re.escape(token)}(?!\w)")
        if first <= begin <= last and self._holds(begin, word):
            return begin
        key = (first, last, token)
        if key not in self._seen:
            found = (n for n in range(first, last + 1) if self._holds(n, word))
            self._seen[key] = next(found, min(max(begin, first), last))
        return self._seen[key]

    def _holds(self, number: int, word: re.Pattern[str]) -> bool:
        return number <= len(self._lines) and bool(word.search(self._lines[number - 1]))

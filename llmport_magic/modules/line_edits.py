"""Changing a Python text line by line: what is not changed stays to the letter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from llmport_magic.modules.version import normal_text

_DEFINITION = ("def ", "class ", "async ", "@")
_IMPORT = ("import ", "from ")


@dataclass(slots=True)
class LineEdits:
    """What changes, by the line at which it does; lines count from 0.

    Attributes:
        before: texts that are put in before a line, with blank lines as they belong.
        instead: the line after the last one that a text replaces, and the text; an empty text
            takes the lines out, and leaves one gap where two would be.
    """

    before: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    instead: dict[int, tuple[int, str]] = field(default_factory=dict)

    def written(self, lines: Sequence[str]) -> str:
        """Give the changed text, with one line end at its end."""
        out = _Lines()
        at = 0
        while at <= len(lines):
            for text in self.before.get(at, ()):
                out.insert(text)
            if at == len(lines):
                break
            if at not in self.instead:
                out.keep(lines[at])
                at += 1
                continue
            at, text = self.instead[at]
            if text:
                for line in text.split("\n"):
                    out.keep(line)
            elif at == len(lines) or not lines[at].strip():
                out.close_gap()
        return normal_text("\n".join(out.lines))


class _Lines:
    """The new text as it grows."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._kind = ""
        self._inserted = False

    def keep(self, line: str) -> None:
        """Take over a line; behind an inserted text it may need a gap."""
        if self._inserted and line.strip():
            self._space(_kind(line) or "other")
            self._inserted = False
        self.lines.append(line)
        self._kind = _kind(line) or self._kind

    def insert(self, text: str) -> None:
        """Put in a text with the gap that it needs."""
        added = text.split("\n")
        kind = next((kind for line in added if (kind := _kind(line))), "other")
        self._space(kind)
        self.lines.extend(added)
        self._kind = kind
        self._inserted = True

    def close_gap(self) -> None:
        """Drop the blank lines at the end: as many follow."""
        while self.lines and not self.lines[-1].strip():
            self.lines.pop()

    def _space(self, kind: str) -> None:
        gap = 2 if "definition" in (kind, self._kind) else int(kind != self._kind)
        blank = 0
        while blank < len(self.lines) and not self.lines[-1 - blank].strip():
            blank += 1
        if blank < len(self.lines):
            self.lines.extend([""] * (gap - blank))


def _kind(line: str) -> str:
    """Tell what a line at the margin begins or ends; nothing for a comment and what is indented."""
    if line.startswith(_DEFINITION):
        return "definition"
    if line.startswith(_IMPORT):
        return "import"
    if line.startswith(('"', "'")) or line.endswith(('"""', "'''")):
        return "docstring"
    return "other" if line[:1].isidentifier() else ""

"""What differs between two texts, as lines for a terminal or a cell.

The signs at the beginning of the lines say everything; colour only makes it quicker to see.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

_RED, _GREEN, _CYAN, _BOLD, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[36m", "\x1b[1m", "\x1b[0m"
_MARK, _UNMARK = "\x1b[7m", "\x1b[27m"
_WORDS = re.compile(r"\w+|\s+|.")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Below this share of common text, marks would cover the lines.
_ALIKE = 0.5


def harmless(text: str) -> str:
    """Replace what moves the cursor or sets a title: a text may be a model's or a stranger's."""
    return _CONTROLS.sub("\ufffd", text)


def difference(
    old: str, new: str, *, names: tuple[str, str] = ("", ""), context: int = 3, colour: bool = True
) -> list[str]:
    """Give the unified difference of two texts; nothing where they are equal.

    Args:
        old: the text before.
        new: the text after.
        names: what the two are called; without names there is no head.
        context: how many equal lines stand around a change.
        colour: whether ANSI colours are used, and changed words are marked.
    """
    before, after = (harmless(text).splitlines() for text in (old, new))
    lines = list(difflib.unified_diff(before, after, *names, n=context, lineterm=""))
    head, body = lines[:2] if any(names) else [], lines[2:]
    if not colour:
        return [*head, *body]
    return [*(f"{_BOLD}{line}{_PLAIN}" for line in head), *_coloured(body)]


def _coloured(lines: Sequence[str]) -> Iterator[str]:
    removed: list[str] = []
    added: list[str] = []
    for line in lines:
        if line.startswith("-") and not added:
            removed.append(line[1:])
        elif line.startswith("+"):
            added.append(line[1:])
        else:
            yield from _change(removed, added)
            removed, added = ([line[1:]], []) if line.startswith("-") else ([], [])
            if line.startswith("@@"):
                yield f"{_CYAN}{line}{_PLAIN}"
            elif not line.startswith("-"):
                yield line
    yield from _change(removed, added)


def _change(removed: Sequence[str], added: Sequence[str]) -> Iterator[str]:
    """Colour lines that took each other's place; alike ones with their words marked."""
    pairs = [_marked(old, new) for old, new in zip(removed, added, strict=False)]
    old_lines = [pair[0] for pair in pairs] + list(removed[len(pairs) :])
    new_lines = [pair[1] for pair in pairs] + list(added[len(pairs) :])
    yield from (f"{_RED}-{line}{_PLAIN}" for line in old_lines)
    yield from (f"{_GREEN}+{line}{_PLAIN}" for line in new_lines)


def _marked(old: str, new: str) -> tuple[str, str]:
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return old, new
    left, right = [], []
    for kind, a, b, c, d in matcher.get_opcodes():
        one, other = "".join(before[a:b]), "".join(after[c:d])
        left.append(one if kind == "equal" or not one else f"{_MARK}{one}{_UNMARK}")
        right.append(other if kind == "equal" or not other else f"{_MARK}{other}{_UNMARK}")
    return "".join(left), "".join(right)

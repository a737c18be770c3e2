"""Numbers in nested brackets, as GNN writes them: `{ (0.9, 0.1), (0.1, 0.9) }`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from llmport_magic.gmn.notation.nodes import MAX_DEPTH

Literal: TypeAlias = "int | float | tuple[Literal, ...]"

_PAIRS = {"(": ")", "[": "]", "{": "}"}
_TOKEN = re.compile(r"[(\[{]|[)\]}]|[^\s()\[\]{},;#]+")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


class LiteralError(ValueError):
    """What cannot be read, at a line and a column of the text, from 1."""

    def __init__(self, text: str, line: int, column: int) -> None:
        self.line, self.column = line, column
        super().__init__(text)


def read_literal(lines: Iterable[str], start: int) -> tuple[Literal, int]:
    """Read the literal that begins in the first of some lines.

    A comment after `#` is no part of it; commas between elements may be left out.

    Args:
        lines: the line that it begins in, and all that may be part of it.
        start: where it begins in the first one, or a bracket in the next one that is not empty.

    Returns:
        The number, or the tuples; and how many lines it takes, the last one wholly.

    Raises:
        LiteralError: it is none.
    """
    open_lists: list[tuple[str, list[Literal]]] = []
    found: list[Literal] = []
    line = 1
    for word, line, column in _words(lines, start):
        if word == "\n":
            if found:
                break
        elif found:
            raise LiteralError(f"`{word[:20]}` follows the value", line, column)
        elif word in _PAIRS:
            if len(open_lists) == MAX_DEPTH:
                raise LiteralError(f"more than {MAX_DEPTH} brackets in each other", line, column)
            open_lists.append((_PAIRS[word], []))
        elif line > 1 and not open_lists:
            break
        else:
            value = _value(open_lists, word, line, column)
            (open_lists[-1][1] if open_lists else found).append(value)
    if open_lists:
        raise LiteralError(f"`{open_lists[-1][0]}` is missing at the end", line, 1)
    if not found:
        raise LiteralError("the value is missing", 1, start + 1)
    return found[0], line


def _words(lines: Iterable[str], start: int) -> Iterator[tuple[str, int, int]]:
    """Give the numbers, brackets and ends of lines, with line and column."""
    for number, line in enumerate(lines, 1):
        plain = line.partition("#")[0]
        for token in _TOKEN.finditer(plain, start if number == 1 else 0):
            yield token[0], number, token.start() + 1
        yield "\n", number, len(line) + 1


def shape_of(value: Literal) -> tuple[int, ...]:
    """Give the lengths of a literal's axes; `()` for a number.

    Raises:
        ValueError: its rows differ in length.
    """
    if not isinstance(value, tuple):
        return ()
    shapes = [shape_of(each) for each in value]
    for at, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(
                f"its element {at + 1} has {_size(shape)}, the first {_size(shapes[0])}"
            )
    return (len(value), *(shapes[0] if shapes else ()))


def size_text(shape: tuple[int, ...]) -> str:
    """Say a shape: `2x3`."""
    return "x".join(map(str, shape))


def _size(shape: tuple[int, ...]) -> str:
    return f"{size_text(shape)} numbers" if shape else "one number"


def _value(
    open_lists: list[tuple[str, list[Literal]]], word: str, line: int, column: int
) -> Literal:
    if word not in _PAIRS.values():
        return _number(word, line, column)
    if not open_lists:
        raise LiteralError(f"`{word}` closes nothing", line, column)
    expected, elements = open_lists.pop()
    if word != expected:
        raise LiteralError(f"`{word}` closes what `{expected}` should close", line, column)
    return tuple(elements)


def _number(word: str, line: int, column: int) -> int | float:
    if _WHOLE.fullmatch(word):
        return int(word)
    if _NUMBER.fullmatch(word) and math.isfinite(number := float(word)):
        return number
    raise LiteralError(f"not a number: `{word[:20]}`", line, column)

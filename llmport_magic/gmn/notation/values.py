"""Values as text: numbers, words, texts, lists and constructors, read and written."""

from __future__ import annotations

import json
import re

from llmport_magic.gmn.notation.nodes import MAX_DEPTH, Call, Value
from llmport_magic.gmn.notation.scanner import (
    HIDDEN,
    Findings,
    Scanner,
    TooMuchError,
    number,
    unquoted,
)
from llmport_magic.gmn.notation.spellings import kind_of

_CONSTANTS = {"true": True, "false": False}
_NOTHING = {"none", "null"}
# What would be read as something else than a text, or looks like it.
_RESERVED = {*_CONSTANTS, *_NOTHING, "nan", "inf", "infinity", "node"}


class UnreadableError(Exception):
    """What stands here cannot be read; the finding is recorded."""


class ValueReader:
    """Reads values of one text, and records what is wrong with them."""

    def __init__(self, text: str) -> None:
        self.scan = Scanner(text)
        self.found = Findings()
        self.node = ""
        # Of that node, as it is written.
        self.kind = ""
        # How many brackets are open where something cannot be read.
        self.open = 0

    def value(self, depth: int = 0) -> Value | None:
        """Read a value; `None` is one that is written as `none`.

        Raises:
            UnreadableError: there is none.
        """
        scan = self.scan
        if scan.kind == "number":
            return self._number()
        if scan.kind == "string":
            if scan.piece[0] in "“‘":
                self.warn('a text is written in straight quotes: "…"')
            text = unquoted(scan.piece)
            scan.advance()
            return text
        if scan.kind == "word":
            return self._word(depth)
        if scan.kind == "sign" and scan.piece in "[(":
            return self._list(depth)
        raise self.unreadable(self._not_a_value())

    def _not_a_value(self) -> str:
        scan = self.scan
        if not scan.kind or scan.piece in ("}", "]", ")", ","):
            return "a value is missing here"
        if scan.kind == "infinite":
            return f"{quoted(scan.piece)} is not a finite number"
        if scan.kind == "open":
            line = scan.text[scan.at : scan.at + 30].partition("\n")[0]
            return f"the text that begins with {quoted(line)} has no closing quote"
        if scan.piece == "{":
            such = "goal(LABEL)" if kind_of(self.kind) == "preference" else "by(NAME, […])"
            return f"a block cannot be a value; write a list, or a constructor such as `{such}`"
        if scan.text.startswith(("...", "…"), scan.at):
            return "`...` leaves something out: write every value, or a constructor"
        return f"{quoted(scan.piece)} is no value"

    def _number(self) -> Value:
        scan = self.scan
        value = number(scan.piece)
        if value is None:
            raise self.unreadable(f"{quoted(scan.piece)} is not a number that can be used")
        scan.advance()
        if scan.piece == "%" and not scan.fresh:
            self.warn("a share is written as a number: `0.9`, not `90%`")
            scan.advance()
            return value / 100
        if scan.piece == "/" and not scan.fresh:
            scan.advance()
            below = number(scan.piece) if scan.kind == "number" else None
            if not below:
                raise self.unreadable("`/` stands between two numbers")
            self.warn("a fraction is better written as a number")
            scan.advance()
            return value / below
        return value

    def _word(self, depth: int) -> Value | None:
        scan, word = self.scan, self.scan.piece
        place = scan.place(scan.at)
        scan.advance()
        if scan.piece == "(" and not scan.fresh:
            if not word.isidentifier():
                self.error(f"{quoted(word)} is no constructor's name", place)
                raise UnreadableError
            return self._call(word, depth, scan.place(scan.at))
        if word.lower() in _CONSTANTS:
            return _CONSTANTS[word.lower()]
        # In a list it is a label like any other: nothing, one of the rewards.
        if word.lower() in _NOTHING and not depth:
            return None
        if not word.isidentifier():
            if (value := number(word) if re.fullmatch(r"[+-]?[\d.]+", word) else None) is not None:
                return value
            self.warn(f"a text that is no word is written in quotes: {quoted(word)}", place)
        return word

    def _list(self, depth: int) -> Value:
        """Read a list, or one in round brackets as Python writes a tuple."""
        scan = self.scan
        opening, place = scan.piece, scan.place(scan.at)
        self._check_depth(depth)
        if opening == "[" and (values := scan.numbers()) is not None:
            return values
        scan.advance()
        values_here, comma = self._items(opening, place, depth)
        if opening == "(":
            self.warn("a list is written in square brackets")
            if len(values_here) == 1 and not comma:
                return values_here[0][1]
        return tuple(value for _, value in values_here)

    def _call(self, name: str, depth: int, place: tuple[int, int]) -> Call:
        self._check_depth(depth)
        self.scan.advance()
        items, _ = self._items("(", place, depth, named=True)
        return Call(
            name,
            tuple(value for key, value in items if not key),
            tuple((key, value) for key, value in items if key),
        )

    def _items(
        self, opening: str, place: tuple[int, int], depth: int, *, named: bool = False
    ) -> tuple[list[tuple[str, Value]], bool]:
        """Read what stands up to the closing bracket; tell whether there was a comma."""
        scan, items, comma = self.scan, list[tuple[str, Value]](), False
        closing = "]" if opening == "[" else ")"
        separated = True
        self.open += 1
        while not (scan.kind == "sign" and scan.piece == closing):
            is_key = scan.kind in ("word", "string") and scan.key_ahead()
            ended = not scan.kind or scan.piece in ("}", "]", ")") or scan.header_here()
            if ended or (is_key and not named):
                self.error(f"a `{closing}` is missing for this `{opening}`", place)
                self.open = 0
                raise UnreadableError
            if not separated:
                self._separated(items[-1][1])
            key = ""
            if is_key:
                key = scan.piece
                scan.advance()
                scan.advance()
            value = self.value(depth + 1)
            items.append((key, "" if value is None else value))
            separated = scan.kind == "sign" and scan.piece in ",;"
            if separated:
                comma = True
                scan.advance()
        scan.advance()
        self.open -= 1
        return items, comma

    def _separated(self, before: Value) -> None:
        """Take a missing comma between numbers or lists; between words it could be one text."""
        if isinstance(before, str) and self.scan.kind in ("word", "string"):
            raise self.unreadable(
                f"a comma is missing before {quoted(self.scan.piece)}, or quotes around both words"
            )
        self.warn("the items of a list are separated by commas")

    def _check_depth(self, depth: int) -> None:
        if depth >= MAX_DEPTH:
            raise self.unreadable(f"lists and calls are nested deeper than {MAX_DEPTH}")

    # -- findings ----------------------------------------------------------------------------

    def unreadable(self, text: str) -> UnreadableError:
        """Record an error where the reader stands, and give what to raise."""
        self.error(text, self.scan.place(self.scan.at))
        return UnreadableError()

    def error(self, text: str, place: tuple[int, int]) -> None:
        """Record an error."""
        self.found.error(text, place, self.node)

    def warn(self, text: str, place: tuple[int, int] | None = None) -> None:
        """Record a warning, where the reader stands unless a place is given."""
        self.found.warn(text, place or self.scan.place(self.scan.at), self.node)


def quoted(text: str) -> str:
    """Show a piece of somebody's text in a finding: on one line, and not too much of it."""
    flat = " ".join(HIDDEN.sub(" ", text[:200]).split())
    return f"`{flat if len(flat) <= 40 else flat[:39] + '…'}`"


def read_value(text: str) -> Value:
    """Read one value.

    Raises:
        ValueError: it is none, or more than one.
    """
    reader = ValueReader(text)
    try:
        value = reader.value()
        if reader.scan.kind:
            reader.error(f"{quoted(reader.scan.piece)} is too much", (1, 1))
    except (UnreadableError, TooMuchError):
        value = None
    wrong = [each.text for each in reader.found.all if each.level == "error"]
    if wrong or value is None:
        raise ValueError(wrong[0] if wrong else f"{quoted(text)} is no value")
    return value


def array_of(value: Value) -> Value:
    """Give what stands for an array: `identity` and `"grid(5, 5)"` are constructors, too."""
    if isinstance(value, tuple):
        return tuple(array_of(each) if _is_written_call(each) else each for each in value)
    if not isinstance(value, str):
        return value
    try:
        read = read_value(value)
    except ValueError:
        return value
    return Call(read) if isinstance(read, str) and read.isidentifier() else read


def _is_written_call(value: Value) -> bool:
    return isinstance(value, tuple) or (isinstance(value, str) and value.endswith(")"))


def write_value(value: Value) -> str:
    """Write a value as `read_value` reads it."""
    if isinstance(value, Call) and not value.arguments and not value.named:
        return f"{value.name}()" if value.name.lower() in _RESERVED else value.name
    return _written(value)


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return write_text_value(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_written(each) for each in value)}]"
    if isinstance(value, Call):
        named = [f"{key}={_written(each)}" for key, each in value.named]
        return f"{value.name}({', '.join([*map(_written, value.arguments), *named])})"
    return repr(value)


def write_text_value(text: str) -> str:
    """Write a text: as it is where it is a word, else in quotes."""
    if text.isidentifier() and text.lower() not in _RESERVED:
        return text
    written = json.dumps(text, ensure_ascii=False)
    return HIDDEN.sub(_escaped, written)


def _escaped(found: re.Match[str]) -> str:
    units = found.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2))

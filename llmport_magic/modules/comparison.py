"""Whether what an example gave is what it shall give: by value where both are values.

Literals are equal as values: the order of sets and dicts does not matter, a list is no tuple, a
number has the digits that the example writes. What is no literal compares by its shape as an
expression (`Point(x=1.0, y=2)`), and else as text, with `...` for anything and any white space.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from llmport_magic.modules.examples import Example
from llmport_magic.modules.gate import check_text
from llmport_magic.modules.parsing import parse

_MAX_VALUE_TEXT = 100_000
_MAX_UNORDERED = 300
# A float has about 16 digits; the last one differs between ways of computing it.
_SAME_FLOAT = 1e-14
_MAX_EXPONENT = 300
_NAMED_FLOATS = {"inf": math.inf, "nan": math.nan}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the sandbox saw of one example.

    Attributes:
        value: the text of the one value that it showed; `None` when it showed none or several.
        printed: what it printed; every value's text is in here when there were several.
        error: the exception's type, or an empty text.
        message: the exception's text.
        bases: the names of the exception's classes, its own first.
        missing: the module that an `ImportError` was about.
    """

    value: str | None = None
    printed: str = ""
    error: str = ""
    message: str = ""
    bases: tuple[str, ...] = ()
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether an example holds, and what it gave, in one line."""

    passed: bool
    got: str


def compare(example: Example, seen: Observation) -> Comparison:
    """Compare what an example shall give with what was seen."""
    if seen.error:
        got = f"{seen.error}: {seen.message}" if seen.message else seen.error
        return Comparison(_same_error(example, seen), f"raised {one_line(got)}")
    text = "\n".join(part for part in (seen.printed.rstrip("\n"), seen.value) if part is not None)
    text = text if seen.printed else (seen.value or "")
    got = one_line(text) or "nothing"
    if example.raises:
        return Comparison(passed=False, got=got)
    if not example.expected.strip():
        return Comparison(passed=True, got=got)
    if seen.value is None and not seen.printed:
        return Comparison(example.expected.strip() == "None", "None")
    if not seen.printed and seen.value is not None:
        return Comparison(same_value(example.expected, seen.value), got)
    same = same_text(example.expected, text)
    if not same and seen.value is None and not re.search(r"[\"']", example.expected):
        same = same_value(example.expected, text)
    return Comparison(same, got)


def one_line(text: str, limit: int = 120) -> str:
    """Put a text on one line and cut it."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def _same_error(example: Example, seen: Observation) -> bool:
    if not example.raises:
        return False
    name, colon, message = example.raises.partition(":")
    name = name.strip().rpartition(".")[2]
    ignore = "IGNORE_EXCEPTION_DETAIL" in example.options
    if not colon or ignore:
        return name in seen.bases or name == seen.error
    return name == seen.error and same_text(message, seen.message)


def same_text(expected: str, got: str) -> bool:
    """Compare as text: any white space is one blank, `...` is anything."""
    wanted, given = " ".join(expected.split()), " ".join(got.split())
    if wanted == given:
        return True
    if "..." not in wanted:
        return False
    pieces = [piece.strip() for piece in wanted.split("...")]
    if not given.startswith(pieces[0]) or not given.endswith(pieces[-1]):
        return False
    position, end = len(pieces[0]), len(given) - len(pieces[-1])
    for piece in pieces[1:-1]:
        found = given.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return position <= end


def same_value(expected: str, got: str) -> bool:
    """Compare two texts as values, else as text."""
    if same_text(expected, got):
        return True
    wanted, given = _expression(expected), _expression(got)
    if wanted is None or given is None:
        return False
    try:
        return _Matcher(expected.strip()).same(wanted, given)
    except RecursionError:
        return False


def _expression(text: str) -> ast.expr | None:
    text = text.strip()
    if len(text) > _MAX_VALUE_TEXT or check_text(text) is not None:
        return None
    try:
        return parse(text, "eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


class _Matcher:
    """Compares two expressions; knows how many digits the expected one writes."""

    def __init__(self, text: str) -> None:
        self._lines = text.encode().split(b"\n")

    def same(self, wanted: ast.expr, given: ast.expr) -> bool:
        """Compare two expressions as values."""
        if isinstance(wanted, ast.Constant) and wanted.value is ...:
            return True
        number = self._number(wanted)
        if number is not None:
            return self._same_number(number, given)
        return type(wanted) is type(given) and self._same_kind(wanted, given)

    def _same_kind(self, wanted: ast.expr, given: ast.expr) -> bool:  # noqa: PLR0911 - one a kind
        match wanted, given:
            case ast.BinOp(), ast.BinOp():
                same = self._in_order([wanted.left, wanted.right], [given.left, given.right])
                return same and type(wanted.op) is type(given.op)
            case ast.Constant(), ast.Constant():
                return type(wanted.value) is type(given.value) and wanted.value == given.value
            case ast.List(), ast.List():
                return self._in_order(wanted.elts, given.elts)
            case ast.Tuple(), ast.Tuple():
                return self._in_order(wanted.elts, given.elts)
            case ast.Set(), ast.Set():
                return self._in_any_order(
                    [(item,) for item in wanted.elts], [(item,) for item in given.elts]
                )
            case ast.Dict(), ast.Dict():
                return self._same_dict(wanted, given)
            case ast.Call(), ast.Call():
                return self._same_call(wanted, given)
        return ast.dump(wanted) == ast.dump(given)

    def _in_order(self, wanted: Sequence[ast.expr], given: Sequence[ast.expr]) -> bool:
        if len(wanted) != len(given):
            return False
        return all(self.same(one, other) for one, other in zip(wanted, given, strict=True))

    def _in_any_order(
        self, wanted: Sequence[tuple[ast.expr, ...]], given: Sequence[tuple[ast.expr, ...]]
    ) -> bool:
        if len(wanted) != len(given):
            return False
        left = sorted(given, key=_dumped)
        wanted = sorted(wanted, key=_dumped)
        if all(self._in_order(one, other) for one, other in zip(wanted, left, strict=True)):
            return True
        if len(left) > _MAX_UNORDERED:
            return False
        for item in wanted:
            found = next((other for other in left if self._in_order(item, other)), None)
            if found is None:
                return False
            left.remove(found)
        return True

    def _same_dict(self, wanted: ast.Dict, given: ast.Dict) -> bool:
        if None in wanted.keys or None in given.keys:
            return False
        pairs = [(k, v) for k, v in zip(wanted.keys, wanted.values, strict=True) if k is not None]
        others = [(k, v) for k, v in zip(given.keys, given.values, strict=True) if k is not None]
        return self._in_any_order(pairs, others)

    def _same_call(self, wanted: ast.Call, given: ast.Call) -> bool:
        named = sorted(wanted.keywords, key=lambda keyword: keyword.arg or "")
        other = sorted(given.keywords, key=lambda keyword: keyword.arg or "")
        return (
            ast.dump(wanted.func) == ast.dump(given.func)
            and self._in_order(wanted.args, given.args)
            and [keyword.arg for keyword in named] == [keyword.arg for keyword in other]
            and self._in_order([k.value for k in named], [k.value for k in other])
        )

    def _number(self, node: ast.expr) -> tuple[complex, float] | None:
        """Read a number and half of the last digit that it writes."""
        value = number_of(node)
        if value is None or isinstance(value, bool):
            return None
        inner = node.operand if isinstance(node, ast.UnaryOp) else node
        if isinstance(value, int) or isinstance(inner, ast.Name):
            return value, 0.0
        line = self._lines[inner.lineno - 1][inner.col_offset : inner.end_col_offset]
        try:
            digits = Decimal(line.decode().replace("_", "").rstrip("jJ"))
        except InvalidOperation:
            return value, 0.0
        exponent = digits.as_tuple().exponent
        # A float's own digits end there; `1e400` is infinite and has none.
        if not isinstance(exponent, int) or abs(exponent) > _MAX_EXPONENT:
            return value, 0.0
        return value, 0.5 * 10.0**exponent

    def _same_number(self, wanted: tuple[complex, float], given: ast.expr) -> bool:
        value, tolerance = wanted
        other = number_of(given)
        if other is None or isinstance(other, bool):
            return False
        if isinstance(value, int) and isinstance(other, int):
            return value == other
        if isinstance(value, complex) != isinstance(other, complex):
            return False
        try:
            return _is_near(value, other, tolerance)
        except OverflowError:
            return False


def _is_near(value: complex, other: complex, tolerance: float) -> bool:
    if value != value or other != other:  # noqa: PLR0124 - only nan differs from itself
        return value != value and other != other  # noqa: PLR0124 - NaN
    if value == other or math.isinf(abs(value)):
        return value == other
    return abs(value - other) <= tolerance + _SAME_FLOAT * abs(value)


def _dumped(items: tuple[ast.expr, ...]) -> str:
    return ast.dump(items[0])


def number_of(node: ast.expr) -> complex | None:
    """Read a number, with its sign; `inf` and `nan` are numbers too."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = number_of(node.operand)
        if inner is None or isinstance(inner, bool):
            return None
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.Name):
        return _NAMED_FLOATS.get(node.id)
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, complex)):
        return node.value
    return None

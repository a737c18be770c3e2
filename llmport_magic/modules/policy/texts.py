"""Texts that stand in code, also those that are put together from pieces of text."""

from __future__ import annotations

import ast
import re

_MAX_PIECES = 60
_SAME_LETTERS = {"lower", "upper", "strip", "title", "capitalize", "casefold"}


def text_of(node: ast.expr) -> str | None:
    """Give the text that an expression of constants is, or `None` for any other expression.

    Sums, f-strings, `join` and `[::-1]` of constants are put together, as Python would.
    """
    pieces: list[str] = []
    waiting: list[ast.expr] = [node]
    while waiting:
        item = waiting.pop()
        inner = _pieces(item)
        if inner is not None:
            waiting.extend(reversed(inner))
            continue
        text = _whole(item)
        if text is None or len(pieces) == _MAX_PIECES:
            return None
        pieces.append(text)
    return "".join(pieces)


def spelled(node: ast.expr) -> tuple[str, set[int]]:
    """Give the known text in an expression, and the nodes that went into it.

    What is not known of a sum or an f-string stands as a NUL in it.
    """
    pieces: list[str] = []
    parts: set[int] = set()
    waiting: list[ast.expr] = [node]
    while waiting:
        item = waiting.pop()
        inner = _pieces(item)
        text = None if inner is not None else _whole(item)
        waiting.extend(reversed(inner or ()))
        if inner is None:
            pieces.append("\0" if text is None else text)
        if inner is not None or isinstance(item, ast.Constant):
            parts.add(id(item))
    return "".join(pieces), parts


def start_of(node: ast.expr) -> str:
    """Give the text that an expression is known to begin with; empty where nothing is known."""
    return _edge(node, 0)


def end_of(node: ast.expr) -> str:
    """Give the text that an expression is known to end with; empty where nothing is known."""
    return _edge(node, -1)


def _edge(node: ast.expr, side: int) -> str:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        # `"is_%s" % name` begins and ends as its pattern does.
        pattern = text_of(node.left) or "%"
        return pattern.split("%")[0] if side == 0 else re.split(r"%[-+ #0-9.]*\w", pattern)[-1]
    for _ in range(_MAX_PIECES):
        inner = _pieces(node)
        if not inner:
            break
        node = inner[side]
    return text_of(node) or ""


def is_made(node: ast.expr) -> bool:
    """Tell a name that the code puts together from one that it was given.

    A variable, an attribute, an item, and these as text or in other letters, are given.
    """
    current: ast.expr | None = node
    for _ in range(_MAX_PIECES):
        if isinstance(current, (ast.Name, ast.Attribute, ast.Constant)):
            return False
        current = _taken_from(current) if current else None
    return True


def _taken_from(node: ast.expr) -> ast.expr | None:
    """Give what an item, a text or other letters were taken from; `None` for all else."""
    if isinstance(node, ast.Subscript):
        backwards = isinstance(node.slice, ast.Slice) and node.slice.step is not None
        # An item of a table that stands in the code is a piece of text like any other.
        named = isinstance(node.value, (ast.Name, ast.Attribute, ast.Subscript))
        return node.value if named and not backwards else None
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Name):
        return node.args[0] if node.func.id == "str" and len(node.args) == 1 else None
    if isinstance(node.func, ast.Attribute) and node.func.attr in _SAME_LETTERS and not node.args:
        return node.func.value if text_of(node.func.value) is None else None
    return None


def _pieces(node: ast.expr) -> list[ast.expr] | None:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [node.left, node.right]
    if isinstance(node, ast.JoinedStr):
        return list(node.values)
    if isinstance(node, ast.FormattedValue) and node.format_spec is None:
        return [node.value]
    return None


def _whole(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Constant):
        return _reversed(node.value.value, node.slice)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        return _joined(node.func, node.args[0])
    return None


def _reversed(text: object, part: ast.expr) -> str | None:
    if not isinstance(text, str) or not isinstance(part, ast.Slice) or part.lower or part.upper:
        return None
    step = part.step
    backwards = isinstance(step, ast.UnaryOp) and isinstance(step.op, ast.USub)
    return text[::-1] if backwards else None


def _joined(function: ast.Attribute, items: ast.expr) -> str | None:
    glue = function.value
    if function.attr != "join" or not isinstance(glue, ast.Constant):
        return None
    if not isinstance(items, (ast.List, ast.Tuple)) or not isinstance(glue.value, str):
        return None
    texts = [item.value for item in items.elts if isinstance(item, ast.Constant)]
    known = [text for text in texts if isinstance(text, str)]
    return glue.value.join(known) if len(known) == len(items.elts) else None

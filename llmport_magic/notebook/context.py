"""What of the notebook goes into a prompt: only what the user names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from llmport_magic.errors import UsageError

_FIELD = re.compile(r"\{\{\{\{|\}\}\}\}|\{\{(.+?)\}\}", re.DOTALL)
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
_LONGEST_VALUE = 20_000
_LONGEST_DESCRIPTION = 4_000


def render(prompt: str, namespace: Mapping[str, Any]) -> str:
    """Fill in `{{ expression }}` once from the user's namespace.

    `{{{{` stands for a literal `{{` and `}}}}` for `}}`; single braces are text. What an
    expression gives is inserted as it is, and never looked at again.

    Raises:
        UsageError: an expression fails, or its value would never look the same twice.
    """

    def fill(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][:2]
        return _value_of(match[1].strip(), namespace)

    return _FIELD.sub(fill, prompt)


def _value_of(expression: str, namespace: Mapping[str, Any]) -> str:
    try:
        # The user's own expression in the user's own namespace, as in any cell.
        text = str(eval(expression, dict(namespace)))  # noqa: S307
    except Exception as error:  # noqa: BLE001 - whatever the expression raises is the user's
        raise UsageError(
            f"`{{{{ {expression} }}}}` cannot be filled in: {type(error).__name__}: {error}"
        ) from None
    if _ADDRESS.search(text):
        raise UsageError(
            f"`{{{{ {expression} }}}}` is an object without a text of its own ({text[:60]}): name "
            "what of it the prompt needs"
        )
    if len(text) > _LONGEST_VALUE:
        raise UsageError(
            f"`{{{{ {expression} }}}}` is {len(text):,} characters long, more than "
            f"{_LONGEST_VALUE:,}: name a part of it"
        )
    return text


def describe(names: tuple[str, ...], namespace: Mapping[str, Any]) -> str:
    """Describe variables for a model: types, shapes and signatures, never values or rows.

    Raises:
        UsageError: a name is not in the namespace.
    """
    for name in names:
        if name not in namespace:
            raise UsageError(f"`--with {name}`: there is no variable `{name}` in this notebook")
    return "\n\n".join(f"{name}: {_describe(namespace[name])}" for name in names)


def _describe(value: Any) -> str:
    if hasattr(value, "dtypes") and hasattr(value, "columns"):
        text = _describe_frame(value)
    elif hasattr(value, "dtype") and hasattr(value, "shape"):
        text = f"{type(value).__name__} of shape {tuple(value.shape)}, dtype {value.dtype}"
    elif inspect.isclass(value) or inspect.isroutine(value):
        text = _describe_callable(value)
    elif isinstance(value, (dict, list, tuple, set, frozenset)):
        text = f"{type(value).__name__} of {len(value)} items: {_shape_of(value)}"
    else:
        text = f"{type(value).__module__}.{type(value).__qualname__}"
    return text[:_LONGEST_DESCRIPTION]


def _describe_frame(frame: Any) -> str:
    rows, columns = frame.shape
    missing = frame.isna().sum() if hasattr(frame, "isna") else {}
    lines = [f"{type(frame).__name__} of {rows} rows and {columns} columns"]
    for column in list(frame.columns)[:100]:
        count = int(missing[column]) if column in missing else 0
        note = f", {count} missing" if count else ""
        lines.append(f"  {column!r}: {frame.dtypes[column]}{note}")
    return "\n".join(lines)


def _describe_callable(value: Any) -> str:
    try:
        signature = f"{value.__name__}{inspect.signature(value)}"
    except (TypeError, ValueError):
        signature = getattr(value, "__name__", repr(type(value)))
    documentation = inspect.getdoc(value) or ""
    kind = "class" if inspect.isclass(value) else "function"
    return f"{kind} {signature}\n{documentation}".rstrip()


def _shape_of(value: Any) -> str:
    if isinstance(value, dict):
        pairs = list(value.items())[:20]
        return ", ".join(f"{key!r}: {type(item).__name__}" for key, item in pairs)
    kinds = sorted({type(item).__name__ for item in list(value)[:1000]})
    return f"of {', '.join(kinds)}" if kinds else "empty"

"""Parse written code in any thread, without a word of Python's in between."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Literal, overload

# The file that written code is said to be in while it has none.
CANDIDATE = "<candidate>"
_OURS = re.escape(CANDIDATE) + r"\Z"
_TIMES = 20


@overload
def parse(source: str) -> ast.Module: ...
@overload
def parse(source: str, mode: Literal["eval"]) -> ast.Expression: ...
def parse(source: str, mode: Literal["exec", "eval"] = "exec") -> ast.mod:
    """Do what `ast.parse` does, and do it again where another thread broke into it.

    In Python 3.11 an interpreter has one counter of depth for all its threads. A garbage collection
    halfway through a tree can let another thread parse, which leaves the counter elsewhere:
    "SystemError: AST constructor recursion depth mismatch"
    (https://github.com/python/cpython/issues/106905, read 2026-11-21).

    What Python warns of in the text (`x is 1`, unknown escapes) is neither shown nor made an error,
    nor is it where the text is compiled as the file `CANDIDATE` afterwards.

    Args:
        source: a module's text, or an expression's with `mode="eval"`.
        mode: what the text is.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as `ast.parse` does.
    """
    _hush()
    for _ in range(_TIMES):
        try:
            return ast.parse(source, CANDIDATE, mode)
        except SystemError as error:
            if "recursion depth" not in str(error):
                raise
    return ast.parse(source, CANDIDATE, mode)


def _hush() -> None:
    """Let Python warn of nothing in a candidate.

    One filter of our own stays. `warnings.catch_warnings` would put back what the filters were
    before, and with it undo whatever another thread has set meanwhile.
    """
    first = warnings.filters[0] if warnings.filters else None
    if first is None or first[0] != "ignore" or getattr(first[3], "pattern", None) != _OURS:
        warnings.filterwarnings("ignore", module=_OURS)

"""What an expression gave, written as an example of a prompt, or why it cannot stand there."""

from __future__ import annotations

import re

from llmport_magic.errors import UsageError
from llmport_magic.modules.examples import parse_examples
from llmport_magic.modules.gate import check_text
from llmport_magic.secrets import redact

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}")
_MOST_LINES = 20
_LONGEST = 4_000


def example_of_value(expression: str, value: object, printed: str = "") -> str:
    """Write an expression and what it gave as doctest does: what was printed, then the repr.

    Raises:
        UsageError: for what would not hold again, or says too much for an example.
    """
    if type(value).__module__ == "numpy" and hasattr(value, "item") and not _shape(value):
        value = value.item()  # examples are compared by value: `np.float64(1.0)` is 1.0
    shown = "" if value is None else repr(value)
    return _example(expression, f"{printed.rstrip()}\n{shown}".strip("\n"))


def example_of_error(expression: str, error: BaseException) -> str:
    """Write an expression and the error that it raised.

    Raises:
        UsageError: as for a value.
    """
    message = f"{type(error).__name__}: {error}".rstrip(": ")
    return _example(expression, f"Traceback (most recent call last):\n    ...\n{message}")


def _shape(value: object) -> tuple[int, ...]:
    return tuple(getattr(value, "shape", ()))


def _example(expression: str, gave: str) -> str:
    lines = gave.split("\n") if gave else []
    if _ADDRESS.search(gave):
        raise UsageError(
            f"`{expression}` gives an object without a text of its own "
            f"({_ADDRESS.sub('0x…', lines[0])[:80]}), which is another one each time: keep what "
            "matters of it, as in `.name` or `len(…)`"
        )
    if len(lines) > _MOST_LINES or len(gave) > _LONGEST:
        raise UsageError(
            f"`{expression}` gives {len(gave):,} characters in {len(lines):,} "
            f"line{'s' * (len(lines) != 1)}, more than "
            f"{_MOST_LINES} lines or {_LONGEST:,} characters: keep a part or a sum of it"
        )
    text = "\n".join([f">>> {expression}", *(line.rstrip() or "<BLANKLINE>" for line in lines)])
    if redact(text) != text:
        raise UsageError(
            f"`{expression}` or what it gives holds something that looks like a key, and a prompt "
            "is sent and stored: keep an expression without it"
        )
    if (why := check_text(text)) is not None:
        raise UsageError(f"what `{expression}` gives cannot stand in a prompt: {why}")
    found = parse_examples(text)
    wanted = "\n".join(line.rstrip() for line in lines)
    is_read_back = len(found) == 1 and found[0].source == expression
    if not is_read_back or (found[0].raises is None and found[0].expected != wanted):
        raise UsageError(
            f"what `{expression}` gives would not be read back as one example ({lines[0][:60]!r}): "
            "compare it inside the expression, as in `… == 'text'`"
        )
    return text

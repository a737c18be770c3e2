"""What the user should know of a request before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmport_magic.progress import ModuleRequest, Noted
from llmport_magic.secrets import looks_like_key

if TYPE_CHECKING:
    from llmport_magic.modules.examples import Example


def cautions(request: ModuleRequest, examples: Sequence[Example]) -> list[Noted]:
    """Say what of a request is probably not meant so.

    Args:
        request: what is asked for.
        examples: those of its prompt.
    """
    found = []
    if line := _line_of_key(request.prompt):
        found.append(
            f"line {line} of the prompt has what looks like a key: it is sent as it stands, and "
            "masked in the log; if it is one, stop the cell and take it out"
        )
    if examples and request.name is None:
        found.append(
            "the examples are not checked: a cell is not run, `%%llmport NAME` makes a module"
        )
    elif taken := _perhaps_forgotten(request, examples):
        found.append(
            f"the examples use `{'`, `'.join(taken)}`, which your notebook has, too: unless the "
            f"module is to define it, stop the cell and name it with `--with {','.join(taken)}`"
        )
    return [Noted(text) for text in found]


def _perhaps_forgotten(request: ModuleRequest, examples: Sequence[Example]) -> tuple[str, ...]:
    """Name the notebook's variables in the examples of which the prompt speaks.

    Words cannot tell whether the module shall define them: they are not refused as others are.
    """
    from llmport_magic.modules.examples import unknown_names

    others = request.user_names - request.variables
    return unknown_names(examples, request.name or "", user_names=others)


def _line_of_key(prompt: str) -> int:
    """Give the first line that holds something like a key, or 0."""
    if not looks_like_key(prompt):
        return 0
    lines = enumerate(prompt.splitlines(), 1)
    # A known secret may have line breaks; none of its lines is one then.
    return next((number for number, line in lines if looks_like_key(line)), 1)

"""Whether the example is wrong and not the code: answers that agree with each other against it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmport_magic.modules.parsing import parse

if TYPE_CHECKING:
    from llmport_magic.modules.strategy import AttemptRecord
    from llmport_magic.modules.verdict import ExampleOutcome

# Samples of a small model err alike by chance; a large one was told what the example says and
# gave its own value again.
_AGREE_SMALL, _AGREE_LARGE = 3, 2
# What stands in the place of a value where an example raised or did not end.
_NO_VALUE = ("raised ", "did not ", "it ", "the ")


def questioned(history: Sequence[AttemptRecord], size: str | None) -> str | None:
    """Say which example is doubtful and what to do; `None` where none is.

    An answer speaks against an example when it gives another value for it and all other examples
    pass. Of a small model only different programs count.

    Args:
        history: the attempts that failed.
        size: of the model.
    """
    against: dict[tuple[str, int, str], list[AttemptRecord]] = {}
    for record in history:
        outcome = _only_other_value(record.examples)
        if outcome is not None:
            key = (outcome.source, outcome.line, outcome.got)
            against.setdefault(key, []).append(record)
    needed = _AGREE_SMALL if size == "small" else _AGREE_LARGE
    for (source, line, got), records in against.items():
        programs = {_program(record.source) for record in records}
        if (len(programs) if size == "small" else len(records)) < needed:
            continue
        expected = next(o.expected for o in records[-1].examples if o.line == line)
        return (
            f"{len(records)} of {len(history)} answers give {got} for `{source}`, your example "
            f"says {' '.join(expected.split())}: is the example right? If not, correct it (line "
            f"{line} of the prompt); if it is, say in the prompt how its value comes about"
        )
    return None


def _only_other_value(examples: Sequence[ExampleOutcome]) -> ExampleOutcome | None:
    """Give the one example for which an answer has another value, where all others pass."""
    failed = [outcome for outcome in examples if not outcome.passed]
    if len(failed) != 1 or not failed[0].got or failed[0].got.startswith(_NO_VALUE):
        return None
    return failed[0]


def _program(source: str) -> str:
    """Give what a text is as a program: comments and spaces make no other one."""
    try:
        return ast.dump(parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source

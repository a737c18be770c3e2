"""The models of one provider as a table of plain text: window, prices, and what ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmport_magic.llm.retirement import has_ended

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import LLMProfile

_HEAD = ("model", "window", "input", "cached", "output", "")
_NOTE = "window in tokens, prices in US dollars for a million tokens; - is not known"
# A notebook's cell breaks a longer line within a word.
_WIDEST = 80
_WIDEST_NAME = 36


def model_table(profiles: Iterable[LLMProfile]) -> list[str]:
    """Give the lines of the table; none where no model is known."""
    rows = [_cells(profile) for profile in profiles]
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    widths[0] = min(widths[0], _WIDEST_NAME)
    lines = [line for row in (_HEAD, *rows) for line in _lines(row, widths)]
    return [*lines, f"    {_NOTE}"]


def _lines(row: tuple[str, ...], widths: list[int]) -> list[str]:
    """Give a row in one line, or its note in a second one where both are too long."""
    name, *numbers, note = row
    cells = [name.ljust(widths[0])]
    cells += [cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True)]
    line = "    " + "  ".join(cells).rstrip()
    if not note:
        return [line]
    whole = f"{line}  {note}"
    return [whole] if len(whole) <= _WIDEST else [line, f"      {note}"]


def _cells(profile: LLMProfile) -> tuple[str, ...]:
    known = profile.capabilities
    window, most = known.max_context_window, known.priced_prompt_tokens
    note = f"up to {most:,} tokens of prompt" if most else ""
    if has_ended(profile):
        instead = f": use {profile.replacement}" if profile.replacement else ""
        note = f"ended {profile.retired_on}{instead}"
    elif profile.retired_on:
        note = f"until {profile.retired_on}, then {profile.replacement or 'another'}"
    return (
        profile.name,
        f"{window:,}" if window else "-",
        _price(known.input_cost_per_1k_tokens),
        _price(known.cached_input_cost_per_1k_tokens),
        _price(known.output_cost_per_1k_tokens),
        note,
    )


def _price(for_a_thousand: float | None) -> str:
    return "-" if for_a_thousand is None else f"{for_a_thousand * 1000:.10g}"

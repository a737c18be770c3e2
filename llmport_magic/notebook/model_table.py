"""The models of one provider as a table of plain text: window, prices, and what ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import LLMProfile

_HEAD = ("model", "window", "input", "cached", "output", "")
_NOTE = "window in tokens, prices in US dollars for a million tokens; - is not known"


def model_table(profiles: Iterable[LLMProfile]) -> list[str]:
    """Give the lines of the table; none where no model is known."""
    rows = [_cells(profile) for profile in profiles]
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    lines = [
        "    "
        + "  ".join(
            cell.rjust(width) if 0 < place < len(row) - 1 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (_HEAD, *rows)
    ]
    return [*lines, f"    {_NOTE}"]


def _cells(profile: LLMProfile) -> tuple[str, ...]:
    known = profile.capabilities
    window, most = known.max_context_window, known.priced_prompt_tokens
    note = f"up to {most:,} tokens of prompt" if most else ""
    if profile.retired_on:
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

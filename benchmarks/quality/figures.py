"""What the outcomes come to: rates with intervals, and a table."""

from __future__ import annotations

import math
import random
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roads import Outcome

Pair = tuple["Outcome", "Outcome"]
_Z = 1.959964  # 95 % of a normal distribution lie within so many standard deviations
_DRAWS = 10_000
_SEED = 5


def wilson(passed: int, of: int) -> tuple[float, float]:
    """Give Wilson's 95 % interval of a rate."""
    if not of:
        return 0.0, 1.0
    rate, square = passed / of, _Z * _Z
    middle = (rate + square / (2 * of)) / (1 + square / of)
    reach = _Z * math.sqrt(rate * (1 - rate) / of + square / (4 * of * of)) / (1 + square / of)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def ratio(pairs: Sequence[Pair], what: str = "right") -> tuple[float, float, float]:
    """Give how many times as many tasks the second road solves, with a 95 % interval.

    What counts as solved is `right`, or `hidden` alone.

    Tasks are drawn with replacement, both roads of a task together, 10,000 times by a fixed seed.
    """
    draw = random.Random(_SEED)
    values = [(getattr(first, what), getattr(second, what)) for first, second in pairs]

    def of(drawn: Sequence[tuple[bool, bool]]) -> float:
        first, second = sum(one for one, _ in drawn), sum(two for _, two in drawn)
        return second / first if first else math.inf

    drawn = sorted(of(draw.choices(values, k=len(values))) for _ in range(_DRAWS))
    return of(values), drawn[int(0.025 * _DRAWS)], drawn[int(0.975 * _DRAWS)]


def row(name: str, outcomes: Sequence[Outcome]) -> str:
    """Give one line of the table."""
    right = sum(outcome.right for outcome in outcomes)
    low, high = wilson(right, len(outcomes))
    handed = sum(outcome.stored for outcome in outcomes)
    wrong = sum(outcome.stored and not outcome.right for outcome in outcomes)
    cells = [
        name,
        f"{right} of {len(outcomes)}",
        f"{right / len(outcomes):.0%} ({low:.0%} to {high:.0%})",
        str(sum(outcome.hidden for outcome in outcomes)),
        str(handed),
        str(wrong),
        f"{statistics.mean(outcome.attempts for outcome in outcomes):.2f}",
        f"{statistics.mean(outcome.completion_tokens for outcome in outcomes):.0f}",
        f"{statistics.mean(outcome.prompt_tokens for outcome in outcomes):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


HEADER = """\
| | right | rate (95 %) | hidden | handed over | of them wrong | attempts | written | read |
|---|---|---|---|---|---|---|---|---|"""


def table(groups: dict[str, Sequence[Pair]]) -> str:
    """Give the table of one model: two lines and the ratio for each group of tasks."""
    lines = [HEADER]
    ratios = []
    for name, pairs in groups.items():
        if pairs:
            lines.append(row(f"{name}: one call", [first for first, _ in pairs]))
            lines.append(row(f"{name}: pipeline", [second for _, second in pairs]))
            value, low, high = ratio(pairs)
            hidden, least, most = ratio(pairs, "hidden")
            ratios.append(
                f"- {name}: {value:.2f} times as many right ({low:.2f} to {high:.2f}); by the "
                f"hidden examples alone {hidden:.2f} ({least:.2f} to {most:.2f})"
            )
    return "\n".join([*lines, "", *ratios])

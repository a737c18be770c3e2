"""What may be spent on one cell, and what ends the asking: decided here and nowhere else.

Pure functions; what is over is told with its number, where it was set and how to raise it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from llmport_magic.errors import ConfigError
from llmport_magic.llm.cost import cost_of_usage
from llmport_magic.modules.questioned import questioned

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import LLMCapabilities
    from llmport_magic.modules.strategy import AttemptRecord
    from llmport_magic.settings import Settings

Limit: TypeAlias = Literal[
    "tries", "budget_tokens", "budget_seconds", "budget_dollars", "max_tokens", "example"
]


class HasSize(Protocol):
    """What the budget asks of a model's capabilities."""

    @property
    def size(self) -> str | None:
        """`small` or `large`; `None` counts as large."""

    @property
    def max_output_tokens(self) -> int | None:
        """The longest answer that the model gives."""


@dataclass(frozen=True, slots=True)
class End:
    """Why no further answer is asked for.

    Attributes:
        limit: the setting that says so; or `example`: the answers agree against an example.
        text: the same in words, with what to do.
    """

    limit: Limit
    text: str


def ended(
    history: Sequence[AttemptRecord],
    settings: Settings,
    capabilities: HasSize,
    expected: float | None = None,
) -> End | None:
    """Say why no further answer may be asked for; `None` where one may.

    Args:
        history: the attempts that failed.
        settings: `tries`, `budget_tokens`, `budget_seconds` and `budget_dollars`.
        capabilities: of the model.
        expected: what the next answer will cost, in US dollars; `None` is not known.
    """
    if not history:
        return None
    doubt = questioned(history, capabilities.size)
    if doubt is not None:
        return End("example", doubt)
    over = _over(history, settings)
    if over is not None:
        return over
    # Another sample of a small model may be shorter; a large one has that much to say.
    cut_off = history[-1].cut_off and capabilities.size != "small"
    if cut_off and longer_answer(capabilities, history, settings) is None:
        return _no_longer(history, settings, capabilities)
    return _too_dear(history, settings, expected)


def _over(history: Sequence[AttemptRecord], settings: Settings) -> End | None:
    if len(history) >= settings.tries:
        more = f"raise `--tries` above {settings.tries} for more"
        return End("tries", f"{_stopped(history, settings)}: {more}")
    if sum(record.completion_tokens for record in history) >= settings.budget_tokens:
        return _spent(history, settings, "budget_tokens", f"{settings.budget_tokens:,}")
    if sum(record.seconds for record in history) >= settings.budget_seconds:
        return _spent(history, settings, "budget_seconds", f"{settings.budget_seconds:g}")
    return None


def longer_answer(
    capabilities: HasSize, history: Sequence[AttemptRecord], settings: Settings
) -> int | None:
    """Give the tokens that an answer may have where the last was cut off: twice as many.

    Returns:
        `None` where it was not, where the user has set `max_tokens`, and where neither the model
        nor what is left of `budget_tokens` allows more.
    """
    cut_off = history[-1].cut_off
    if not cut_off or settings.max_tokens is not None:
        return None
    left = settings.budget_tokens - sum(record.completion_tokens for record in history)
    longest = min(2 * cut_off, left, capabilities.max_output_tokens or left)
    return longest if longest > cut_off else None


def _no_longer(history: Sequence[AttemptRecord], settings: Settings, capabilities: HasSize) -> End:
    most, at = capabilities.max_output_tokens, history[-1].cut_off
    if settings.max_tokens is not None:
        why = (
            f"`max_tokens` = {settings.max_tokens:,} ({_set_by(settings, 'max_tokens')}): raise it"
        )
    elif most is not None and most <= at:
        why = f"the model gives no more than {most:,} tokens: ask for less"
    else:
        left = (
            f"`budget_tokens` = {settings.budget_tokens:,} ({_set_by(settings, 'budget_tokens')})"
        )
        why = f"{left} leaves no more than {at:,} tokens for another answer: raise it"
    return End("max_tokens", f"{_stopped(history, settings)}: {why}")


def _too_dear(
    history: Sequence[AttemptRecord], settings: Settings, expected: float | None
) -> End | None:
    most = settings.budget_dollars
    if most is None:
        return None
    cost = sum(record.cost or 0.0 for record in history)
    if cost + (expected or 0.0) <= most:
        return None
    if cost >= most:
        return _spent(history, settings, "budget_dollars", f"{most:g}")
    return End(
        "budget_dollars",
        f"{_stopped(history, settings)}: ${cost:.4f} was spent, another answer costs about "
        f"${expected:.4f}, and `budget_dollars` = {most:g} ({_set_by(settings, 'budget_dollars')})"
        " is less than both: raise it",
    )


def out_of_time(history: Sequence[AttemptRecord], settings: Settings) -> End:
    """Say that the time was over while an answer was arriving."""
    return End(
        "budget_seconds",
        f"{_stopped(history, settings)}: `budget_seconds` = {settings.budget_seconds:g} "
        f"({_set_by(settings, 'budget_seconds')}) was over while the next answer was arriving: "
        "raise it",
    )


def _spent(history: Sequence[AttemptRecord], settings: Settings, limit: Limit, most: str) -> End:
    return End(
        limit,
        f"{_stopped(history, settings)}: `{limit}` = {most} ({_set_by(settings, limit)}) was "
        "spent: raise it",
    )


def _stopped(history: Sequence[AttemptRecord], settings: Settings) -> str:
    return f"stopped after {len(history)} of {settings.tries} tries"


def _set_by(settings: Settings, name: str) -> str:
    source = settings.source(name)
    return "the default" if source == "default" else f"set by {source}"


def seconds_left(history: Sequence[AttemptRecord], settings: Settings) -> float:
    """Give the seconds that the next answer may take."""
    return max(0.0, settings.budget_seconds - sum(record.seconds for record in history))


def expected_cost(
    history: Sequence[AttemptRecord], prompt_tokens: int, capabilities: LLMCapabilities
) -> float | None:
    """Estimate what the next answer will cost in US dollars: no less than the dearest so far.

    Args:
        history: what was asked so far; an answer as long as the longest is presumed.
        prompt_tokens: of what would be sent.
        capabilities: of the model, which hold its prices.

    Returns:
        `None` where neither prices are known nor what an earlier answer cost.
    """
    longest = max((record.completion_tokens for record in history), default=0)
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": longest}
    costs = [cost_of_usage(usage, capabilities), *(record.cost for record in history)]
    return max((cost for cost in costs if cost is not None), default=None)


def refuse_over_budget(
    longest: int | None, settings: Settings, prompt_cost: float | None = None
) -> None:
    """Refuse a first request that alone may be more than the cell's budget.

    Args:
        longest: the longest answer that it asks for, in tokens; `None` is not known.
        settings: the budget.
        prompt_cost: what its prompt costs, in US dollars; `None` is not known.

    Raises:
        ConfigError: it is, with both numbers.
    """
    if longest is not None and longest > settings.budget_tokens:
        raise ConfigError(
            f"nothing was sent: one answer may have {longest:,} tokens (`max_tokens`), and "
            f"`budget_tokens` allows {settings.budget_tokens:,} for the whole cell (set by "
            f"{settings.source('budget_tokens')}): raise it, or lower `max_tokens`"
        )
    most = settings.budget_dollars
    if most is not None and prompt_cost is not None and prompt_cost > most:
        raise ConfigError(
            f"nothing was sent: the prompt alone costs about ${prompt_cost:.4f}, and "
            f"`budget_dollars` allows {most:g} for the whole cell (set by "
            f"{settings.source('budget_dollars')}): raise it, or ask a cheaper model"
        )

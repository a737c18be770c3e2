"""What to try next when an answer fails its checks; pure functions, no model is called here.

Large models repair well when they are told what is wrong. Small ones hardly do: for them another
style of prompt and fresh samples, accepted by the user's own examples only, solve more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from llmport_magic.modules.budget import HasSize, longer_answer

if TYPE_CHECKING:
    from llmport_magic.modules.verdict import ExampleOutcome
    from llmport_magic.settings import Settings

__all__ = [
    "AttemptPlan",
    "AttemptRecord",
    "Capable",
    "Style",
    "first_attempt",
    "next_attempt",
]

Style: TypeAlias = Literal["chat", "completion", "repair"]
_SAMPLE_TEMPERATURE = 0.8


class Capable(HasSize, Protocol):
    """What the strategy asks of a model's capabilities."""

    @property
    def completion_style(self) -> bool:
        """Whether the model continues raw text."""


@dataclass(frozen=True, slots=True)
class AttemptPlan:
    """How one answer is asked for.

    Attributes:
        style: `chat`; `completion`: the start of the module, to be continued; or `repair`: the
            last answer with what is wrong with it.
        temperature: sampling temperature; `None` leaves it to the connector.
        seed: seed of the sampling; `None` leaves it to the connector.
        findings: what is wrong with the last answer.
        previous: the last answer's code.
        max_tokens: the longest answer; `None` leaves it to the prompt and the connector.
    """

    style: Style = "chat"
    temperature: float | None = None
    seed: int | None = None
    findings: tuple[str, ...] = ()
    previous: str = ""
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """What came of an attempt that failed.

    Attributes:
        plan: how it was asked for.
        source: the module that it gave, or what of it could be read.
        findings: what is wrong with it.
        completion_tokens: what it took of the budget.
        seconds: the same.
        cost: the same, in US dollars; `None` is not known.
        usable: whether the answer was Python and, as a part, could be put into the module.
        examples: what came of each example.
        cut_off: the number of tokens at which the answer was cut off; 0 where it was not.
    """

    plan: AttemptPlan
    source: str = ""
    findings: tuple[str, ...] = ()
    completion_tokens: int = 0
    seconds: float = 0.0
    cost: float | None = 0.0
    usable: bool = True
    examples: tuple[ExampleOutcome, ...] = ()
    cut_off: int = 0


def first_attempt(capabilities: Capable, settings: Settings | None = None) -> AttemptPlan:
    """Plan the first attempt: a chat, greedy where the model is small.

    Args:
        capabilities: of the model that will be asked.
        settings: the user's temperature and seed, where given, win over the strategy's.
    """
    small = capabilities.size == "small"
    return _plan("chat", 0.0 if small else None, 0 if small else None, settings)


def next_attempt(
    capabilities: Capable, history: Sequence[AttemptRecord], settings: Settings
) -> AttemptPlan:
    """Plan the attempt after those that failed; `budget.ended` says whether it may be made."""
    if not history:
        return first_attempt(capabilities, settings)
    longest = longer_answer(capabilities, history, settings) or settings.max_tokens
    if capabilities.size != "small":
        if history[-1].cut_off:
            return replace(history[-1].plan, max_tokens=longest)
        return _ask_a_large_model(history, settings)
    styles = {record.plan.style for record in history}
    if capabilities.completion_style and "completion" not in styles:
        return replace(_plan("completion", 0.0, 0, settings), max_tokens=longest)
    # Fixed seeds: the same notebook gets the same answers again.
    seed = 1 + sum(bool(record.plan.temperature) for record in history)
    return AttemptPlan("chat", _SAMPLE_TEMPERATURE, seed + (settings.seed or 0), max_tokens=longest)


def _plan(
    style: Style, temperature: float | None, seed: int | None, settings: Settings | None
) -> AttemptPlan:
    if settings is None:
        return AttemptPlan(style, temperature, seed)
    return AttemptPlan(
        style,
        temperature if settings.temperature is None else settings.temperature,
        seed if settings.seed is None else settings.seed,
        max_tokens=settings.max_tokens,
    )


def _ask_a_large_model(history: Sequence[AttemptRecord], settings: Settings) -> AttemptPlan:
    last = history[-1]
    stuck = any(record.source == last.source for record in history[:-1])
    if not last.source or not last.findings or stuck:
        # The same wrong answer twice: telling it once more changes nothing.
        return _plan("chat", None, None, settings)
    return AttemptPlan(
        "repair",
        settings.temperature,
        settings.seed,
        last.findings,
        last.source,
        settings.max_tokens,
    )

"""Which model of a chain is the cheapest that can do what a call needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import UsageError
from llmport_magic.llm.context_window import PICTURE_TOKENS
from llmport_magic.llm.cost import cost_of_usage, estimate_tokens
from llmport_magic.llm.retirement import has_ended

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import LLMProfile
    from llmport_magic.llm.messages import Message
    from llmport_magic.llm.registry import LLMRegistry
    from llmport_magic.llm.routing.chain import Candidate

PREFERENCES = ("cheap",)
# An answer whose length nobody limits is taken to be so long, in tokens.
_ANSWER_TOKENS = 1_000


def cheapest(
    candidates: Iterable[Candidate],
    registry: LLMRegistry,
    messages: Iterable[Message],
    options: Mapping[str, Any],
) -> tuple[list[Candidate], dict[str, str]]:
    """Order providers by what their cheapest model that fits would take for this call.

    Args:
        candidates: the providers.
        registry: what is known of their models.
        messages: that are sent.
        options: of the call.

    Returns:
        The providers, and the model of each. Those of whom no model is known to fit, and to cost
        what it costs, come last in their own order, without a model: an unknown price is not cheap.
    """
    prompt, answer = _tokens(messages, options)
    needed = _needed(messages, options)
    known = {row.name for row in registry.providers(installed=False)}
    fitting = registry.find_models(
        min_context_window=prompt + answer, **dict.fromkeys(needed, True)
    )
    usage = {"prompt_tokens": prompt, "completion_tokens": answer}
    best: dict[str, tuple[float, str]] = {}
    for profile in fitting:
        dollars = None if has_ended(profile) else cost_of_usage(usage, profile.capabilities)
        if dollars is not None and profile.provider in known and _long_enough(profile, options):
            priced = (dollars, profile.name)
            best[profile.provider] = min(best.get(profile.provider, priced), priced)
    all_of_them = list(candidates)
    cheap = sorted(
        (each for each in all_of_them if each.name in best), key=lambda each: best[each.name][0]
    )
    rest = [each for each in all_of_them if each.name not in best]
    return [*cheap, *rest], {each.name: best[each.name][1] for each in cheap}


def check_preference(prefer: str) -> None:
    """Refuse a word that says nothing.

    Raises:
        UsageError: it is none of `PREFERENCES`.
    """
    if prefer not in PREFERENCES:
        raise UsageError(f"`prefer` is {' or '.join(PREFERENCES)}, not `{prefer}`")


def _tokens(messages: Iterable[Message], options: Mapping[str, Any]) -> tuple[int, int]:
    """Estimate the tokens of the prompt, and say how long the answer may be."""
    prompt = sum(
        estimate_tokens(message.content) + PICTURE_TOKENS * len(message.images)
        for message in messages
    )
    return prompt, int(options.get("max_tokens") or _ANSWER_TOKENS)


def _needed(messages: Iterable[Message], options: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the capabilities that a call needs."""
    wanted = {
        "vision": any(message.images for message in messages),
        "tools": bool(options.get("tools")),
        "json_mode": bool(options.get("json_mode") or options.get("json_schema")),
    }
    return tuple(name for name, needed in wanted.items() if needed)


def _long_enough(profile: LLMProfile, options: Mapping[str, Any]) -> bool:
    """Tell whether a model writes as much as the call may take."""
    most, wanted = profile.capabilities.max_output_tokens, options.get("max_tokens")
    return most is None or wanted is None or most >= wanted

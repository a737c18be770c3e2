"""What a call costs, and how many tokens a text has; an unknown price stays unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import LLMCapabilities
    from llmport_magic.llm.reply import LLMResponse

_CHARACTERS_PER_TOKEN = 4


def estimate_tokens(text: str) -> int:
    """Estimate a text's tokens: four bytes each, never less than one for a text."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // _CHARACTERS_PER_TOKEN)


def estimate_cost(
    prompt_tokens: int, completion_tokens: int, model: str | None = None
) -> float | None:
    """Give the price in US dollars, or `None` where it is not known.

    Args:
        prompt_tokens: tokens sent.
        completion_tokens: tokens received.
        model: the model's name as the provider spells it; without one the price is unknown.
    """
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return _cost(usage, model)


def cost_of(response: LLMResponse) -> float | None:
    """Give what an answer cost in US dollars, or `None` where the price is not known."""
    return _cost(response.usage, response.model)


def _cost(usage: Mapping[str, int], model: str | None) -> float | None:
    from llmport_magic.llm.registry import default_registry

    profile = default_registry().find_model(model) if model else None
    return None if profile is None else cost_of_usage(usage, profile.capabilities)


def cost_of_usage(usage: Mapping[str, int], capabilities: LLMCapabilities) -> float | None:
    """Give the price of exact token counts, cached ones at their own price.

    Args:
        usage: `prompt_tokens` and `completion_tokens`; `cached_tokens` are part of the prompt's.
        capabilities: of the model, which hold its prices per 1,000 tokens.
    """
    price_in = capabilities.input_cost_per_1k_tokens
    price_out = capabilities.output_cost_per_1k_tokens
    if price_in is None or price_out is None:
        return None
    cached = usage.get("cached_tokens", 0)
    price_cached = capabilities.cached_input_cost_per_1k_tokens
    fresh = usage["prompt_tokens"] - cached
    total = fresh * price_in + cached * (price_in if price_cached is None else price_cached)
    return (total + usage["completion_tokens"] * price_out) / 1000

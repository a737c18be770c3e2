"""What a call costs, and how many tokens a text has; an unknown price stays unknown."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from llmport_magic.locks import lock

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import LLMCapabilities
    from llmport_magic.llm.reply import LLMResponse

CostSource: TypeAlias = Literal["reported", "computed", "estimated", "cached", "unknown"]
_BYTES_PER_TOKEN = 4
# Characters in a token: those of two bytes in UTF-8 (Cyrillic, Greek, Arabic), and those of three
# (Chinese, Japanese, Korean). ASCII is 4 for all: English and Python have 3.6 to 4.4, JSON 2.5 to
# 2.8. Measured by us on 2026-11-21, on a paragraph in each of ten languages, with the public
# tokenisers of o200k (GPT), Claude 2, Gemma 2, Llama 3, DeepSeek V4 and Tekken (Mistral). Most are
# within a third; Russian and Hindi may have half as many tokens, digits and emoji four times more.
_SCRIPTS = {
    "gpt": (3.5, 1.5),
    "claude": (1.2, 1.0),
    "gemini": (3.3, 1.7),
    "gemma": (3.3, 1.7),
    "llama": (3.0, 1.45),
    "deepseek": (2.9, 1.65),
    "mistral": (3.3, 1.3),
}
_FAMILY_WORDS = {
    **{family: family for family in _SCRIPTS},
    "mixtral": "mistral",
    "codestral": "mistral",
    "ministral": "mistral",
}
_TWO_BYTES = re.compile("[\u0080-\u07ff]")
# Parts of a usage that cost something else than the rest, and that no price is kept for.
_UNPRICED = ("prompt_audio_tokens", "completion_audio_tokens", "cache_write_1h_tokens")


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer cost, and who says so.

    Attributes:
        dollars: US dollars, or `None` where a price is not known.
        source: `reported` by the provider, `computed` from exact token counts, `estimated` from
            estimated ones, `cached` where it was kept from an earlier call and so costs nothing
            now, or `unknown`.
    """

    dollars: float | None
    source: CostSource


class Totals:
    """What calls have used so far; exact, whichever threads count at once.

    Attributes:
        calls: that were answered, those that were broken off after a first piece included.
        prompt_tokens: sent.
        completion_tokens: received.
        total_tokens: as the providers count them.
        cost: US dollars of the calls whose price is known.
        unpriced_calls: how many are not in `cost`.
        estimated_calls: how many of the token counts are estimates.
        cached_calls: answers that were kept from earlier calls; they count nowhere else.
    """

    def __init__(self) -> None:
        self._lock = lock()
        self.calls = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.total_tokens = 0
        self.cost = 0.0
        self.unpriced_calls = 0
        self.estimated_calls = 0
        self.cached_calls = 0

    def add(self, response: LLMResponse) -> None:
        """Count one answer."""
        if response.metadata.get("cached"):
            with self._lock:
                self.cached_calls += 1
            return
        dollars = response.cost.dollars
        with self._lock:
            self.calls += 1
            self.prompt_tokens += response.usage["prompt_tokens"]
            self.completion_tokens += response.usage["completion_tokens"]
            self.total_tokens += response.usage["total_tokens"]
            self.cost += dollars or 0.0
            self.unpriced_calls += dollars is None
            self.estimated_calls += bool(response.metadata.get("usage_estimated"))

    @property
    def usage(self) -> dict[str, int]:
        """The tokens, by the names that a response's `usage` has."""
        with self._lock:
            return {
                "prompt_tokens": self.prompt_tokens,
                "completion_tokens": self.completion_tokens,
                "total_tokens": self.total_tokens,
            }


def estimate_tokens(text: str, family: str | None = None) -> int:
    """Estimate a text's tokens: four bytes each, never less than one for a text.

    Args:
        text: what is sent or answered.
        family: of the model, for example `ModelFamily.CLAUDE`: in other scripts than ours the
            families differ by up to three times.
    """
    scripts = _SCRIPTS.get(str(family)) if family and not text.isascii() else None
    if scripts is None:
        return -(-len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)
    plain = len(text.encode("ascii", "ignore"))
    narrow = len(_TWO_BYTES.findall(text))
    wide = len(text) - plain - narrow
    return math.ceil(plain / _BYTES_PER_TOKEN + narrow / scripts[0] + wide / scripts[1])


def family_named(model: str) -> str | None:
    """Tell by a model's name the family whose tokens it counts in, where we measured that."""
    name = model.lower()
    return next((family for word, family in _FAMILY_WORDS.items() if word in name), None)


def estimate_cost(
    prompt_tokens: int, completion_tokens: int, model: str | None = None
) -> float | None:
    """Give the price in US dollars, or `None` where it is not known.

    Args:
        prompt_tokens: tokens sent.
        completion_tokens: tokens received.
        model: the model's name as the provider spells it; without one the price is unknown.
    """
    from llmport_magic.llm.registry import default_registry

    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    profile = default_registry().find_model(model) if model else None
    return None if profile is None else cost_of_usage(usage, profile.capabilities)


def price(response: LLMResponse) -> Cost:
    """Give what an answer cost: what the provider reports, else its tokens at the known prices."""
    if response.metadata.get("cached"):
        return Cost(0.0, "cached")
    reported = response.metadata.get("cost_reported")
    if reported is not None:
        return Cost(float(reported), "reported")
    told = response.prices
    known = told is not None and told.input_cost_per_1k_tokens is not None
    prices = told if known else _listed_prices(response)
    dollars = None if prices is None else cost_of_usage(response.usage, prices)
    if dollars is None:
        return Cost(None, "unknown")
    estimated = response.metadata.get("usage_estimated")
    return Cost(dollars, "estimated" if estimated else "computed")


def took(response: LLMResponse) -> dict[str, Any]:
    """Give what an answer took as plain values, for a log; of a kept one, what it took then."""
    kept = {"cached": True} if response.metadata.get("cached") else {}
    return kept | {
        "usage": dict(response.usage),
        "usage_estimated": bool(response.metadata.get("usage_estimated")),
        "cost": response.cost.dollars,
        "cost_source": response.cost.source,
    }


def _listed_prices(response: LLMResponse) -> LLMCapabilities | None:
    """Look the answering model up at the provider that answered: another one has other prices."""
    from llmport_magic.llm.registry import PROVIDER_CONFIG, default_registry

    if not response.model or response.provider not in PROVIDER_CONFIG:
        return None
    profile = default_registry().find_model(response.model, response.provider)
    return profile.capabilities if profile else None


def cost_of_usage(usage: Mapping[str, int], capabilities: LLMCapabilities) -> float | None:
    """Give the price of token counts, each part at its own price.

    Args:
        usage: as in `LLMResponse.usage`: `cached_tokens` and `cache_write_tokens` are parts of
            `prompt_tokens`, reasoning is a part of `completion_tokens`.
        capabilities: of the model, which hold its prices per 1,000 tokens.

    Returns:
        US dollars; `None` where the price of one part is not known, as that of sound never is.
    """
    price_in = capabilities.input_cost_per_1k_tokens
    price_out = capabilities.output_cost_per_1k_tokens
    if price_in is None or price_out is None:
        return None
    if price_in == price_out == 0:
        return 0.0
    most = capabilities.priced_prompt_tokens
    if most is not None and usage["prompt_tokens"] > most:
        return None
    if any(usage.get(part) for part in _UNPRICED):
        return None
    cached, written = usage.get("cached_tokens", 0), usage.get("cache_write_tokens", 0)
    parts = (
        (usage["prompt_tokens"] - cached - written, price_in),
        (cached, capabilities.cached_input_cost_per_1k_tokens),
        (written, capabilities.cache_write_cost_per_1k_tokens),
        (usage["completion_tokens"], price_out),
    )
    total = 0.0
    for tokens, price_each in parts:
        if tokens and price_each is None:
            return None
        total += tokens * (price_each or 0.0)
    return total / 1000

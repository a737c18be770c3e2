"""What servers of this format say of their models.

OpenAI itself only says that there is one (https://platform.openai.com/docs/api-reference/models).
The others add fields, each its own (all read 2026-11-21): OpenRouter `context_length`,
`top_provider`, `pricing`, `architecture` and `supported_parameters`, in its list only
(https://openrouter.ai/docs/models); Groq `context_window` and `max_completion_tokens`
(https://console.groq.com/docs/api-reference); vLLM `max_model_len`
(https://github.com/vllm-project/vllm, `ModelCard`); Mistral `max_context_length` and
`capabilities` (https://docs.mistral.ai/api).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote

from llmport_magic.llm.wire import WireRequest, mapping, sizes, string

_WINDOWS = ("context_length", "context_window", "max_model_len", "max_context_length")
# Theirs by ours: OpenRouter writes dollars for one token, as texts.
_PRICES = {
    "prompt": "input_cost_per_1k_tokens",
    "completion": "output_cost_per_1k_tokens",
    "input_cache_read": "cached_input_cost_per_1k_tokens",
    "input_cache_write": "cache_write_cost_per_1k_tokens",
}
_ABILITIES = {"function_calling": "tools", "vision": "vision"}


def describe_requests(model: str) -> tuple[WireRequest, ...]:
    """Ask for the model; many servers only have a list."""
    return (
        WireRequest(path=f"models/{quote(model, safe='')}", body={}),
        WireRequest(path="models", body={}),
    )


def read_models(data: Any) -> tuple[str, ...]:
    """Read the answer of the models endpoint."""
    rows = mapping(data).get("data")
    if not isinstance(rows, list):
        return ()
    return tuple(name for row in rows if (name := string(mapping(row).get("id"))))


def read_model(data: Any, model: str) -> Mapping[str, Any] | None:
    """Read a model, or find it in a list."""
    listed = mapping(data).get("data")
    rows = map(mapping, listed) if isinstance(listed, list) else (mapping(data),)
    row = next((row for row in rows if row.get("id") == model), None)
    if row is None:
        return None
    top = mapping(row.get("top_provider"))
    longest = row.get("max_completion_tokens") or top.get("max_completion_tokens")
    window = next((row[name] for name in _WINDOWS if row.get(name)), None)
    abilities = mapping(row.get("capabilities"))
    told = {ours: abilities[theirs] for theirs, ours in _ABILITIES.items() if theirs in abilities}
    return {
        **sizes({"max_context_window": window, "max_output_tokens": longest}),
        **{name: able for name, able in told.items() if isinstance(able, bool)},
        **_parameters(row),
        **_prices(mapping(row.get("pricing"))),
    }


def _parameters(row: Mapping[str, Any]) -> dict[str, bool]:
    told: dict[str, bool] = {}
    takes = row.get("supported_parameters")
    if isinstance(takes, list):
        told |= {"tools": "tools" in takes, "json_mode": "response_format" in takes}
    reads = mapping(row.get("architecture")).get("input_modalities")
    if isinstance(reads, list):
        told["vision"] = "image" in reads
    return told


def _prices(given: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for theirs, ours in _PRICES.items():
        try:
            price = Decimal(str(given[theirs])) * 1000
        except (KeyError, InvalidOperation):
            continue
        # Where a router chooses the model, the price is -1.
        if price.is_finite() and price >= 0:
            found[ours] = float(price)
    return found

"""What Anthropic says of its models: https://platform.claude.com/docs/en/api/models/retrieve.

Read 2026-11-21. That a model can think does not say that it does by itself, so it is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from llmport_magic.llm.wire import WireRequest, mapping, sizes, string

_ABILITIES = {"image_input": "vision", "structured_outputs": "json_mode"}


def describe_requests(model: str) -> tuple[WireRequest, ...]:
    """Ask for the model, by its name or another name of it."""
    return (WireRequest(path=f"models/{quote(model, safe='')}", body={}),)


def read_models(data: Any) -> tuple[str, ...]:
    """Read the answer of the models endpoint."""
    rows = mapping(data).get("data")
    names = [string(mapping(row).get("id")) for row in rows] if isinstance(rows, list) else []
    return tuple(name for name in names if name)


def read_model(data: Any, model: str) -> Mapping[str, Any] | None:  # an alias
    """Read a model; it has its own name there, also where it was asked for by another."""
    row = mapping(data)
    if row.get("type") != "model":
        return None
    abilities = mapping(row.get("capabilities"))
    told = {ours: mapping(abilities.get(n)).get("supported") for n, ours in _ABILITIES.items()}
    window, longest = row.get("max_input_tokens"), row.get("max_tokens")
    return {
        **sizes({"max_context_window": window, "max_output_tokens": longest}),
        **{name: able for name, able in told.items() if isinstance(able, bool)},
    }

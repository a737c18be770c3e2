"""What Google says of its models: https://ai.google.dev/api/models (read 2026-11-21).

That a model can think does not say that it does by itself, so it is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from llmport_magic.llm.wire import WireRequest, mapping, sizes, string


def describe_requests(model: str) -> tuple[WireRequest, ...]:
    """Ask for the model."""
    collection, _, name = model.rpartition("/")
    if collection not in ("models", "tunedModels"):
        collection, name = "models", model
    return (WireRequest(path=f"{collection}/{quote(name, safe='')}", body={}),)


def read_models(data: Any) -> tuple[str, ...]:
    """Read the names of the models that write text, without the `models/` that they begin with."""
    rows = mapping(data).get("models")
    return tuple(
        name.removeprefix("models/")
        for row in (map(mapping, rows) if isinstance(rows, list) else ())
        if _writes(row) and (name := string(row.get("name")))
    )


def read_model(data: Any, model: str) -> Mapping[str, Any] | None:  # an alias
    """Read a model; one that writes no text is none here."""
    row = mapping(data)
    if string(row.get("name")) is None or not _writes(row):
        return None
    window, longest = row.get("inputTokenLimit"), row.get("outputTokenLimit")
    return sizes({"max_context_window": window, "max_output_tokens": longest})


def _writes(row: Mapping[str, Any]) -> bool:
    methods = row.get("supportedGenerationMethods")
    return isinstance(methods, list) and "generateContent" in methods

"""Models of Ollama that a small container can hold, and which of them is asked by default.

They are for Google Cloud Run without a GPU. An `excellent_fit` needs at most 4 GB, which is one CPU
there, a `good_fit` at most 8 GB; the sources are named in `scripts/catalog_overlay/ollama.yaml`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from llmport_magic.settings.cloud_run_lists import FITS, ORDERS, check_lists

Prefer: TypeAlias = Literal["coding", "general"]


def merged_lists(given: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    """Put a user's lists over the shipped ones.

    A model replaces the one of its id, wherever that stood, and a new one is added; an order
    replaces the whole order. With `"mode": "replace"` nothing is left of the shipped lists.

    Args:
        given: the setting `cloud_run_friendly_models`, in the shape of
            `OLLAMA_CLOUD_RUN_MODELS_PY`.
        source: what to name in an error.

    Returns:
        Lists in the shape of `OLLAMA_CLOUD_RUN_MODELS_PY`, read-only.

    Raises:
        ConfigError: it has another shape.
    """
    check_lists(given, lambda *_: source)
    below = {} if given.get("mode") == "replace" else OLLAMA_CLOUD_RUN_MODELS_PY
    ours = {model["id"] for fit in FITS for model in given.get(fit, ())}
    lists: dict[str, Any] = {}
    for fit in FITS:
        kept = [model for model in below.get(fit, ()) if model["id"] not in ours]
        lists[fit] = [*kept, *given.get(fit, ())]
    for order in ORDERS:
        lists[order] = given.get(order, below.get(order, ()))
    return _frozen(lists)


def preferred_model(lists: Mapping[str, Any], prefer: Prefer = "coding") -> str:
    """Name the model that Ollama is asked for where nobody names one.

    Args:
        lists: as `merged_lists` gives them.
        prefer: whose order goes first; the other one follows where it knows no model.

    Returns:
        The first model of the orders that is in the lists. Where there is none, the first one that
        is shipped, with a warning.
    """
    found = _first(lists, prefer)
    if found is not None:
        return found
    shipped = _first(OLLAMA_CLOUD_RUN_MODELS_PY, prefer) or ""
    warnings.warn(
        f"no order of `cloud_run_friendly_models` names a model of its lists: `{shipped}` is taken",
        stacklevel=2,
    )
    return shipped


def _first(lists: Mapping[str, Any], prefer: Prefer) -> str | None:
    names = {model["id"]: model["ollama_name"] for fit in FITS for model in lists[fit]}
    orders = ORDERS if prefer == "coding" else ORDERS[::-1]
    return next((names[one] for order in orders for one in lists[order] if one in names), None)


def _frozen(lists: Mapping[str, Any]) -> Mapping[str, Any]:
    frozen: dict[str, Sequence[Any]] = {
        fit: tuple(
            MappingProxyType({**model, "ollama_name": model.get("ollama_name") or model["id"]})
            for model in lists[fit]
        )
        for fit in FITS
    }
    return MappingProxyType({**frozen, **{order: tuple(lists[order]) for order in ORDERS}})


@cache
def _shipped() -> Mapping[str, Any]:
    text = files(__package__).joinpath("catalog", "ollama.yaml").read_text(encoding="utf-8")
    return _frozen(json.loads(text[text.index("{") :])["cloud_run_friendly"])


# The shipped lists: `excellent_fit` and `good_fit` with mappings of `id`, `ollama_name` (what the
# server calls it), `type`, `est_memory_needed_gb` and `notes`; and two orders of ids.
OLLAMA_CLOUD_RUN_MODELS_PY = _shipped()

"""The shape of the setting `cloud_run_friendly_models`: lists of models, orders of their ids."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from llmport_magic.errors import ConfigError

FITS = ("excellent_fit", "good_fit")
ORDERS = ("default_coding_preference_order", "default_general_preference_order")
_MODES = ("extend", "replace")
_OF_A_MODEL = ("id", "ollama_name", "type", "est_memory_needed_gb", "notes")


def check_lists(lists: Any, where: Callable[..., str]) -> None:
    """Refuse lists of another shape.

    Args:
        lists: `excellent_fit` and `good_fit`, `default_coding_preference_order` and
            `default_general_preference_order`, and `mode`: `extend` or `replace`; each may be left
            out. A model has an `id`, and may have `ollama_name`, `type`, `est_memory_needed_gb`
            and `notes`.
        where: says where a field stands, given its path of names in these lists.

    Raises:
        ConfigError: with the place.
    """
    if not isinstance(lists, Mapping):
        raise ConfigError(f"the models in {where()} are a table of lists")
    for name, value in lists.items():
        place = where(name)
        check_name(name, (*FITS, *ORDERS, "mode"), place)
        if name == "mode":
            if value not in _MODES:
                raise ConfigError(f"`mode` in {place} is one of {', '.join(_MODES)}")
        elif not isinstance(value, (list, tuple)):
            raise ConfigError(f"`{name}` in {place} must be a list")
        elif name in FITS:
            for model in value:
                _check_model(model, name, place)
        elif not all(isinstance(one, str) for one in value):
            raise ConfigError(f"`{name}` in {place} must be a list of ids")


def check_name(name: str, known: Iterable[str], place: str) -> None:
    """Refuse a field that is not known, and name the nearest."""
    known = tuple(known)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"unknown field `{name}` in {place}: {hint}")


def _check_model(model: Any, fit: str, place: str) -> None:
    if not isinstance(model, Mapping) or not isinstance(model.get("id"), str) or not model["id"]:
        raise ConfigError(f"a model of `{fit}` in {place} must be a table with an `id`")
    for name, value in model.items():
        check_name(name, _OF_A_MODEL, place)
        if name == "est_memory_needed_gb":
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not 0 < value < float("inf"):
                raise ConfigError(f"`{name}` of `{model['id']}` in {place} must be above 0")
        elif not isinstance(value, str):
            raise ConfigError(f"`{name}` of `{model['id']}` in {place} must be a text")

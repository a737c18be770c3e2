"""Tells of models that their provider stops to serve; never takes another one by itself."""

from __future__ import annotations

import difflib
import warnings
from datetime import date
from typing import TYPE_CHECKING

from llmport_magic.locks import lock

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import LLMProfile

_told: set[tuple[str, str]] = set()
_lock = lock()
# How near a name must be to be taken for a slip: names of models are like each other.
_NEAR = 0.8


def retirement(provider: str, model: str) -> str | None:
    """Say when a model ends and what to use instead; `None` for one that stays.

    Args:
        provider: its name in the registry.
        model: as the provider spells it.
    """
    from llmport_magic.llm.registry import default_registry

    registry = default_registry()
    if not model or provider not in {row.name for row in registry.providers(installed=False)}:
        return None
    profile = registry.find_model(model, provider)
    return None if profile is None else end_of(profile, model)


def end_of(profile: LLMProfile, name: str) -> str | None:
    """Say when a model ends and what to use instead; `None` for one that stays.

    Args:
        profile: what is known of it.
        name: as the user wrote it.
    """
    if profile.retired_on is None:
        return None
    ends = "ended" if has_ended(profile) else "ends"
    instead = f": use `{profile.replacement}`" if profile.replacement else ""
    return f"`{name}` of `{profile.provider}` {ends} on {profile.retired_on}{instead}"


def has_ended(profile: LLMProfile) -> bool:
    """Tell whether the day on which a model ends has come."""
    return profile.retired_on is not None and date.fromisoformat(profile.retired_on) <= _today()


def instead_of(provider: str, model: str) -> str:
    """Say what to ask where a provider answered that it has no such model.

    Args:
        provider: its name; one that is not in the registry, or has no list there, is pointed at.
        model: as it was asked for.
    """
    from llmport_magic.llm.registry import default_registry

    rows = default_registry().providers(installed=False)
    row = next((row for row in rows if row.name == provider), None)
    if row is None or not (row.models or row.probe):
        return "see its list"
    listed = f"`%llmport models {provider}`"
    profile = default_registry().find_model(model, provider)
    if profile is None:
        stays = [name for name, each in row.models.items() if not has_ended(each)]
        near = difflib.get_close_matches(model, stays, n=1, cutoff=_NEAR)
        return f"did you mean `{near[0]}`? {listed} names them" if near else f"see {listed}"
    use = f"use `{profile.replacement}`, or " if profile.replacement else ""
    return f"{use}see {listed}"


def warn_of_retirement(provider: str, model: str, profile: LLMProfile | None = None) -> None:
    """Warn of a model that ends, once in a session; the call is made, the server decides.

    Args:
        provider: its name in the registry.
        model: as the provider spells it.
        profile: what is known of it, where another registry than the package's own knows it.
    """
    if (provider, model) in _told:
        return
    with _lock:
        if (provider, model) in _told:
            return
        _told.add((provider, model))
    message = end_of(profile, model) if profile else retirement(provider, model)
    if message is not None:
        # As if the user's own code had said it: Python shows this category nowhere else.
        warnings.warn_explicit(message, DeprecationWarning, "llmport_magic", 1, "__main__")


def _today() -> date:
    return date.today()  # noqa: DTZ011 - the day where the user is

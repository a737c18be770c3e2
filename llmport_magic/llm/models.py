"""What is known of models: find one by its name, or those that can do what is asked for."""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from llmport_magic.llm.capabilities import (
    LLMCapabilities,
    LLMProfile,
    ModelFamily,
    Provider,
    flag_names,
)
from llmport_magic.llm.catalogue import model_named

__all__ = ["Models"]

# Providers date the snapshots of a model: `gpt-4o-mini-2024-07-18` is `gpt-4o-mini`, and
# `claude-opus-5-5-20260921` is `claude-opus-5-5`.
_DATED = re.compile(r"-20\d{2}(-\d{2}-\d{2}|\d{4})$")


class Models(ABC):
    """The half of a registry that answers for models; `LLMRegistry` holds the providers."""

    @abstractmethod
    def provider(self, name: str) -> Provider:
        """Give a provider by its name."""

    @abstractmethod
    def providers(self, *, installed: bool = True) -> tuple[Provider, ...]:
        """Give every provider, in the order in which `auto` searches them."""

    @abstractmethod
    def _change(self, change: Callable[[Mapping[str, Provider]], Provider]) -> Provider:
        """Put the row that a function makes of all rows in its place; nobody comes in between."""

    def find_model(self, name: str, provider: str | None = None) -> LLMProfile | None:
        """Give a model by its name or another name of it, or `None` where it is not known.

        Args:
            name: as a provider spells it, with or without the date of a snapshot.
            provider: where to look; everywhere when it is `None`.
        """
        rows = self.providers(installed=False) if provider is None else (self.provider(provider),)
        for wanted in dict.fromkeys((name, _DATED.sub("", name))):
            for row in rows:
                profile = model_named(row.models, wanted)
                if profile is not None:
                    return profile
        return None

    def list_models(
        self, provider: str | None = None, family: ModelFamily | str | None = None
    ) -> tuple[LLMProfile, ...]:
        """Give the known models, of one provider and one family where they are named."""
        rows = self.providers() if provider is None else (self.provider(provider),)
        return tuple(
            profile
            for row in rows
            for profile in row.models.values()
            if family is None or profile.family == family
        )

    def find_models(
        self,
        *,
        min_context_window: int | None = None,
        max_cost: float | None = None,
        **flags: bool,
    ) -> tuple[LLMProfile, ...]:
        """Give the models that can do what is asked for; what is not known does not count.

        Args:
            min_context_window: in tokens.
            max_cost: US dollars for 1,000 tokens of input and 1,000 of output.
            **flags: capabilities, as `vision=True`.

        Raises:
            ValueError: a capability that does not exist.
        """
        for name in flags:
            if name not in flag_names():
                near = difflib.get_close_matches(name, flag_names(), n=1)
                hint = f"did you mean `{near[0]}`?" if near else ", ".join(sorted(flag_names()))
                raise ValueError(f"unknown capability `{name}`: {hint}")
        return tuple(
            profile
            for profile in self.list_models()
            if _fits(profile.capabilities, min_context_window, max_cost, flags)
        )

    def get_models_by_capability(self, name: str, value: bool = True) -> tuple[LLMProfile, ...]:
        """Give the models that have a capability: `find_models` by another name."""
        return self.find_models(**{name: value})

    def find_cheapest_model_with_capabilities(
        self, *names: str, **wanted: Any
    ) -> LLMProfile | None:
        """Give the cheapest of the models that fit, whose price is known and that do not end.

        Args:
            *names: capabilities that it must have.
            **wanted: as for `find_models`.
        """
        found = self.find_models(**dict.fromkeys(names, True), **wanted)
        priced = [
            (cost, profile)
            for profile in found
            if profile.retired_on is None and (cost := _cost(profile)) is not None
        ]
        return min(priced, key=lambda pair: (pair[0], pair[1].name))[1] if priced else None


def _cost(profile: LLMProfile) -> float | None:
    known = profile.capabilities
    if known.input_cost_per_1k_tokens is None or known.output_cost_per_1k_tokens is None:
        return None
    return known.input_cost_per_1k_tokens + known.output_cost_per_1k_tokens


def _fits(
    known: LLMCapabilities,
    min_context_window: int | None,
    max_cost: float | None,
    flags: Mapping[str, bool],
) -> bool:
    if min_context_window is not None and (known.max_context_window or 0) < min_context_window:
        return False
    if max_cost is not None:
        prices = (known.input_cost_per_1k_tokens, known.output_cost_per_1k_tokens)
        if None in prices or sum(price or 0 for price in prices) > max_cost:
            return False
    return all(getattr(known, name) == value for name, value in flags.items())

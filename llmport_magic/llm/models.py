"""What is known of models: find one by its name, or those that can do what is asked for."""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace as replaced
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.llm.capabilities import (
    LLMCapabilities,
    LLMProfile,
    ModelFamily,
    Provider,
    flag_names,
)
from llmport_magic.llm.catalogue import RATES, ModelsOver, model_named
from llmport_magic.llm.retirement import end_of, has_ended
from llmport_magic.secrets import redact_address

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

    @abstractmethod
    def is_provider_initialized(self, name: str) -> bool:
        """Tell whether a provider is ready to be asked."""

    def register_model(self, profile: LLMProfile, *, replace: bool = False) -> LLMProfile:
        """Add a model to its provider.

        Args:
            profile: what is known of it.
            replace: whether it may take the place of one of that name.

        Raises:
            ConfigError: the provider is not known, or the name is taken.
        """
        row = self.provider(profile.provider)
        profile = replaced(profile, provider=row.name)

        def change(known: Mapping[str, Provider]) -> Provider:
            models = known[row.name].models
            if profile.name in models and not replace:
                raise ConfigError(
                    f"model `{profile.name}` of `{row.name}` is registered: pass `replace=True` "
                    "to replace it"
                )
            return replaced(known[row.name], models=ModelsOver({profile.name: profile}, models))

        self._change(change)
        return profile

    def get_model(
        self, name: str, provider: str | None = None, *, require_initialized: bool = False
    ) -> LLMProfile:
        """Give a model by its name or another name of it, and say if it can be asked.

        Args:
            name: as a provider spells it, with or without the date of a snapshot.
            provider: where to look; else a provider that is initialised goes first.
            require_initialized: whether a model of another provider is an error.

        Returns:
            The profile, `available` where its provider is initialised.

        Raises:
            ConfigError: the model is not known, or its provider is not initialised.
        """
        found = list(self._named(name, provider))
        if not found:
            raise ConfigError(self._unknown(name, provider))
        ready = [each for each in found if self.is_provider_initialized(each.provider)]
        if require_initialized and not ready:
            raise ConfigError(f"`{name}`: {self.how_to_initialize(found[0].provider)}")
        return replaced((ready or found)[0], available=bool(ready))

    def get_token_limit(self, name: str, provider: str | None = None) -> int | None:
        """Give the tokens of prompt and answer together that a model takes, `None` if unknown.

        Args:
            name: as for `get_model`, to the letter: a part of a name is none.
            provider: where to look.

        Raises:
            ConfigError: the model is not known; the message names the nearest one.
        """
        return self.get_model(name, provider).capabilities.max_context_window

    def validate_model(self, name: str, provider: str | None = None) -> tuple[bool, str]:
        """Say whether a model can be asked, and what there is to know about that.

        Args:
            name: as for `get_model`.
            provider: where to look.

        Returns:
            Whether its provider is initialised and has not ended it, and a message: why not, when
            it will end and what to use instead, or which name is its own; else it is empty.
        """
        if next(self._named(name, provider), None) is None:
            return False, self._unknown(name, provider)
        profile = self.get_model(name, provider)
        notes = [
            None if profile.available else self.how_to_initialize(profile.provider),
            end_of(profile, name),
            None if name == profile.name else f"`{name}` is another name of `{profile.name}`",
        ]
        return bool(profile.available) and not has_ended(profile), "; ".join(filter(None, notes))

    def get_api_config(self, name: str) -> Mapping[str, Any]:
        """Say how a provider, or the provider of a model, is asked.

        Args:
            name: of a provider or a model.

        Returns:
            `provider`, `base_url`, `dialect`, `headers` and `rate_limits` (`requests_per_minute`
            and `tokens_per_minute`, `None` for no limit), as the settings are now; secrets as
            `********`.

        Raises:
            ConfigError: there is neither a provider nor a model of that name.
        """
        from llmport_magic.llm.provider_settings import headers_of, settings_of
        from llmport_magic.settings import resolve

        names = {row.name for row in self.providers()}
        is_model = name.lower() not in names and next(self._named(name), None) is not None
        try:
            row = self.provider(self.get_model(name).provider if is_model else name)
        except ConfigError as error:
            raise ConfigError(f"{error}; {self._unknown(name, None)}") from None
        settings = settings_of(row, resolve(provider=row.name))
        return {
            "provider": row.name,
            "base_url": redact_address(settings.base_url or row.base_url),
            "dialect": row.dialect,
            "headers": {name: str(text) for name, text in headers_of(row, settings).items()},
            "rate_limits": {name: getattr(settings, name) for name in RATES},
        }

    def find_model(self, name: str, provider: str | None = None) -> LLMProfile | None:
        """Give a model by its name or another name of it, or `None` where it is not known.

        Args:
            name: as a provider spells it, with or without the date of a snapshot.
            provider: where to look; everywhere when it is `None`.
        """
        return next(self._named(name, provider), None)

    def _named(self, name: str, provider: str | None = None) -> Iterator[LLMProfile]:
        if not isinstance(name, str):
            raise ConfigError(f"the name of a model is a str, not {type(name).__name__}")
        rows = self.providers(installed=False) if provider is None else (self.provider(provider),)
        for wanted in dict.fromkeys((name, _DATED.sub("", name))):
            for row in rows:
                profile = model_named(row.models, wanted)
                if profile is not None:
                    yield profile

    def _unknown(self, name: str, provider: str | None) -> str:
        rows = self.providers() if provider is None else (self.provider(provider),)
        names = [model for row in rows for model in row.models]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "add it with `register_model`"
        return f"unknown model `{name}`{f' of `{provider}`' if provider else ''}: {hint}"

    def how_to_initialize(self, provider: str) -> str:
        """Say in one line what to do before a provider can be asked."""
        row = self.provider(provider)
        key = ", api_key" if row.key_required else ""
        way = f'call `initialize_provider("{row.name}"{key})` first'
        if row.key_required and row.api_key_vars:
            way += f", or without a key where `{row.api_key_vars[0]}` is set"
        return f"`{row.name}` is not initialised: {way}"

    def list_models(
        self, provider: str | None = None, family: ModelFamily | str | None = None
    ) -> tuple[LLMProfile, ...]:
        """Give the known models, of one provider and one family where they are named.

        They come in the order of the providers, and of the catalogue within each.
        """
        if family is not None:
            family = ModelFamily.from_name(family)
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
            ValueError: a capability that does not exist, or one that is neither true nor false; or
                a bound that is no number.
        """
        for name, bound in (("min_context_window", min_context_window), ("max_cost", max_cost)):
            if bound is not None and (
                isinstance(bound, bool) or not isinstance(bound, int | float)
            ):
                raise ValueError(f"`{name}` is a number, not `{bound}`")
        for name, value in flags.items():
            if name not in flag_names():
                near = difflib.get_close_matches(name, flag_names(), n=1)
                hint = f"did you mean `{near[0]}`?" if near else ", ".join(sorted(flag_names()))
                raise ValueError(f"unknown capability `{name}`: {hint}")
            if not isinstance(value, bool):
                raise ValueError(f"`{name}` is true or false, not `{value}`")  # noqa: TRY004 - as for other values
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

        Of those that cost the same the first by name is given, and then by provider.

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
        return (
            min(priced, key=lambda pair: (pair[0], pair[1].name, pair[1].provider))[1]
            if priced
            else None
        )


def capabilities_in(row: Provider, model: str | None) -> LLMCapabilities:
    """Say what a model of a provider can do, as far as its row knows."""
    for name in dict.fromkeys((model, _DATED.sub("", model))) if model else ():
        profile = model_named(row.models, name)
        if profile is not None:
            return profile.capabilities
    return LLMCapabilities()


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

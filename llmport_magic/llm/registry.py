"""Every provider and model that is known: the shipped catalogue, and what the user adds."""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.llm.capabilities import (
    LLMCapabilities,
    LLMProfile,
    ModelFamily,
    Provider,
    flag_names,
)
from llmport_magic.llm.catalogue import (
    model_named,
    provider_from,
    provider_of_file,
    shipped_providers,
)
from llmport_magic.llm.plugins import installed_providers
from llmport_magic.llm.selection import (
    ProviderRow,
    capabilities_of,
    choose_provider,
    close_connectors,
    connector_for,
    default_model,
    named_connector,
    provider_rows,
)

__all__ = [
    "CONNECTOR_MAP",
    "PROVIDER_CONFIG",
    "LLMRegistry",
    "ProviderRow",
    "capabilities_of",
    "choose_provider",
    "close_connectors",
    "connector_for",
    "default_model",
    "default_registry",
    "named_connector",
    "provider_rows",
    "register_provider",
]

# Providers date the snapshots of a model: `gpt-4o-mini-2024-07-18` is `gpt-4o-mini`, and
# `claude-opus-5-5-20260921` is `claude-opus-5-5`.
_DATED = re.compile(r"-20\d{2}(-\d{2}-\d{2}|\d{4})$")


class LLMRegistry:
    """Providers by name, in the order in which `auto` searches them.

    Reading needs no lock: a change puts a new mapping in the place of the old one.

    Args:
        providers: to begin with.
        further: finds more of them, given the names that are taken; it is asked once, when a name
            is not known or all providers are wanted.
    """

    def __init__(
        self,
        providers: Iterable[Provider] = (),
        *,
        further: Callable[[Container[str]], Iterable[Provider]] | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._providers: Mapping[str, Provider] = MappingProxyType({p.name: p for p in providers})
        self._further = further

    @classmethod
    def create_default(cls) -> LLMRegistry:
        """Make a registry of the shipped catalogue and of what installed packages bring along."""
        return cls(shipped_providers(), further=installed_providers)

    def _look_further(self) -> None:
        with self._lock:
            if self._further is not None:
                found = self._further(self._providers)
                self._further = None
                rows = {row.name: row for row in found} | dict(self._providers)
                self._providers = MappingProxyType(rows)

    def register_provider(
        self, provider: Provider | str | Path, *, replace: bool = False, **fields: Any
    ) -> Provider:
        """Add a provider.

        Args:
            provider: the provider; or its name and then its fields; or the path of a YAML file
                like those of the catalogue.
            replace: whether it may take the place of one of that name.
            **fields: as in a row of the catalogue, for example `base_url`, `api_key_vars`,
                `default_model`, `connector`.

        Raises:
            ConfigError: the name is taken, or a field cannot be used.
        """
        if isinstance(provider, Path):
            provider = provider_of_file(provider)
        if isinstance(provider, str):
            provider = provider_from(fields, name=provider, source=f"provider `{provider}`")
        if provider.connector is None and not provider.base_url:
            raise ConfigError(f"provider `{provider.name}` needs a `base_url` or a `connector`")
        with self._lock:
            if provider.name in self._providers and not replace:
                raise ConfigError(
                    f"provider `{provider.name}` is registered: pass `replace=True` to replace it"
                )
            self._providers = MappingProxyType({**self._providers, provider.name: provider})
        return provider

    def unregister_provider(self, name: str) -> None:
        """Take a provider away.

        Raises:
            ConfigError: there is none of that name.
        """
        self.provider(name)
        with self._lock:
            rest = {key: row for key, row in self._providers.items() if key != name}
            self._providers = MappingProxyType(rest)

    def provider(self, name: str) -> Provider:
        """Give a provider by its name, in any case.

        Raises:
            ConfigError: there is none; the message names the nearest one, or all.
        """
        found = self._found(name)
        if found is None:
            self._look_further()
            found, known = self._found(name), self._providers
        if found is None:
            near = difflib.get_close_matches(str(name).lower(), list(known), n=1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            raise ConfigError(f"unknown provider `{name}`: {hint}known: {', '.join(known)}")
        return found

    def _found(self, name: str) -> Provider | None:
        known = self._providers
        return known.get(name) or known.get(str(name).strip().lower())

    def providers(self, *, installed: bool = True) -> tuple[Provider, ...]:
        """Give every provider, in the order in which `auto` searches them.

        Args:
            installed: whether those of other packages are looked for, which takes some
                milliseconds once.
        """
        if installed:
            self._look_further()
        return tuple(sorted(self._providers.values(), key=lambda row: row.order))

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


@cache
def default_registry() -> LLMRegistry:
    """Give the registry that the package uses, made on first use."""
    return LLMRegistry.create_default()


def register_provider(
    provider: Provider | str | Path, *, replace: bool = False, **fields: Any
) -> Provider:
    """Add a provider to the registry that the package uses; see `LLMRegistry`."""
    return default_registry().register_provider(provider, replace=replace, **fields)


def _row(name: str) -> Provider:
    for row in default_registry().providers():
        if row.name == name:
            return row
    raise KeyError(name)


class _ProviderConfig(MutableMapping[str, Mapping[str, Any]]):
    """A live view of the registry; setting a key registers a provider."""

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        row = _row(name)
        return MappingProxyType(
            {
                "api_key_vars": list(row.api_key_vars),
                "default_model": row.default_model,
                "model_env_var": row.model_env_var or f"LLMPORT_{name.upper()}_MODEL",
                "base_url": row.base_url,
                "dialect": row.dialect,
                "connector": row.connector,
            }
        )

    def __setitem__(self, name: str, fields: Mapping[str, Any]) -> None:
        register_provider(name, replace=True, **dict(fields))

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        default_registry().unregister_provider(name)

    def __iter__(self) -> Iterator[str]:
        return iter([row.name for row in default_registry().providers()])

    def __len__(self) -> int:
        return len(default_registry().providers())

    def __contains__(self, name: object) -> bool:
        return any(row.name == name for row in default_registry().providers())

    def __repr__(self) -> str:
        return f"PROVIDER_CONFIG({', '.join(self)})"


class _ConnectorMap(MutableMapping[str, Any]):
    """A live view of the connector classes by provider; setting one registers it."""

    def __getitem__(self, name: str) -> Any:
        from llmport_magic.llm.provider import LLMProvider
        from llmport_magic.llm.selection import connector_class

        row = _row(name)
        return LLMProvider if row.connector is None else connector_class(row)

    def __setitem__(self, name: str, connector: Any) -> None:
        registry = default_registry()
        if name in PROVIDER_CONFIG:
            row = replace(registry.provider(name), connector=connector)
            registry.register_provider(row, replace=True)
        else:
            registry.register_provider(name, connector=connector)

    def __delitem__(self, name: str) -> None:
        del PROVIDER_CONFIG[name]

    def __iter__(self) -> Iterator[str]:
        return iter(PROVIDER_CONFIG)

    def __len__(self) -> int:
        return len(PROVIDER_CONFIG)


PROVIDER_CONFIG: MutableMapping[str, Mapping[str, Any]] = _ProviderConfig()
CONNECTOR_MAP: MutableMapping[str, Any] = _ConnectorMap()

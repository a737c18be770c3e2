"""Every provider and model that is known: the shipped catalogue, and what the user adds."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Container, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.llm.capabilities import Provider
from llmport_magic.llm.catalogue import (
    provider_from,
    shipped_providers,
)
from llmport_magic.llm.plugins import installed_providers
from llmport_magic.llm.provider_files import (
    ProviderFiles,
    provider_of_file,
    rows_over,
    users_files,
)
from llmport_magic.llm.provider_views import CONNECTOR_MAP, PROVIDER_CONFIG
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


class LLMRegistry(ProviderFiles):
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
        """Make a registry of the shipped catalogue and of what installed packages bring along.

        What the user's own files say, `providers/*.yaml` beside the settings file, is put over it.

        Raises:
            ConfigError: one of them cannot be used; the message has file, line and field.
        """
        rows = {row.name: row for row in shipped_providers()}
        return cls(rows_over(rows, users_files()).values(), further=installed_providers)

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

    def _change(self, change: Callable[[Mapping[str, Provider]], Provider]) -> Provider:
        with self._lock:
            row = change(self._providers)
            self._providers = MappingProxyType({**self._providers, row.name: row})
        return row

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


@cache
def default_registry() -> LLMRegistry:
    """Give the registry that the package uses, made on first use."""
    return LLMRegistry.create_default()


def register_provider(
    provider: Provider | str | Path, *, replace: bool = False, **fields: Any
) -> Provider:
    """Add a provider to the registry that the package uses; see `LLMRegistry`."""
    return default_registry().register_provider(provider, replace=replace, **fields)

"""Every provider and model that is known: the shipped catalogue, and what the user adds."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from llmport_magic.errors import ConfigError
from llmport_magic.llm.capabilities import ModelFamily, Provider, ProviderState
from llmport_magic.llm.catalogue import (
    provider_from,
    shipped_providers,
)
from llmport_magic.llm.credentials import Credentials, variables_of
from llmport_magic.llm.detection import Detection
from llmport_magic.llm.key_sources import checked_key, looks_foreign
from llmport_magic.llm.listing import ProviderRow, provider_rows
from llmport_magic.llm.plugins import check_connector, installed_providers
from llmport_magic.llm.provider_files import (
    ProviderFiles,
    provider_of_file,
    rows_over,
    users_files,
)
from llmport_magic.llm.provider_settings import KeyFinder, key_of, settings_of
from llmport_magic.llm.provider_views import CONNECTOR_MAP, PROVIDER_CONFIG
from llmport_magic.llm.selection import (
    capabilities_of,
    choose_provider,
    close_connectors,
    connector_for,
    default_model,
    named_connector,
)
from llmport_magic.locks import lock
from llmport_magic.secrets import Secret, find_key
from llmport_magic.settings import origin, resolve

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


# Whose models a family is, where it is one vendor's.
_VENDORS: Mapping[str, str] = {
    ModelFamily.CLAUDE: "anthropic",
    ModelFamily.GPT: "openai",
    ModelFamily.GEMINI: "gemini",
    ModelFamily.DEEPSEEK: "deepseek",
}


def _is_family(name: str) -> bool:
    return str(name).strip().lower() in frozenset(ModelFamily)


class LLMRegistry(Detection, ProviderFiles):
    """Providers by name, in the order in which `auto` searches them.

    Reading needs no lock: a change puts a new mapping in the place of the old one.

    Args:
        providers: to begin with.
        further: finds more of them, given the names that are taken; it is asked once, when a name
            is not known or all providers are wanted.
        credential_manager: where keys are looked up before the environment; see `Credentials`.
        auto_update_capabilities: whether what a provider says of a model is put over what is
            known of it, before its first use.

    Attributes:
        credentials: where its keys come from.
    """

    def __init__(
        self,
        providers: Iterable[Provider] = (),
        *,
        further: Callable[[Container[str]], Iterable[Provider]] | None = None,
        credential_manager: Any = None,
        auto_update_capabilities: bool = False,
    ) -> None:
        super().__init__()
        self.credentials = Credentials(credential_manager)
        self.auto_update_capabilities = auto_update_capabilities
        self._initialized: frozenset[str] = frozenset()
        self._lock = lock()
        self._providers: Mapping[str, Provider] = MappingProxyType({p.name: p for p in providers})
        self._further = further

    def __repr__(self) -> str:
        ready = ", ".join(sorted(self._initialized)) or "none"
        return f"LLMRegistry({len(self._providers)} providers, initialized: {ready})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a registry is not pickled: its keys would be, too; make one where you need it"
        )

    @classmethod
    def create_default(
        cls,
        credential_manager: Any = None,
        auto_update_capabilities: bool = False,
        initialize_from_env: bool = False,
    ) -> LLMRegistry:
        """Make a registry of the shipped catalogue and of what installed packages bring along.

        What the user's own files say, `providers/*.yaml` beside the settings file, is put over it.

        Args:
            credential_manager: a mapping from providers' names to keys, a function from a name to
                a key or `None`, or an object with `get_credential(name)`; the environment is
                looked into in any case.
            auto_update_capabilities: whether what a provider says of its models is put over what
                is known of them.
            initialize_from_env: whether the providers whose key is in the environment are
                initialised at once.

        Raises:
            ConfigError: a file cannot be used, with file, line and field; or the manager.
        """
        rows = {row.name: row for row in shipped_providers()}
        registry = cls(
            rows_over(rows, users_files()).values(),
            further=installed_providers,
            credential_manager=credential_manager,
            auto_update_capabilities=auto_update_capabilities,
        )
        if initialize_from_env:
            registry._initialize_from_env()
        return registry

    def initialize_provider(self, provider_name: str, api_key: Secret | str | None = None) -> None:
        """Make a provider ready to be asked.

        Args:
            provider_name: in any case; or the family of models whose vendor is meant.
            api_key: kept in memory only, and handed to a credential manager that takes new keys;
                `None` looks the key up with each call, and is all that a provider without keys
                needs.

        Raises:
            ConfigError: the provider is not known, the key is empty, or none is found.
        """
        if api_key is not None:
            # No plain text stays in this frame, where a traceback could show it.
            api_key = checked_key(api_key, str(provider_name))
        row = self.provider(provider_name)
        if isinstance(api_key, Secret):
            owner = looks_foreign(api_key, row.name)
            if owner:
                warnings.warn(
                    f"the key for `{row.name}` looks like one of `{owner}`: it is taken as it is",
                    stacklevel=2,
                )
            self.credentials.give(row.name, api_key)
        elif row.key_required:
            settings = settings_of(row, resolve(provider=row.name))
            KeyFinder(row, settings, self.credentials).needed(own=True)
        self.note_use(row)

    def note_use(self, row: Provider) -> None:
        """Count a provider that somebody asks through this registry as initialised."""
        if row.name not in self._initialized:
            with self._lock:
                self._initialized |= {row.name}

    def _initialize_from_env(self) -> None:
        settings = resolve()
        for row in self.providers():
            if find_key(variables_of(row, settings_of(row, settings))) is not None:
                self.note_use(row)

    def deinitialize_provider(self, provider_name: str) -> None:
        """Take a provider back to where it is only registered, and forget its key.

        A key that a manager or the environment holds stays there.

        Raises:
            ConfigError: there is none of that name.
        """
        self._forget(self.provider(provider_name).name)

    def _forget(self, name: str) -> None:
        with self._lock:
            self._initialized -= {name}
        self.credentials.forget(name)

    def provider_state(self, name: str) -> ProviderState:
        """Say how far a provider is.

        Initialised is one that somebody initialised or asked through this registry, and whose key
        is still found; a key in the environment alone does not make it so.

        Raises:
            ConfigError: there is none of that name.
        """
        row = self.provider(name)
        if row.name in self._initialized and (not row.key_required or self._has_key(row)):
            return ProviderState.INITIALIZED
        return ProviderState.REGISTERED

    def is_provider_initialized(self, name: str) -> bool:
        """Tell whether a provider is ready to be asked; one that is not known is not."""
        try:
            return self.provider_state(name) is ProviderState.INITIALIZED
        except ConfigError:
            return False

    def _has_key(self, row: Provider) -> bool:
        try:
            settings = settings_of(row, resolve(provider=row.name))
            return key_of(row, settings, self.credentials).secret is not None
        except ConfigError:
            # For example a key file that is gone: whoever asks the provider is told.
            return False

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
        if provider.connector is not None:
            check_connector(provider.name, provider.connector)
        with self._lock:
            if provider.name in self._providers and not replace:
                raise ConfigError(
                    f"provider `{provider.name}` is registered: pass `replace=True` to replace it"
                )
            before = self._put(provider)
        self._forget_elsewhere(before, provider)
        return provider

    def _change(self, change: Callable[[Mapping[str, Provider]], Provider]) -> Provider:
        with self._lock:
            row = change(self._providers)
            before = self._put(row)
        self._forget_elsewhere(before, row)
        return row

    def _put(self, row: Provider) -> Provider | None:
        before = self._providers.get(row.name)
        self._providers = MappingProxyType({**self._providers, row.name: row})
        return before

    def _forget_elsewhere(self, before: Provider | None, row: Provider) -> None:
        """Let a key that was given for one address go to no other."""
        if before and (origin(before.base_url), before.connector) != (
            origin(row.base_url),
            row.connector,
        ):
            self._forget(row.name)

    def unregister_provider(self, name: str) -> None:
        """Take a provider away.

        Raises:
            ConfigError: there is none of that name.
        """
        name = self.provider(name).name
        with self._lock:
            rest = {key: row for key, row in self._providers.items() if key != name}
            self._providers = MappingProxyType(rest)
        self._forget(name)

    def provider(self, name: str) -> Provider:
        """Give a provider by its name, in any case, or by the family of its own models.

        Raises:
            ConfigError: there is none, or several have that family; the message names them all.
        """
        found = self._found(name)
        if found is None:
            self._look_further()
            found, known = self._found(name), self._providers
        if found is None and _is_family(name):
            raise ConfigError(
                f"several providers have models of the family `{name}`: name one of "
                f"{', '.join(known)}"
            )
        if found is None:
            near = difflib.get_close_matches(str(name).lower(), list(known), n=1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            raise ConfigError(f"unknown provider `{name}`: {hint}known: {', '.join(known)}")
        return found

    def _found(self, name: str) -> Provider | None:
        known, text = self._providers, str(name).strip().lower()
        vendor = known.get(_VENDORS.get(text, ""))
        if isinstance(name, ModelFamily):
            return vendor
        found = known.get(name) or known.get(text)
        # What a user registers may have capitals in its name.
        return found or next((row for row in known.values() if row.name.lower() == text), vendor)

    def providers(self, *, installed: bool = True) -> tuple[Provider, ...]:
        """Give every provider, in the order in which `auto` searches them.

        Args:
            installed: whether those of other packages are looked for, which takes some
                milliseconds once.
        """
        if installed:
            self._look_further()
        return tuple(sorted(self._providers.values(), key=lambda row: row.order))


class _DefaultRegistry:
    """Makes one registry, however many threads ask first; `cache` would give each its own."""

    def __init__(self) -> None:
        self._making = lock()
        self._made: LLMRegistry | None = None

    def __call__(self) -> LLMRegistry:
        """Give the registry that the package uses, made on first use."""
        found = self._made
        if found is None:
            with self._making:
                found = self._made = self._made or LLMRegistry.create_default()
        return found

    def cache_clear(self) -> None:
        """Forget it: the next use makes another."""
        self._made = None


default_registry = _DefaultRegistry()


def register_provider(
    provider: Provider | str | Path, *, replace: bool = False, **fields: Any
) -> Provider:
    """Add a provider to the registry that the package uses; see `LLMRegistry`."""
    return default_registry().register_provider(provider, replace=replace, **fields)

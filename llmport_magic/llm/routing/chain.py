"""Who may be asked, in which order, and the connector for each: out of settings, or given."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llmport_magic import bridge
from llmport_magic.errors import ConfigError, UsageError
from llmport_magic.llm.addresses import is_loopback
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.provider_settings import refusal_of, settings_of
from llmport_magic.llm.selection import FOR_SOMEBODY, choose_provider, connector_for, why_available
from llmport_magic.settings import (
    ProviderNames,
    Settings,
    for_another,
    resolve_for,
    times_changed,
)

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import Provider
    from llmport_magic.llm.registry import LLMRegistry

# To look through all keys takes longer than a call's share: a new one is seen after so long.
_KEPT_SECONDS = 1.0
# These answer without an address.
_INSIDE = ("embedded", "mock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One provider that may be asked.

    Attributes:
        name: in the registry, or of the connector that was given.
        certain: whether it may be asked unseen; a local server that nobody named is looked for
            first.
        listed: whether the user named it, so that a missing key is worth a warning.
    """

    name: str
    certain: bool = True
    listed: bool = False


class Chain(ABC):
    """Providers in the order in which they are asked."""

    def __init__(self, resolving: Callable[[], Settings]) -> None:
        self._resolving = resolving
        self._resolved: tuple[int, Settings] | None = None
        self._common: tuple[Settings, Settings] | None = None

    @property
    def settings(self) -> Settings:
        """The settings that hold for all of them; looked up again after each `configure()`."""
        if self._resolved is None or self._resolved[0] != times_changed():
            self._resolved = (times_changed(), self._resolving())
            self._forget()
        return self._resolved[1]

    @property
    def common(self) -> Settings:
        """The settings for all of them together, without what stands in the tables of one."""
        settings = self.settings
        if self._common is None or self._common[0] is not settings:
            self._common = (settings, resolve_for(settings, "router", ProviderNames()))
        return self._common[1]

    def _forget(self) -> None:  # noqa: B027 - most keep nothing
        """Take note that the settings are others."""

    @abstractmethod
    def candidates(self, *, kept: bool = False) -> tuple[Candidate, ...]:
        """Name those that may be asked, the first one first; looks at no network.

        Args:
            kept: whether what was found within the last second will do.

        Raises:
            ConfigError: a provider that is named is not known.
        """

    @property
    def fresh(self) -> bool:
        """Whether what is kept was found within the last second."""
        return True

    @abstractmethod
    def name_of(self, provider: str) -> str:
        """Give the name by which a provider is known here.

        Raises:
            ConfigError: there is none.
        """

    @abstractmethod
    async def learn(self, name: str) -> None:
        """Let what a provider says of its model be known before that is asked, where so wished."""

    @abstractmethod
    def made(self, name: str) -> BaseLLMConnector | None:
        """Give the connector of a provider, where that takes no time."""

    @abstractmethod
    def connector(self, name: str) -> BaseLLMConnector:
        """Give the connector of a provider, whether or not it is a candidate.

        Raises:
            ConfigError: the provider is not known, or cannot be asked as it is configured.
        """

    def is_here(self, name: str) -> bool:
        """Look whether a candidate that is not certain can be asked; this may take 0.3 s."""
        return True

    def is_installed(self, name: str) -> bool:
        """Tell whether what a provider stands on is on this machine."""
        return True

    def refuse(self) -> ConfigError:
        """Say why nobody can be asked at all."""
        return ConfigError("nobody can be asked: give the router a connector")


class GivenChain(Chain):
    """Connectors that somebody made already.

    Args:
        connectors: in the order in which they are asked.
        settings: gives the settings that hold for all of them.

    Raises:
        UsageError: there is none, or one is no connector.
    """

    def __init__(
        self, connectors: Iterable[BaseLLMConnector], settings: Callable[[], Settings]
    ) -> None:
        super().__init__(settings)
        self._connectors: dict[str, BaseLLMConnector] = {}
        for connector in connectors:
            if not isinstance(connector, BaseLLMConnector):
                raise UsageError(f"a router is given connectors, not {type(connector).__name__}")
            name, number = connector.provider_name, 1
            while name in self._connectors:
                number += 1
                name = f"{connector.provider_name}-{number}"
            self._connectors[name] = connector
        if not self._connectors:
            raise UsageError("give the router a connector, or leave `connectors` out")

    def candidates(self, *, kept: bool = False) -> tuple[Candidate, ...]:
        """Name all of them."""
        return tuple(Candidate(name=name, listed=True) for name in self._connectors)

    def name_of(self, provider: str) -> str:
        """Find one of them by its name, in any case.

        Raises:
            ConfigError: the router was given none of that name.
        """
        for name in self._connectors:
            if provider in (name, name.lower()):
                return name
        raise ConfigError(
            f"this router has no provider `{provider}`: it was given {', '.join(self._connectors)}"
        )

    async def learn(self, name: str) -> None:
        """Leave them as they were given."""

    def made(self, name: str) -> BaseLLMConnector | None:
        """Give one of them."""
        return self._connectors[name]

    def connector(self, name: str) -> BaseLLMConnector:
        """Give one of them."""
        return self._connectors[name]


class ConfiguredChain(Chain):
    """The providers that the settings and the keys allow.

    The provider that the settings name goes first, or with `auto` whoever can be asked, in the
    order of the catalogue. The setting `fallback` says who follows. Where it is not set all others
    follow that can be asked; but one that is on this machine, and was named, is only followed by
    such as are here as well: what is asked of it does not leave the machine unasked.

    Args:
        settings: gives the settings as they are now.
        registry: of the providers.
        listed: further providers that the user named, for example by a table of their own.
    """

    def __init__(
        self, settings: Callable[[], Settings], registry: LLMRegistry, listed: Iterable[str] = ()
    ) -> None:
        super().__init__(settings)
        self._registry = registry
        self._listed = tuple(listed)
        self._made: dict[str, tuple[float, BaseLLMConnector]] = {}
        self._kept: tuple[float, tuple[Candidate, ...]] | None = None
        # What is named and not known is told at once.
        for name in (*self._named(), *self.settings.fallback, *self._listed):
            registry.provider(name)

    def _forget(self) -> None:
        self._made, self._kept = {}, None

    def _named(self) -> tuple[str, ...]:
        """Give the one that the settings name, if they do."""
        settings = self.settings
        if settings.provider.lower() != "auto":
            return (settings.provider,)
        # An address or a key without a name: choosing says whose it is, or refuses.
        told = any(getattr(settings, name) for name in ("base_url", *FOR_SOMEBODY))
        return (choose_provider(settings, self._registry)[0],) if told else ()

    def candidates(self, *, kept: bool = False) -> tuple[Candidate, ...]:
        """Name those that may be asked, the first one first; looks at no network."""
        settings = self.settings
        if not kept or self._kept is None or not self.fresh:
            self._kept = (time.monotonic(), self._ordered(settings))
        return self._kept[1]

    @property
    def fresh(self) -> bool:
        """Whether what is kept was found within the last second."""
        if self._kept is None or self._resolved is None:
            return False
        recent = time.monotonic() - self._kept[0] <= _KEPT_SECONDS
        return recent and self._resolved[0] == times_changed()

    def _ordered(self, settings: Settings) -> tuple[Candidate, ...]:
        first = [self._row(name) for name in self._named()]
        if settings.source("fallback") != "default":
            further = [self._row(name) for name in settings.fallback]
            begin = first or _up_to_certain(self._available())
            return self._unique([*begin, *further], {row.name for row in first + further})
        rest = self._available()
        if first and self._stays_here(first[0]):
            rest = [row for row in rest if self._stays_here(row)]
        return self._unique([*first, *rest], {row.name for row in first})

    def _available(self) -> list[Provider]:
        """Give those of whom no other says that they cannot be asked, in the catalogue's order."""
        settings = self.settings
        found = []
        for row in self._registry.providers():
            if refusal_of(row, settings):
                continue
            if row.name in self._listed or (row.auto and (row.probe or self._is_ready(row))):
                found.append(row)
        if settings.model and settings.provider.lower() == "auto":
            # Whoever has the model goes first; sorting keeps the order of the others.
            found.sort(key=lambda row: settings.model not in row.models)
        return found

    def _is_ready(self, row: Provider) -> bool:
        try:
            return why_available(row, self.settings, self._registry) is not None
        except ConfigError:
            # For example a key file that is gone: it is told when the provider's turn comes.
            return True

    def _unique(self, rows: Iterable[Provider], named: set[str]) -> tuple[Candidate, ...]:
        unique = {row.name: row for row in rows}
        return tuple(
            Candidate(
                name=row.name, certain=row.name in named or not row.probe, listed=row.name in named
            )
            for row in unique.values()
        )

    def _stays_here(self, row: Provider) -> bool:
        """Tell whether what is asked of a provider stays on this machine."""
        url = settings_of(row, self._settings_for(row.name)).base_url
        return is_loopback(urlsplit(url).hostname or "") if url else row.name in _INSIDE

    def name_of(self, provider: str) -> str:
        """Find a provider in the registry."""
        return self._row(provider).name

    async def learn(self, name: str) -> None:
        """Let a registry with `auto_update_capabilities` ask the provider, once in a session."""
        if self._registry.auto_update_capabilities:
            row = self._row(name)
            settings = settings_of(row, await bridge.in_thread(self._settings_for, row.name))
            await self._registry.update_capabilities(row.name, settings.model or "")

    def made(self, name: str) -> BaseLLMConnector | None:
        """Give the connector that was made within the last second."""
        when, connector = self._made.get(name, (float("-inf"), None))
        return connector if time.monotonic() - when <= _KEPT_SECONDS else None

    def connector(self, name: str) -> BaseLLMConnector:
        """Give the connector of a provider, whether or not it is a candidate."""
        connector = connector_for(self._settings_for(self.name_of(name)), self._registry)
        self._made[name] = (time.monotonic(), connector)
        return connector

    def _row(self, name: str) -> Provider:
        return self._registry.provider(name)

    def _settings_for(self, name: str) -> Settings:
        """Give the settings with one provider named, and nothing of what was set for another."""
        settings = self.settings
        if settings.provider.lower() != "auto":
            own = self.name_of(settings.provider) == name
            return settings if own else for_another(settings, name)
        meant = self._is_meant(name, settings)
        return replace(settings, provider=name) if meant else for_another(settings, name)

    def _is_meant(self, name: str, settings: Settings) -> bool:
        """Tell whether what was set for whoever answers is for this one."""
        if settings.base_url:
            return name == "local"
        owners = [row.name for row in self._registry.providers() if settings.model in row.models]
        return name in (owners or [each.name for each in self.candidates()[:1]])

    def is_here(self, name: str) -> bool:
        """Look whether a local server answers."""
        row, settings = self._row(name), self._settings_for(name)
        return why_available(row, settings, self._registry) is not None

    def is_installed(self, name: str) -> bool:
        """Tell whether the embedded model has its weights; the others need nothing."""
        return name != "embedded" or self.is_here(name)

    def refuse(self) -> ConfigError:
        """Say how somebody could be asked."""
        try:
            choose_provider(self.settings, self._registry)
        except ConfigError as error:
            return error
        return super().refuse()


def _up_to_certain(rows: list[Provider]) -> list[Provider]:
    """Give the first that may be asked unseen, and the local servers before it."""
    certain = next((n for n, row in enumerate(rows) if not row.probe), len(rows))
    return rows[: certain + 1]

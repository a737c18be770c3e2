"""`PROVIDER_CONFIG` and `CONNECTOR_MAP`: live views of the registry that the package uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import ConfigError

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import Provider
    from llmport_magic.llm.registry import LLMRegistry


def _registry() -> LLMRegistry:
    from llmport_magic.llm.registry import default_registry

    return default_registry()


def _row(name: str) -> Provider:
    for row in _registry().providers():
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
        if not isinstance(fields, Mapping):
            kind = type(fields).__name__
            raise ConfigError(f"`{name}` is set to a mapping of a provider's fields, not {kind}")
        _registry().register_provider(name, replace=True, **dict(fields))

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        _registry().unregister_provider(name)

    def __iter__(self) -> Iterator[str]:
        return iter([row.name for row in _registry().providers()])

    def __len__(self) -> int:
        return len(_registry().providers())

    def __contains__(self, name: object) -> bool:
        return any(row.name == name for row in _registry().providers())

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
        registry = _registry()
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

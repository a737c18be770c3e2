"""Reads providers out of YAML rows and mappings, and says which field is wrong."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.llm.capabilities import LLMCapabilities, LLMProfile, ModelFamily, Provider
from llmport_magic.secrets import hidden

# Other spellings of the same fields.
_ALIASES = {"api_base": "base_url", "requires_key": "key_required"}
_FOREIGN = frozenset({"rate_limits"})


class ShippedModels(Mapping[str, LLMProfile]):
    """The models of a shipped row by name; each is made when it is asked for: there are hundreds.

    Args:
        provider: whose models they are.
        rows: what the catalogue says of each, by name.
    """

    def __init__(self, provider: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
        self._provider = provider
        self._rows = rows
        self._made: dict[str, LLMProfile] = {}
        self._aliases = {
            alias: name for name, row in rows.items() for alias in row.get("aliases", ())
        }

    def __getitem__(self, name: str) -> LLMProfile:
        if name not in self._made:
            source = f"{self._provider}.yaml: models.{name}"
            self._made[name] = _profile(name, self._rows[name], self._provider, source)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def named(self, alias: str) -> LLMProfile | None:
        """Give the model that has another name, too."""
        return self[self._aliases[alias]] if alias in self._aliases else None


def shipped_providers() -> list[Provider]:
    """Read the catalogue that comes with the package, in the order in which `auto` searches."""
    found = [
        _shipped(row.read_text(encoding="utf-8"), row.name)
        for row in files(__package__).joinpath("catalog").iterdir()
        if row.name.endswith(".yaml")
    ]
    return sorted(found, key=lambda provider: (provider.order, provider.name))


def _shipped(text: str, source: str) -> Provider:
    """Read a shipped row; below its comments it is JSON, which takes no time."""
    row = json.loads(text[text.index("{") :])["provider"]
    models = row.pop("models", {})
    provider = provider_from(row, source=source)
    return replace(provider, models=ShippedModels(provider.name, models))


def model_named(models: Mapping[str, LLMProfile], name: str) -> LLMProfile | None:
    """Find a model by its name or another name of it."""
    if name in models:
        return models[name]
    if isinstance(models, ShippedModels):
        return models.named(name)
    return next((profile for profile in models.values() if name in profile.aliases), None)


def provider_of_file(path: Path) -> Provider:
    """Read one provider out of a YAML file.

    Raises:
        ConfigError: the file cannot be read, or a field cannot be used, with its place.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())
        raise ConfigError(f"{path.name} cannot be read ({line}): check the file") from None
    return provider_from(content, source=path.name)


def provider_from(content: Any, *, name: str | None = None, source: str = "provider") -> Provider:
    """Make a provider of a mapping.

    Args:
        content: the fields, or a mapping with them under `provider`.
        name: of the provider, where the mapping does not say it.
        source: what to name in an error.

    Raises:
        ConfigError: an unknown field or a value that cannot be used, with its place.
    """
    if isinstance(content, Mapping) and isinstance(content.get("provider"), Mapping):
        content = content["provider"]
    if not isinstance(content, Mapping):
        raise ConfigError(f"{source}: a provider is a mapping of fields")
    given: dict[str, Any] = {
        _ALIASES.get(str(key), str(key)): value
        for key, value in content.items()
        if key not in _FOREIGN
    }
    given = {"name": name, **given} if name else given
    _check_names(given, _names(Provider), source)
    if not isinstance(given.get("name"), str):
        raise ConfigError(f"{source}: `name` is missing")
    models = given.pop("models", None) or {}
    if not isinstance(models, Mapping):
        raise ConfigError(f"{source}: `models` maps names to models")
    variables = given.get("api_key_vars") or ()
    given["api_key_vars"] = (variables,) if isinstance(variables, str) else tuple(variables)
    given.setdefault("key_required", bool(given["api_key_vars"]))
    given["headers"] = MappingProxyType(hidden(given.get("headers") or {}))
    given["models"] = MappingProxyType(
        {
            model: _profile(model, fields_, given["name"], f"{source}: models.{model}")
            for model, fields_ in models.items()
        }
    )
    try:
        return Provider(**given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{source}: {error}") from None


def _profile(name: str, content: Any, provider: str, source: str) -> LLMProfile:
    if isinstance(content, LLMProfile):
        return content
    if not isinstance(content, Mapping):
        raise ConfigError(f"{source}: a model is a mapping of fields")
    given: dict[str, Any] = dict(content)
    _check_names(given, _names(LLMProfile), source)
    capabilities = given.pop("capabilities", None) or {}
    _check_names(capabilities, _names(LLMCapabilities), f"{source}.capabilities")
    try:
        return LLMProfile(
            **{"name": name, "provider": provider, **given}
            | {
                "family": ModelFamily(given.get("family", ModelFamily.CUSTOM)),
                "retired_on": _day(given.get("retired_on")),
                "aliases": tuple(given.get("aliases") or ()),
                "capabilities": LLMCapabilities(**capabilities),
            }
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{source}: {error}") from None


def _day(value: Any) -> str | None:
    """Read a day as YAML or JSON has it: a date, or its text."""
    if value is None:
        return None
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise ValueError(f"`retired_on` is a day like 2026-12-31, not `{value}`") from None


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


def _check_names(given: Any, known: Iterable[str], source: str) -> None:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{source}: a mapping of fields is needed")
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), list(known), n=1)
            hint = f": did you mean `{near[0]}`?" if near else ""
            raise ConfigError(f"{source}: unknown field `{name}`{hint}")

"""Reads providers out of YAML rows and mappings, and says which field is wrong."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import ConfigError
from llmport_magic.llm.capabilities import (
    FieldError,
    LLMCapabilities,
    LLMProfile,
    ModelFamily,
    Provider,
)
from llmport_magic.secrets import hidden

if TYPE_CHECKING:
    from llmport_magic.llm.limits import RateLimits

# Other spellings of the same fields.
ALIASES = {"api_base": "base_url", "requires_key": "key_required"}
# What stands below `rate_limits` in a file, and is a field of its own in a row.
RATES = ("requests_per_minute", "tokens_per_minute")
_NOWHERE: Mapping[tuple[str, ...], int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands that is read, for the message where it cannot be used.

    Attributes:
        source: a file's name, or other words for where the fields come from.
        path: the keys that lead there.
        lines: the line of each key in the file, by its path.
    """

    source: str
    path: tuple[str, ...] = ()
    lines: Mapping[tuple[str, ...], int] = field(default_factory=lambda: _NOWHERE)

    def at(self, *keys: str) -> Place:
        """Give a place below this one."""
        return replace(self, path=(*self.path, *keys))

    def error(self, what: str, key: str = "") -> ConfigError:
        """Say what is wrong with a key here, or with all of it."""
        line = self.lines.get((*self.path, key)) or self.lines.get(self.path)
        where = ": ".join(filter(None, (self.source, ".".join(self.path))))
        return ConfigError(f"{where}: {what}{f' (line {line})' if line else ''}")


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
            place = Place(f"{self._provider}.yaml", ("models", name))
            self._made[name] = profile_from(self._rows[name], name, self._provider, place)
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


class ModelsOver(Mapping[str, LLMProfile]):
    """Models that stand over others: those of the same name are hidden.

    Args:
        own: by name.
        below: the others.
    """

    def __init__(self, own: Mapping[str, LLMProfile], below: Mapping[str, LLMProfile]) -> None:
        self.own: Mapping[str, LLMProfile] = dict(own)
        self.below = below
        if isinstance(below, ModelsOver):
            # Flat, however many are registered one after the other.
            self.own, self.below = {**below.own, **own}, below.below
        self._aliases = {alias: name for name, row in self.own.items() for alias in row.aliases}

    def __getitem__(self, name: str) -> LLMProfile:
        return self.own[name] if name in self.own else self.below[name]

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self.below

    def __iter__(self) -> Iterator[str]:
        yield from self.below
        yield from (name for name in self.own if name not in self.below)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def named(self, alias: str) -> LLMProfile | None:
        """Give the model that has another name, too."""
        if alias in self._aliases:
            return self.own[self._aliases[alias]]
        found = model_named(self.below, alias)
        return found and self[found.name]


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
    if isinstance(models, (ShippedModels, ModelsOver)):
        return models.named(name)
    return next((profile for profile in models.values() if name in profile.aliases), None)


def provider_from(
    content: Any,
    *,
    name: str | None = None,
    source: str = "provider",
    lines: Mapping[tuple[str, ...], int] = _NOWHERE,
    known: Mapping[str, Provider] = MappingProxyType({}),
) -> Provider:
    """Make a provider of a mapping.

    Args:
        content: the fields, or a mapping with them under `provider`.
        name: of the provider, where the mapping does not say it.
        source: what to name in an error.
        lines: the line of each key, by its path below `provider`.
        known: providers by name: over one of them only the fields that are given are put.

    Raises:
        ConfigError: an unknown field or a value that cannot be used, with its place.
    """
    place = Place(source, lines=lines)
    if isinstance(content, Mapping) and isinstance(content.get("provider"), Mapping):
        _check_names(content, ("provider",), place)
        content = content["provider"]
    if not isinstance(content, Mapping):
        raise place.error("a provider is a mapping of fields")
    given = {ALIASES.get(str(key), str(key)): value for key, value in content.items()}
    given = {"name": name, **given} if name else given
    _check_names(given, (*_names(Provider), "rate_limits"), place)
    if not isinstance(given.get("name"), str):
        raise place.error("`name` is missing", "name")
    below = known.get(given["name"])
    _settle(given, place, below)
    try:
        return Provider(**given) if below is None else replace(below, **given)
    except FieldError as error:
        limits = place.at("rate_limits")
        within = limits if (*limits.path, error.field) in lines else place
        raise within.error(str(error), error.field) from None


def _settle(given: dict[str, Any], place: Place, below: Provider | None) -> None:
    """Bring the fields of a provider into the shapes that a row has."""
    for field_ in ("rate_limits", "models", "headers"):
        given[field_] = given.get(field_) or {}
        if not isinstance(given[field_], Mapping):
            raise place.error(f"`{field_}` is a mapping", field_)
    rates = given.pop("rate_limits")
    _check_names(rates, RATES, place.at("rate_limits"))
    given |= rates
    if "rate_limit_profiles" in given:
        given["rate_limit_profiles"] = _profiles(given["rate_limit_profiles"], place)
    variables = given.pop("api_key_vars", None)
    if variables is not None:
        given["api_key_vars"] = (variables,) if isinstance(variables, str) else variables
    if below is None:
        given.setdefault("key_required", bool(given.get("api_key_vars")))
    hosts = given.pop("headers")
    if hosts or below is None:
        wrong = next((key for key, text in hosts.items() if not isinstance(text, str)), None)
        if wrong is not None:
            raise place.at("headers").error(f"`{wrong}` must be a text", str(wrong))
        given["headers"] = MappingProxyType(hidden(hosts))
    models, others = given.pop("models"), {} if below is None else below.models
    own = [
        profile_from(fields_, str(model), given["name"], place.at("models", str(model)), others)
        for model, fields_ in models.items()
    ]
    given["models"] = ModelsOver({profile.name: profile for profile in own}, others)


def _profiles(given: Any, place: Place) -> Mapping[str, RateLimits]:
    """Read the limits that have a name."""
    from llmport_magic.llm.limits import RateLimits

    place = place.at("rate_limit_profiles")
    if not isinstance(given, Mapping):
        raise place.error("names are mapped to limits")
    if "default" in given:
        raise place.error("`default` stands for `rate_limits`: choose another name", "default")
    found: dict[str, RateLimits] = {}
    for name, limits in given.items():
        if not isinstance(limits, RateLimits):
            _check_names(limits, _names(RateLimits), place.at(str(name)))
            try:
                limits = RateLimits(**limits)  # noqa: PLW2901 - read, then made
            except ValueError as error:
                raise place.error(str(error), str(name)) from None
        found[str(name)] = limits
    return MappingProxyType(found)


def profile_from(
    content: Any,
    name: str,
    provider: str,
    place: Place,
    known: Mapping[str, LLMProfile] = MappingProxyType({}),
) -> LLMProfile:
    """Make a model of a mapping; over one that is known only the fields that are given are put.

    Raises:
        ConfigError: an unknown field or a value that cannot be used, with its place.
    """
    if isinstance(content, LLMProfile):
        return content
    if not isinstance(content, Mapping):
        raise place.error("a model is a mapping of fields")
    given: dict[str, Any] = dict(content)
    _check_names(given, _written(LLMProfile), place)
    capabilities, inner = given.pop("capabilities", None) or {}, place.at("capabilities")
    _check_names(capabilities, _names(LLMCapabilities), inner)
    if "family" in given:
        given["family"] = _family(given["family"], place)
    if given.get("aliases", ()) is None:
        del given["aliases"]
    below = model_named(known, name)
    try:
        able = (
            LLMCapabilities(**capabilities)
            if below is None
            else replace(below.capabilities, **capabilities)
        )
    except FieldError as error:
        raise inner.error(str(error), error.field) from None
    try:
        if below is not None:
            return replace(below, **given, capabilities=able)
        return LLMProfile(**{"name": name, "provider": provider, **given}, capabilities=able)
    except FieldError as error:
        raise place.error(str(error), error.field) from None


def _family(given: Any, place: Place) -> ModelFamily:
    """Read a family's name; in a file a misspelt one is a mistake, not another family."""
    word = str(given).strip().lower()
    if word not in list(ModelFamily):
        near = difflib.get_close_matches(word, list(ModelFamily), n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(ModelFamily)}"
        raise place.error(f"unknown family `{given}`: {hint}", "family")
    return ModelFamily(word)


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


@cache
def _written(kind: Any) -> tuple[str, ...]:
    return tuple(name for name in _names(kind) if name != "available")


def _check_names(given: Any, known: Iterable[str], place: Place) -> None:
    if not isinstance(given, Mapping):
        raise place.error("a mapping of fields is needed")
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), list(known), n=1)
            hint = f": did you mean `{near[0]}`?" if near else ""
            raise place.error(f"unknown field `{name}`{hint}", str(name))

"""Puts layers over each other, for everybody or for one provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from llmport_magic.secrets import Secret, provider_variables
from llmport_magic.settings.layer import Given, Layer, Rank
from llmport_magic.settings.tables import expanded
from llmport_magic.settings.values import (
    OF_A_PROVIDER,
    PROVIDER_BOUND,
    Settings,
    checked,
    setting_names,
)

AUTO = "auto"
# Who is meant by an address that stands without a name.
_LOCAL = "local"


class _Placed(NamedTuple):
    given: Given
    rank: Rank
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderNames:
    """Environment variables that hold settings of one provider, the first that is set wins.

    Attributes:
        model: beside `LLMPORT_<PROVIDER>_MODEL` and `LLMPORT_LLM__<PROVIDER>__MODEL`.
        base_url: beside `LLMPORT_LLM__<PROVIDER>__BASE_URL`.
        api_key: beside `LLMPORT_LLM__<PROVIDER>__API_KEY`.
        defaults: what the catalogue says of it, by the names of settings.
    """

    model: Sequence[str] = ()
    base_url: Sequence[str] = ()
    api_key: Sequence[str] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)


def merged(
    layers: Sequence[Layer],
    provider: str | None = None,
    names: ProviderNames | None = None,
    whom: str = AUTO,
) -> Settings:
    """Put layers over each other.

    What belongs to a provider is dropped where a stronger layer names another one; a table of the
    provider itself is stronger than what the same layer says of whoever answers.

    Args:
        layers: the weakest first.
        provider: whose tables count; `None` takes the one that the layers name.
        names: further variables and the catalogue's values, where the provider's row is known.
        whom: who is meant by what stands outside the tables, where the layers do not say it.
    """
    flat, said = _flat(layers)
    whom = said if said != AUTO else whom.lower()
    if whom == AUTO and "base_url" in flat:
        whom = _LOCAL if provider is not None else AUTO
    provider = provider or (None if whom == AUTO else whom)
    if provider is not None and whom not in (AUTO, provider.lower()):
        flat = {name: placed for name, placed in flat.items() if name not in PROVIDER_BOUND}
    if provider is not None:
        known = names or ProviderNames()
        for depth, layer in enumerate((_defaults(known), *layers)):
            for name, given in _of_provider(layer, provider, known).items():
                if name not in flat or depth >= flat[name].depth:
                    flat[name] = _Placed(given, layer.rank, depth)
        chosen = flat.get("provider", _Placed(Given(AUTO, AUTO), Rank.CATALOGUE, 0))
        flat["provider"] = chosen._replace(given=Given(provider, chosen.given.source))
    found = {name: expanded(placed.given, name) for name, placed in flat.items()}
    return Settings(
        **{name: given.value for name, given in found.items()},
        sources={name: given.source for name, given in found.items()},
        ranks={name: placed.rank for name, placed in flat.items()},
        layers=tuple(layers),
    )


def base_url_at(settings: Settings, provider: str, names: ProviderNames, rank: Rank) -> str | None:
    """Give the provider's base URL as the layers up to a rank have it."""
    below = [layer for layer in settings.layers if layer.rank <= rank]
    return merged(below, provider, names).base_url


def _flat(layers: Iterable[Layer]) -> tuple[dict[str, _Placed], str]:
    flat: dict[str, _Placed] = {}
    whom = AUTO
    # The catalogue lies below them all.
    for depth, layer in enumerate(layers, start=1):
        said = layer.values.get("provider")
        now = whom if said is None else said.value.lower()
        if now != whom:
            whom = now
            for name in PROVIDER_BOUND:
                flat.pop(name, None)
        for name, given in layer.values.items():
            flat[name] = _Placed(given, layer.rank, depth)
    return flat, whom


def _defaults(names: ProviderNames) -> Layer:
    values = {
        name: Given(value, "catalogue")
        for name, value in names.defaults.items()
        if value is not None
    }
    return Layer(rank=Rank.CATALOGUE, providers={"": values})


def _of_provider(layer: Layer, provider: str, names: ProviderNames) -> dict[str, Given]:
    """Give what a layer says of one provider; a table is stronger than a variable."""
    found: dict[str, Given] = {}
    if layer.variables:
        more = {"model": names.model, "base_url": names.base_url, "api_key": names.api_key}
        for setting, own in _variables(provider).items():
            for variable in (*own, *more.get(setting, ())):
                value = layer.variables.get(variable)
                if isinstance(value, Secret) or (value and value.strip()):
                    place = layer.place(variable)
                    text = value if isinstance(value, Secret) else value.strip()
                    found[setting] = Given(checked(setting, text, place), place)
                    break
    found.update(layer.providers.get("" if layer.rank == Rank.CATALOGUE else provider.lower(), {}))
    return found


@cache
def _variables(provider: str) -> Mapping[str, tuple[str, ...]]:
    """Name the variables that hold each setting of a provider, whoever it is."""
    found = {setting: provider_variables(provider, setting.upper()) for setting in OF_A_PROVIDER}
    word = f"{provider.replace('-', '_')}_model"
    # `LLMPORT_EMBEDDED_MODEL` is a setting of its own.
    if word.lower() not in setting_names():
        found["model"] = (f"LLMPORT_{word.upper()}", *found["model"])
    return found

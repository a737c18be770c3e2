"""The settings of one provider: what all layers say of it, and whether its key may go there.

A key belongs to the address that its provider had when the key was set: in the same layer, or in
a weaker one. Where a stronger layer names another address, the key stays here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmport_magic.secrets import Secret, find_key
from llmport_magic.settings import ProviderNames, Rank, base_url_at, origin, resolve_for

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import Provider
    from llmport_magic.settings import Settings

# The ways in which settings give a key.
_KEYS = ("api_key", "api_key_env")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A provider's key, as far as there is one.

    Attributes:
        secret: the key itself.
        source: where it is from.
        rank: how strong that source is.
        variables: of the row or of `api_key_env`: looked up with each call, the first set wins;
            `None` where the key stands for itself.
        withheld: why a key that is there is not used, in words for an error.
    """

    secret: Secret | None = None
    source: str = ""
    rank: Rank = Rank.CATALOGUE
    variables: tuple[str, ...] | None = None
    withheld: str = ""


def settings_of(row: Provider, settings: Settings, model: str | None = None) -> Settings:
    """Give the settings of a provider, its row being the weakest layer.

    Args:
        row: of the provider.
        settings: what `resolve` gave.
        model: asked when nobody names one; `None` is the row's default model.
    """
    from llmport_magic.llm.addresses import server_url

    found = resolve_for(settings, row.name, _names(row, model))
    if row.host_env_var and found.source("base_url").endswith(row.host_env_var):
        told = server_url(str(found.base_url), row.base_url, row.name)
        found = replace(found, base_url=told)
    return found


def key_of(row: Provider, settings: Settings) -> Key:
    """Find the key of a provider, and leave out one that was set for another address.

    Args:
        row: of the provider.
        settings: its own, as `settings_of` gives them.
    """
    key = _strongest(row, settings)
    then = base_url_at(settings, row.name, _names(row), key.rank)
    if row.host_env_var and then and "://" not in then:
        then = settings.base_url
    now = settings.base_url or row.base_url
    if origin(then) == origin(now) or not now:
        return key
    source = key.source or " or ".join(key.variables or ()) or "the environment"
    return Key(
        variables=row.api_key_vars,
        withheld=f"the key of {source} was set for {_shown(then)}, not for {_shown(now)}",
    )


def _strongest(row: Provider, settings: Settings) -> Key:
    """Take the strongest source that gives a key; a key stands before the name of a variable."""
    told = max(
        (name for name in _KEYS if getattr(settings, name)),
        key=lambda name: settings.ranks.get(name, Rank.ARGUMENT),
        default=None,
    )
    if told is None:
        return Key(rank=Rank.ENVIRONMENT, variables=row.api_key_vars)
    rank, source = settings.ranks.get(told, Rank.ARGUMENT), settings.source(told)
    if told == "api_key_env":
        named = settings.api_key_env
        secret, source = find_key(named), " or ".join(named)
        return Key(secret=secret, source=source, rank=rank, variables=named)
    variables = row.api_key_vars if rank == Rank.ENVIRONMENT else None
    return Key(secret=settings.api_key, source=source, rank=rank, variables=variables)


def _names(row: Provider, model: str | None = None) -> ProviderNames:
    return ProviderNames(
        model=(row.model_env_var,) if row.model_env_var else (),
        base_url=(row.host_env_var,) if row.host_env_var else (),
        api_key=row.api_key_vars,
        defaults={
            "model": model or row.default_model,
            "base_url": row.base_url or None,
            "requests_per_minute": row.requests_per_minute,
            "tokens_per_minute": row.tokens_per_minute,
        },
    )


def _shown(url: str | None) -> str:
    found = origin(url)
    if found is None:
        return "no address"
    scheme, host, port = found
    return f"{scheme}://{host}" + (f":{port}" if port not in (None, 80, 443) else "")

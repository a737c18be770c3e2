"""The settings of one provider: what all layers say of it, and whether its key may go there.

A key belongs to the address that its provider had when the key was set: in the same layer, or in
a weaker one. Where a stronger layer names another address, the key stays here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llmport_magic.llm.credentials import Credentials, Key
from llmport_magic.settings import ProviderNames, Rank, base_url_at, origin, resolve_for

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import Provider
    from llmport_magic.settings import Settings


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


def key_of(
    row: Provider,
    settings: Settings,
    credentials: Credentials | None = None,
    *,
    again: bool = False,
) -> Key:
    """Find the key of a provider, and leave out one that was set for another address.

    Args:
        row: of the provider.
        settings: its own, as `settings_of` gives them.
        credentials: of the registry that the row is in; `None` is the one that the package uses.
        again: whether what the keyring gave before is asked for anew.
    """
    if credentials is None:
        from llmport_magic.llm.registry import default_registry

        credentials = default_registry().credentials
    key = credentials.find(row, settings, again=again)
    if key.rank >= settings.ranks.get("base_url", Rank.CATALOGUE):
        return key
    then = base_url_at(settings, row.name, _names(row), key.rank)
    if row.host_env_var and then and "://" not in then:
        then = settings.base_url
    now = settings.base_url or row.base_url
    if origin(then) == origin(now) or not now:
        return key
    source = key.source or " or ".join(key.variables) or "the environment"
    return Key(
        variables=row.api_key_vars,
        withheld=f"the key of {source} was set for {_shown(then)}, not for {_shown(now)}",
    )


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

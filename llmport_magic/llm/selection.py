"""Who answers, and the connector for it: `provider = auto`, keys, models and the cache."""

from __future__ import annotations

import importlib
import inspect
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmport_magic import bridge
from llmport_magic.errors import ConfigError
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.models import capabilities_in
from llmport_magic.llm.plugins import check_connector, loaded, no_connector
from llmport_magic.llm.provider_settings import (
    KeyFinder,
    by_own_name,
    headers_of,
    key_of,
    nobody,
    refusal_of,
    settings_of,
)
from llmport_magic.locks import lock
from llmport_magic.secrets import Secret, scrub
from llmport_magic.settings import administration, resolve

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import Provider
    from llmport_magic.llm.provider import LLMConfig
    from llmport_magic.llm.registry import LLMRegistry
    from llmport_magic.settings import Settings

_PROBE_SECONDS = 0.3
_PROBE_LASTS_SECONDS = 5.0
_MOST_CONNECTORS = 32
_AS_SET = ("options", "seed", "retry_budget", "cache", "cache_seconds", "cache_megabytes")
# What a model thinks counts as well: a module would be cut off at the default of the others.
_REASONED_TOKENS = 16_384
# These are never given to whoever happens to answer.
FOR_SOMEBODY = ("api_key", "api_key_env", "api_key_file", "headers")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

_lock = lock()
_connectors: dict[tuple[Any, ...], tuple[Any, BaseLLMConnector]] = {}
_probed: dict[str, tuple[float, bool]] = {}


def _or_default(registry: LLMRegistry | None) -> LLMRegistry:
    from llmport_magic.llm.registry import default_registry

    return default_registry() if registry is None else registry


def choose_provider(settings: Settings, registry: LLMRegistry | None = None) -> tuple[str, str]:
    """Say who answers, and why.

    With `auto`: a provider whose key is found, in the catalogue's order; else a local server that
    answers; else the embedded model, if it is installed.

    Args:
        settings: what `resolve` gave.
        registry: whose providers and keys count; `None` is the one that the package uses.

    Raises:
        ConfigError: the provider that is set is not known, or nobody can answer.
    """
    registry, rules = _or_default(registry), administration()
    if settings.provider.lower() != "auto":
        row = registry.provider(settings.provider)
        rules.check(row.name)
        return row.name, f"set by {settings.source('provider')}"
    if settings.base_url:
        rules.check("local", settings.base_url)
        return "local", f"`base_url` is set by {settings.source('base_url')}"
    for name in FOR_SOMEBODY:
        if getattr(settings, name):
            raise ConfigError(
                f"`{name}` is set by {settings.source(name)}, but not for whom: set `provider`, too"
            )
    candidates: list[Provider] = []
    # Looking through the installed packages takes time, so only where nobody else can answer.
    for installed in (False, True):
        rows = registry.providers(installed=installed)
        more = [row for row in rows if row.auto and row not in candidates]
        if settings.model:
            # The provider that has the model goes first; sorting keeps the order of the others.
            more.sort(key=lambda row: settings.model not in row.models)
        for row in more:
            refused = refusal_of(row, settings)
            why = None if refused else why_available(row, settings, registry)
            if why:
                return row.name, why
        candidates += more
    raise ConfigError(nobody(candidates, settings))


def why_available(
    row: Provider, settings: Settings, registry: LLMRegistry | None = None
) -> str | None:
    """Say why a provider can be asked now, or `None` where it cannot.

    Args:
        row: of the provider.
        settings: what `resolve` gave.
        registry: whose keys count; `None` is the one that the package uses.

    Raises:
        ConfigError: its key file, the keyring or the credential manager cannot be read.
    """
    if row.probe:
        # Its key is for a hosted server: it does not say that one runs here.
        base_url = settings_of(row, settings).base_url or ""
        return f"a server answers at {base_url}" if _probe(row, base_url) else None
    if row.name == "embedded":
        from llmport_magic.llm import embedded

        return "it is installed" if embedded.installed() else None
    if not row.api_key_vars:
        return None
    key = key_of(row, settings_of(row, settings), _or_default(registry).credentials)
    if key.secret is None:
        return None
    named = key.fixed or key.variables
    return f"{key.source} is set" if named else f"its key is from {key.source}"


def _probe(row: Provider, base_url: str) -> bool:
    """Ask a local server, at most every few seconds, if it is there."""
    from llmport_magic.llm.addresses import endpoint
    from llmport_magic.llm.dialects import dialect_named
    from llmport_magic.llm.transport import answers

    now = time.monotonic()
    asked, answered = _probed.get(base_url, (float("-inf"), False))
    if now - asked > _PROBE_LASTS_SECONDS:
        dialect = dialect_named(row.dialect)
        try:
            url = endpoint(base_url, dialect.MODELS_PATH, dialect.DEFAULT_PATH)
        except ConfigError:
            # Another machine, which is only asked when somebody names the provider.
            return False
        answered = answers(url, _PROBE_SECONDS)
        _probed[base_url] = (now, answered)
    return answered


def connector_for(settings: Settings, registry: LLMRegistry | None = None) -> BaseLLMConnector:
    """Give the connector that the settings ask for; the same settings give the same one.

    Args:
        settings: what `resolve` gave.
        registry: where the provider and its key are looked up; `None` is the one that the package
            uses.

    Raises:
        ConfigError: the provider is not known.
        MissingKeyError: its key is missing.
    """
    own, registry = registry is not None, _or_default(registry)
    name, _ = choose_provider(settings, registry)
    row = registry.provider(name)
    settings = settings_of(row, by_own_name(settings, registry))
    administration().check(row.name, settings.base_url or "")
    keys = KeyFinder(row, settings, registry.credentials)
    key = keys.needed(own=own)
    registry.note_use(row)
    # Our own connector looks for a key with each call, and one of somebody else is handed it.
    given = key.secret if key.fixed or row.connector is not None else None
    settings = replace(settings, provider=row.name, api_key=given)
    if isinstance(row.connector, BaseLLMConnector):
        return row.connector
    values = {n: v for n, v in settings.values().items() if n != "log"}
    cache_key = (
        id(row),
        id(registry),
        # Whether a key may go to this address is a question of who named it.
        key.withheld,
        *(settings.ranks.get(name) for name in ("base_url", "keyring", *FOR_SOMEBODY)),
        *((name, _hashable(value)) for name, value in values.items()),
    )
    with _lock:
        if cache_key not in _connectors:
            while len(_connectors) >= _MOST_CONNECTORS:
                _connectors.pop(next(iter(_connectors)))
            # They are kept with it: an id stays its own as long as it is in the key.
            _connectors[cache_key] = ((row, registry), _made(row, settings, keys))
        return _connectors[cache_key][1]


def _hashable(value: Any) -> Any:
    """Give what tells a value from others; of a key its hash: none stands in a cache's key."""
    if isinstance(value, Secret):
        return value.fingerprint()
    if isinstance(value, Mapping):
        return tuple(sorted((str(name), _hashable(one)) for name, one in value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(map(_hashable, value))
    return value


def _made(row: Provider, settings: Settings, keys: KeyFinder) -> BaseLLMConnector:
    if row.connector is None:
        from llmport_magic.llm.provider import LLMProvider

        return LLMProvider(_config(row, settings, keys))
    kind = connector_class(row)
    check_connector(row.name, kind)
    if hasattr(kind, "from_settings"):
        connector = kind.from_settings(settings)
    else:
        connector = kind if isinstance(kind, BaseLLMConnector) else _called(kind, settings)
    if not isinstance(connector, BaseLLMConnector):
        raise ConfigError(no_connector(row.name))
    connector.provider_name = row.name
    connector.total_timeout = settings.total_timeout
    return connector


def _called(kind: Any, settings: Settings) -> Any:
    """Call a class of a third party with as much of key, model and URL as it takes."""
    from llmport_magic.llm.transport import hand_over

    given = {"model": settings.model, "base_url": settings.base_url}
    parameters = list(inspect.signature(kind).parameters.values())
    # Its own default stands where nothing is set.
    names = {
        p.name for p in parameters if p.default is p.empty or given.get(p.name, "") is not None
    }
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        names |= {"api_key", "model"}
    taken = {name: value for name, value in given.items() if name in names}
    needed = [p for p in parameters if p.default is p.empty and p.kind in _POSITIONAL]
    try:
        if "api_key" in names:
            return kind(api_key=hand_over(settings.api_key), **taken)
        if needed and not taken:
            return kind(*(hand_over(settings.api_key), settings.model)[: len(needed)])
        return kind(**taken)
    except Exception as error:
        scrub(error)
        raise


def connector_class(row: Provider) -> Any:
    """Give a row's connector class, importing it where the row holds its path or entry point."""
    if not isinstance(row.connector, str):
        if hasattr(row.connector, "load"):
            return loaded(row.connector)
        return row.connector
    module, _, name = row.connector.partition(":")
    return getattr(importlib.import_module(module), name)


def _config(row: Provider, settings: Settings, keys: KeyFinder) -> LLMConfig:
    from llmport_magic.llm.limits import RateLimits
    from llmport_magic.llm.provider import LLMConfig
    from llmport_magic.llm.retry import RetryPolicy
    from llmport_magic.llm.wire import Limits, Network

    given_first_byte = settings.source("first_byte_timeout") != "default"
    able = capabilities_in(row, settings.model)
    config = LLMConfig(
        base_url=settings.base_url or row.base_url,
        model=settings.model or "",
        api_key=settings.api_key,
        timeout_ms=settings.total_timeout * 1000,
        provider=row.name,
        headers=headers_of(row, settings),
        dialect=row.dialect,
        api_key_vars=settings.api_key_env or row.api_key_vars,
        keys=keys,
        key_required=row.key_required,
        limits=Limits(
            connect=settings.connect_timeout,
            first_byte=settings.first_byte_timeout if given_first_byte else None,
            first_byte_reasoning=settings.reasoning_timeout,
            idle=settings.idle_timeout,
            max_line_bytes=settings.max_line_bytes,
            max_body_bytes=settings.max_body_bytes,
            pool_size=settings.pool_size,
        ),
        retry=RetryPolicy(
            attempts=settings.attempts,
            retry_after_max=settings.retry_after_max,
            backoff=settings.backoff,
            backoff_max=settings.backoff_max,
        ),
        network=Network.of(settings),
        rate_limits=RateLimits.of(settings),
        shared_limits=settings.shared_limits,
        hint=row.hint,
        # Only of a registry of the user's own: else it stays with whoever answers in the end.
        capabilities=None if able == capabilities_of(row.name, settings.model) else able,
        **{name: getattr(settings, name) for name in _AS_SET},
    )
    if settings.temperature is not None:
        config = replace(config, temperature=settings.temperature)
    longest = settings.max_tokens
    if longest is None and able.reasoning:
        longest = _REASONED_TOKENS
    return config if longest is None else replace(config, max_tokens=longest)


def named_connector(
    name: str, *, ctx: Any = None, registry: LLMRegistry | None = None, **settings: Any
) -> BaseLLMConnector:
    """Make a connector for a provider by its name; its key is looked up with each call.

    Args:
        name: the provider's name.
        ctx: kept as the connector's `.ctx`.
        registry: as for `connector_for`.
        **settings: as for `configure()`.

    Raises:
        ConfigError: there is no provider of that name.
    """
    registry = _or_default(registry)
    row = registry.provider(name)
    return connector_of(row, resolve(provider=row.name, **settings), registry, ctx)


def connector_of(
    row: Provider, resolved: Settings, registry: LLMRegistry, ctx: Any = None
) -> BaseLLMConnector:
    """Make a connector of a row, which need not be in the registry; see `named_connector`."""
    from llmport_magic.llm.provider import LLMProvider

    if row.connector is not None:
        return connector_for(resolved, registry)
    resolved = settings_of(row, resolved, row.preset_model)
    administration().check(row.name, resolved.base_url or "")
    keys = KeyFinder(row, resolved, registry.credentials)
    # What does not stand for itself is looked up with each call.
    key = keys.find() if resolved.api_key else None
    given = key.secret if key and key.fixed else None
    return LLMProvider(ctx, _config(row, replace(resolved, api_key=given), keys))


def default_model(provider: str) -> str:
    """Name the model that a provider is asked for when nobody names one; may be empty."""
    from llmport_magic.llm.registry import default_registry

    row = default_registry().provider(provider)
    model = settings_of(row, resolve(provider=row.name)).model
    if not model and hasattr(connector_class(row), "from_settings"):
        model = connector_for(resolve(provider=row.name)).model_name_for_api
    return model or ""


def capabilities_of(provider: str, model: str | None) -> LLMCapabilities:
    """Say what a model can do, as far as it is known."""
    from llmport_magic.llm.registry import default_registry

    registry = default_registry()
    row = next((row for row in registry.providers(installed=False) if row.name == provider), None)
    if row is None:
        return LLMCapabilities()
    profile = registry.find_model(model, provider) if model else None
    if profile is not None:
        return profile.capabilities
    found = getattr(connector_class(row), "capabilities", None)
    return found if isinstance(found, LLMCapabilities) else LLMCapabilities()


async def close_connectors() -> None:
    """Forget every connector and close the connections that they share."""
    with _lock:
        connectors = [connector for _, connector in _connectors.values()]
        _connectors.clear()
        _probed.clear()
    for connector in connectors:
        await connector.aclose()
    if "llmport_magic.llm.transport" in sys.modules:
        from llmport_magic.llm.transport import shared_transport

        await bridge.in_bridge(shared_transport().aclose())

"""One call that gives a connector for whatever is known of it: provider, model, key, address."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from llmport_magic import bridge
from llmport_magic.errors import ConfigError
from llmport_magic.llm.asking import made_in_thread
from llmport_magic.settings import resolve

if TYPE_CHECKING:
    from llmport_magic.llm.cloud_run import Prefer
    from llmport_magic.llm.connector import BaseLLMConnector
    from llmport_magic.llm.registry import LLMRegistry
    from llmport_magic.secrets import Secret
    from llmport_magic.settings import Settings


async def create_llm_handler(
    provider_name: str | None = None,
    model_name: str | None = None,
    api_key: Secret | str | None = None,
    base_url: str | None = None,
    *,
    timeout: float | None = None,  # of every call, not of this one
    rate_limit_profile: str | None = None,
    prefer: Prefer = "coding",
    allow_mock: bool = False,
    errors: Literal["raise", "string"] = "raise",
    **settings: Any,
) -> BaseLLMConnector:
    """Give the connector for a provider; what is not given is as the settings say.

    The same parameters give the same connector, in every thread and event loop. Where it is the
    mock, a warning says so once.

    Args:
        provider_name: in any case; `None` is the setting `provider`, whose default `auto` picks.
        model_name: as the provider spells it, handed over verbatim. Where neither it nor a setting
            names one, Ollama is asked for the first of `cloud_run_friendly_models`, and other
            providers for their default or for what they serve.
        api_key: the key; `None` looks it up in the provider's variables.
        base_url: where the provider answers, instead of the catalogue's address.
        timeout: seconds for a whole call, its retries included.
        rate_limit_profile: `default`, the limits of the provider's row or of the settings; or a
            name under the row's `rate_limit_profiles`, as `free`.
        prefer: which order of `cloud_run_friendly_models` goes first, `coding` or `general`.
        allow_mock: whether the mock answers where a key is missing or there is nobody to ask.
        errors: `raise`, or `string`: then `generate_text`, and nothing else, returns `Error: …`
            where a model did not deliver.
        **settings: as for `configure()`, for this connector only; `model` is `model_name`.

    Raises:
        ConfigError: the provider, a setting or the profile is not known, or the key is missing.
    """
    from llmport_magic.llm import handlers

    model_name = _one_model(model_name, settings.pop("model", None))

    _check_choice("prefer", prefer, ("coding", "general"))
    _check_choice("errors", errors, ("raise", "string"))
    if timeout is not None:
        settings["total_timeout"] = timeout
    settings |= {"provider": provider_name, "api_key": api_key, "base_url": base_url}
    if rate_limit_profile not in (None, "default"):
        asked = resolve(model=model_name, **settings)
        settings = await bridge.in_thread(_with_profile, rate_limit_profile, asked, settings)
    resolved = resolve(model=model_name, **settings)
    model = handlers.model_for_ollama(resolved, prefer)
    if model is not None:
        resolved = resolve(model=model, **settings)
    # In a thread: `auto` may ask whether a local server answers.
    handler, why = await made_in_thread(handlers.handler_for, resolved, allow_mock)
    handlers.warn_of_mock(handler, why)
    await handlers.name_model(handler)
    return handlers.with_error_texts(handler) if errors == "string" else handler


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"`{name}` is one of {', '.join(choices)}, not `{value}`")


def _one_model(model_name: str | None, model: str | None) -> str | None:
    if None not in (model, model_name) and model != model_name:
        raise ConfigError("`model` and `model_name` are the same, and differ: give one")
    return model if model_name is None else model_name


def _with_profile(name: str, settings: Settings, given: dict[str, Any]) -> dict[str, Any]:
    """Put what is given over the limits of a profile of the provider that answers."""
    from llmport_magic.llm.registry import default_registry
    from llmport_magic.llm.selection import choose_provider

    row = default_registry().provider(choose_provider(settings)[0])
    if name not in row.rate_limit_profiles:
        known = ", ".join(("default", *row.rate_limit_profiles))
        raise ConfigError(f"unknown rate-limit profile `{name}`: there is {known} for `{row.name}`")
    told = {setting: value for setting, value in given.items() if value is not None}
    return asdict(row.rate_limit_profiles[name]) | told


# What is read of an agent's configuration; `stream` changes nothing: a connector does both.
_OF_AGENTS = ("provider", "model", "max_tokens", "temperature", "stream")


async def create_llm_interface(
    config: Any, llm_registry: LLMRegistry | None = None
) -> BaseLLMConnector:
    """Give the connector that an agent's configuration asks for, out of a registry.

    It has what the registry knows: the model's `capabilities`, the provider's address, headers
    and limits. `max_tokens` is cut to what the model can write.

    Args:
        config: a mapping or an object with `model` or `provider`, and `max_tokens`, `temperature`
            and `stream` where it has them; its other fields are the agent's own. Without a
            provider the one that has the model is asked.
        llm_registry: where provider, key and model are looked up; `None` is the package's own.

    Raises:
        ConfigError: the provider is not initialised, nobody has the model, or a field is misspelt.
    """
    from llmport_magic.llm.registry import default_registry
    from llmport_magic.llm.retirement import warn_of_retirement
    from llmport_magic.llm.selection import connector_for

    registry, given = llm_registry or default_registry(), _of_agent(config)
    provider, model = given.pop("provider", None), given.get("model")
    row = registry.provider(provider or registry.get_model(str(model)).provider)
    if not registry.is_provider_initialized(row.name):
        raise ConfigError(registry.how_to_initialize(row.name))
    asked = model or row.default_model or ""
    warn_of_retirement(row.name, asked, registry.find_model(asked, row.name))
    await registry.update_capabilities(row.name, asked)
    return await bridge.in_thread(connector_for, resolve(provider=row.name, **given), registry)


def _of_agent(config: Any) -> dict[str, Any]:
    """Read the fields of an agent's configuration that are set."""
    if isinstance(config, Mapping):
        for name in config:
            near = difflib.get_close_matches(str(name), _OF_AGENTS, n=1, cutoff=0.8)
            if near and name not in _OF_AGENTS:
                raise ConfigError(f"unknown field `{name}` in `config`: did you mean `{near[0]}`?")
        found = {name: config.get(name) for name in _OF_AGENTS[:-1]}
    else:
        found = {name: getattr(config, name, None) for name in _OF_AGENTS[:-1]}
    given = {name: value for name, value in found.items() if value is not None}
    if not given.keys() & {"provider", "model"}:
        raise ConfigError("`config` names nobody to ask: give it a `model` or a `provider`")
    return given

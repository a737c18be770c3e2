"""One call that gives a connector for whatever is known of it: provider, model, key, address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmport_magic import bridge
from llmport_magic.errors import ConfigError
from llmport_magic.settings import resolve

if TYPE_CHECKING:
    from llmport_magic.llm.connector import BaseLLMConnector
    from llmport_magic.secrets import Secret

# How fast a provider may be asked: so far only what its own answers ask for, which every
# connector keeps (`attempts`, `retry_budget`, `retry_after_max`).
RATE_LIMIT_PROFILES = ("default",)


async def create_llm_handler(
    provider_name: str | None = None,
    model_name: str | None = None,
    api_key: Secret | str | None = None,
    base_url: str | None = None,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - of every call, not of this one
    rate_limit_profile: str | None = None,
    **settings: Any,
) -> BaseLLMConnector:
    """Give the connector for a provider; what is not given is as the settings say.

    Args:
        provider_name: in any case; `None` is the setting `provider`, whose default `auto` picks.
        model_name: as the provider spells it, handed over verbatim.
        api_key: the key; `None` looks it up in the provider's variables.
        base_url: where the provider answers, instead of the catalogue's address.
        timeout: seconds for a whole call, its retries included.
        rate_limit_profile: one of `RATE_LIMIT_PROFILES`.
        **settings: as for `configure()`, for this connector only.

    Raises:
        ConfigError: the provider, a setting or the profile is not known, or the key is missing.
    """
    from llmport_magic.llm.selection import connector_for

    if rate_limit_profile not in (None, *RATE_LIMIT_PROFILES):
        raise ConfigError(
            f"unknown rate-limit profile `{rate_limit_profile}`: there is "
            f"{', '.join(RATE_LIMIT_PROFILES)}"
        )
    if timeout is not None:
        settings["total_timeout"] = timeout
    resolved = resolve(
        provider=provider_name, model=model_name, api_key=api_key, base_url=base_url, **settings
    )
    # In a thread: `auto` may ask whether a local server answers.
    return await bridge.in_thread(connector_for, resolved)

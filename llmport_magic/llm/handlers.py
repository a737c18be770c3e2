"""What `create_llm_handler` adds to the choice of a connector: a model for Ollama, mocks, texts."""

from __future__ import annotations

import contextlib
import copy
import warnings
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from llmport_magic.errors import ConfigError, LLMError, MissingKeyError
from llmport_magic.llm.provider_settings import settings_of
from llmport_magic.llm.registry import default_registry
from llmport_magic.llm.selection import choose_provider, connector_for
from llmport_magic.locks import lock
from llmport_magic.settings import Settings, for_another

if TYPE_CHECKING:
    from llmport_magic.llm.cloud_run import Prefer
    from llmport_magic.llm.connector import BaseLLMConnector

_lock = lock()
_texting: WeakKeyDictionary[BaseLLMConnector, BaseLLMConnector] = WeakKeyDictionary()
_warned: WeakSet[BaseLLMConnector] = WeakSet()


def model_for_ollama(settings: Settings, prefer: Prefer) -> str | None:
    """Name the model that Ollama is asked for, where it was named as the provider and no model was.

    An Ollama that `auto` has found is asked what it serves instead: a model that nobody has pulled
    would be of no use there.

    Raises:
        ConfigError: there is no such provider, or `cloud_run_friendly_models` has another shape.
    """
    if settings.provider.lower() == "auto":
        return None
    row = default_registry().provider(settings.provider)
    if row.name != "ollama" or settings_of(row, settings).model:
        return None
    from llmport_magic.llm.cloud_run import merged_lists, preferred_model

    source = settings.source("cloud_run_friendly_models")
    return preferred_model(merged_lists(settings.cloud_run_friendly_models, source), prefer)


def handler_for(settings: Settings, allow_mock: bool) -> tuple[BaseLLMConnector, str]:
    """Give the connector that the settings ask for, and why it is the mock where it is.

    Args:
        settings: what `resolve` gave.
        allow_mock: whether the mock answers where there is no key, or nobody to ask.

    Raises:
        ConfigError: as `connector_for`.
    """
    try:
        if allow_mock:
            _check_somebody_answers(settings)
        return connector_for(settings), f"the provider is set by {settings.source('provider')}"
    except MissingKeyError as error:
        if not allow_mock:
            raise
        mock = connector_for(for_another(settings, "mock"))
        return mock, f"`allow_mock` is set, and {error}"


def warn_of_mock(connector: BaseLLMConnector, why: str) -> None:
    """Say once of each mock that no model is asked."""
    if connector.provider_name != "mock":
        return
    with _lock:
        first = connector not in _warned
        _warned.add(connector)
    if first:
        warnings.warn(f"no model is asked, the mock answers: {why}", stacklevel=3)


def _check_somebody_answers(settings: Settings) -> None:
    """Take it for a missing key where `auto` finds nobody at all."""
    if settings.provider.lower() == "auto" and not (settings.api_key or settings.base_url):
        try:
            choose_provider(settings)
        except ConfigError as error:
            raise MissingKeyError(str(error)) from None


async def name_model(connector: BaseLLMConnector) -> None:
    """Ask the server what it serves, where no model is known, as its first call would do."""
    from llmport_magic.llm.provider import LLMProvider

    if isinstance(connector, LLMProvider) and not connector.model_name_for_api:
        # Nobody there: the call that follows says so.
        with contextlib.suppress(LLMError):
            served = await connector.models()
            connector.model_name_for_api = served[0] if served else ""


def with_error_texts(connector: BaseLLMConnector) -> BaseLLMConnector:
    """Give a copy whose `generate_text` returns `Error: …` where a model did not deliver.

    The copy shares everything with the connector but the totals; all its other methods raise. The
    same connector gives the same copy.
    """
    with _lock:
        if connector not in _texting:
            _texting[connector] = _copied(connector)
        return _texting[connector]


def _copied(connector: BaseLLMConnector) -> BaseLLMConnector:
    copied = copy.copy(connector)
    raising = type(connector).generate_text

    async def generate_text(*given: Any, **options: Any) -> str | None:
        try:
            return await raising(copied, *given, **options)
        except LLMError as error:
            return f"Error: {error}"

    vars(copied).update(generate_text=generate_text, _totals=None)
    return copied

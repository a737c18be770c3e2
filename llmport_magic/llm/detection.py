"""What a model can do, asked of the provider's own models endpoint.

Nothing is asked when the package is imported or a registry is made, and no prompt is ever sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from llmport_magic import bridge
from llmport_magic.errors import ConfigError, LLMError
from llmport_magic.llm.capabilities import FieldError, LLMProfile, ModelFamily
from llmport_magic.llm.key_sources import checked_key
from llmport_magic.llm.models import Models
from llmport_magic.llm.retry import is_retried
from llmport_magic.secrets import Secret, scrub

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import Provider
    from llmport_magic.llm.exchange import Ask

Told: TypeAlias = LLMProfile | Mapping[str, Any]
Detector: TypeAlias = Callable[..., Awaitable[Told | None]]

_log = logging.getLogger("llmport_magic")
# What a server answers where it does not have the question, or the model: the next one may.
_NOT_HERE = (400, 404, 405)
_FIRST_ERROR, _MISSING = 400, 404
# A first use waits for each answer: longer than this it is not worth that.
_MOST_SECONDS = 10.0
# Of OpenAI's format, the only one whose servers say that a model cannot be held to JSON.
_JSON_FLAG = "response_format"


class Detection(Models):
    """The part of a registry that asks providers what their models can do."""

    auto_update_capabilities: bool = False

    def __init__(self) -> None:
        self._detectors: dict[str, Detector] = {}
        self._detected: dict[tuple[str, str], asyncio.Task[None]] = {}

    def register_detector(self, provider: str, detector: Detector) -> None:
        """Say how to find out what a provider's models can do, instead of its models endpoint.

        Args:
            provider: its name; it need not be registered yet.
            detector: `await detector(model_name, api_key=...)`, the key a `Secret` or `None`. It
                gives an `LLMProfile`, a mapping of the fields of `LLMCapabilities`, or `None`
                where the provider does not have the model.
        """
        self._detectors[provider.strip().lower()] = detector

    async def detect_and_register_model(
        self,
        provider_name: str,
        model_name: str,
        api_key: Secret | str | None = None,
        *,
        strict: bool = False,
    ) -> LLMProfile:
        """Ask a provider what a model can do, and register that.

        What the provider says stands over what is known of the model.

        Args:
            provider_name: its name in the registry.
            model_name: as the provider spells it.
            api_key: the key; `None` looks it up as for a call.
            strict: whether it is an error that the provider cannot be reached. Otherwise what is
                known is registered, or nothing but the model's family; `detected` is false then.

        Raises:
            ConfigError: the provider is not known, or its key is missing.
            LLMError: the provider does not have the model, or refuses to say.
        """
        if api_key is not None:
            # No plain text stays in this frame, where a traceback could show it.
            api_key = checked_key(api_key, str(provider_name))
        row = self.provider(provider_name)
        known = self.find_model(model_name, row.name) or LLMProfile(
            name=model_name, provider=row.name, family=ModelFamily.of_model(model_name)
        )
        try:
            told = await self._told(row, model_name, api_key)
        except LLMError as error:
            if strict or not _is_out_of_reach(error):
                raise
            _log.debug("`%s` cannot be asked about `%s`: %s", row.name, model_name, error)
            return self.register_model(replace(known, detected=False), replace=True)
        profile = _merged(known, told, row.name)
        return self.register_model(replace(profile, detected=True), replace=True)

    async def update_capabilities(self, provider_name: str, model_name: str) -> None:
        """Ask about a model before its first use, once in a session; a failure keeps what is known.

        It does nothing unless the registry was made with `auto_update_capabilities=True`.
        """
        if self.auto_update_capabilities and model_name:
            await bridge.in_bridge(self._updated(self.provider(provider_name).name, model_name))

    async def _updated(self, provider: str, model: str) -> None:
        """Run on the one loop: calls that come at once wait for the same answer."""
        key = (provider, model)
        if key not in self._detected:
            self._detected[key] = asyncio.ensure_future(self._update(*key))
        await asyncio.shield(self._detected[key])

    async def _update(self, provider: str, model: str) -> None:
        try:
            await self.detect_and_register_model(provider, model, strict=True)
        except Exception as error:  # noqa: BLE001 - a detector may be anybody's
            _log.debug("what `%s` can do stays as it is known: %s", model, error)

    async def _told(self, row: Provider, model: str, key: Secret | None) -> Told:
        detector = self._detectors.get(row.name)
        told: Told | None
        if detector is None:
            told = await bridge.in_bridge(_asked(self, row, model, key))
        else:
            try:
                told = await detector(model, api_key=key)
            except Exception as error:
                # It has the key, and may be of anybody.
                scrub(error)
                raise
        if told is None:
            raise LLMError(
                f"`{row.name}` has no model `{model}`: see its list",
                provider=row.name,
                model=model,
                status=_MISSING,
            )
        return told


def _merged(known: LLMProfile, told: Told, provider: str) -> LLMProfile:
    if isinstance(told, LLMProfile):
        return replace(told, provider=provider)
    try:
        able = replace(known.capabilities, **told)
        if told.get("json_mode") is False and _JSON_FLAG not in able.refuses:
            # So the wish for JSON goes out in words, and no call is lost to find that out.
            able = replace(able, refuses=(*able.refuses, _JSON_FLAG))
        return replace(known, capabilities=able)
    except (FieldError, TypeError) as error:
        raise LLMError(
            f"what `{provider}` says of `{known.name}` cannot be used: {error}",
            provider=provider,
            model=known.name,
        ) from None


def _is_out_of_reach(error: LLMError) -> bool:
    """Tell a provider that cannot be asked now from one that says no."""
    status = error.status
    return status is None or status < _FIRST_ERROR or is_retried(status)


async def _asked(
    registry: Detection, row: Provider, model: str, key: Secret | None
) -> Mapping[str, Any] | None:
    from llmport_magic.llm.provider import LLMProvider
    from llmport_magic.llm.selection import connector_for
    from llmport_magic.llm.wire import Call
    from llmport_magic.settings import resolve

    settings = resolve(provider=row.name, model=model, api_key=key)
    connector = await bridge.in_thread(connector_for, settings, registry)
    if not isinstance(connector, LLMProvider):
        raise ConfigError(
            f"`{row.name}` has no models endpoint to ask: say how with `register_detector`"
        )
    limits = connector.config.limits
    limits = replace(limits, total=min(limits.total, _MOST_SECONDS))
    ask = await connector.prepare(Call(model=model, messages=()), limits)
    return await _described(ask)


async def _described(ask: Ask) -> Mapping[str, Any] | None:
    """Ask what the dialect asks about a model, until an answer is about it."""
    from llmport_magic.llm.exchange import question

    failure: LLMError | None = None
    for request in ask.dialect.describe_requests(ask.call.model):
        try:
            told = ask.dialect.read_model(await question(ask, request), ask.call.model)
        except LLMError as error:
            if error.status not in _NOT_HERE:
                raise
            failure = failure or error
        else:
            if told is not None:
                return told
    if failure is not None:
        raise failure
    return None

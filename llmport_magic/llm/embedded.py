"""The connector to a small model that runs on this machine, without a server to set up.

The model runs in a process of its own that listens on the loopback under a key made for it, and
is asked with the connector that asks everybody else: streaming, hanging up and exact token counts
are the same. It is loaded on the first call, once, and its weights are never downloaded unasked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import ConfigError
from llmport_magic.llm import engine
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.messages import as_messages
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.reply import Chunk
from llmport_magic.llm.streams import ResponseStream
from llmport_magic.llm.weights import catalogue, default_size, find_weights, weights_for
from llmport_magic.llm.wire import Limits
from llmport_magic.secrets import redact_address

if TYPE_CHECKING:
    from llmport_magic.llm.connector import Messages
    from llmport_magic.settings import Settings

# Above this size of its file a model repairs its own mistakes: it is asked as a large one.
_LARGE_MODEL_BYTES = 4_000_000_000
# A processor reads a long prompt for minutes before the first word comes, and the head of the
# answer may be there before it has begun.
_READING_SECONDS = 300.0
_MAX_TOKENS = 2048


class EmbeddedConnector(BaseLLMConnector):
    """Asks the embedded model; the same seed and settings give the same answer.

    Args:
        model: `large`, `small`, or the path of a GGUF file or of a folder that holds one of
            those two; `None` takes what is installed and fits in memory.
        threads: how many threads compute; `None` picks by the machine's load.
        temperature: of the sampling; 0 always takes the likeliest word.
        max_tokens: the longest answer.
        seed: of the sampling.
        timeout: seconds for a whole answer, once the model is loaded.
        idle: seconds between two pieces of content, and until the first one.
    """

    provider_name = "embedded"
    capabilities = LLMCapabilities(
        max_context_window=engine.CONTEXT_TOKENS,
        prefill=True,
        completion_style=True,
        grammar=True,
        size="small",
        input_cost_per_1k_tokens=0.0,
        output_cost_per_1k_tokens=0.0,
    )

    def __init__(
        self,
        model: str | None = None,
        *,
        threads: int | None = None,
        temperature: float = 0.0,
        max_tokens: int = _MAX_TOKENS,
        seed: int = 0,
        timeout: float = 600.0,
        idle: float = _READING_SECONDS,
    ) -> None:
        self._wanted = model
        self._threads = threads
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._seed = seed
        self._timeout = timeout
        self._idle = idle
        self._providers: dict[tuple[str, bool], LLMProvider] = {}
        path = _found(model)
        self.model_name_for_api = path.stem if path else _name(model)
        if path is not None and path.stat().st_size > _LARGE_MODEL_BYTES:
            self.capabilities = replace(self.capabilities, size="large")

    def __repr__(self) -> str:
        return f"EmbeddedConnector({redact_address(self.model_name_for_api)!r})"

    @classmethod
    def from_settings(cls, settings: Settings) -> EmbeddedConnector:
        """Make the connector that the settings ask for; `model` wins over `embedded_model`."""
        # The catalogue's own default must not win over what fits into memory.
        given = settings.source("model") != "default"
        # Nor must the time that is right for a server on the network.
        patient = settings.source("idle_timeout") == "default"
        return cls(
            settings.model if given else settings.embedded_model,
            threads=settings.embedded_threads,
            temperature=0.0 if settings.temperature is None else settings.temperature,
            max_tokens=settings.max_tokens or _MAX_TOKENS,
            seed=settings.seed or 0,
            timeout=settings.total_timeout,
            idle=_READING_SECONDS if patient else settings.idle_timeout,
        )

    def stream(self, messages: Messages, **options: Any) -> ResponseStream:
        """Ask, and get the answer as it arrives; the first call loads the model.

        Args:
            messages: a prompt, a message, a mapping, or several of them.
            **options: as in `BaseLLMConnector.complete`, and `raw`: the messages are one text
                that the model continues.

        Raises:
            ConfigError: the runtime or the weights are not installed.
            LLMError: the model cannot be loaded, or did not deliver.
        """
        given = as_messages(messages)
        raw = bool(options.pop("raw", False))
        options.pop("model", None)

        async def source() -> AsyncGenerator[Chunk, None]:
            path = installed_file(self._wanted)
            # In a thread: loading takes seconds, and an interrupt must not wait for them.
            address = await asyncio.to_thread(engine.start, path, self._threads)
            inner = self._provider(address, path.stem, raw=raw).stream(given, **options)
            try:
                async for chunk in inner.chunks():
                    yield chunk
            finally:
                await inner.aclose()

        return ResponseStream(source, self.gathering(given, options), self.totals.add)

    def _provider(self, address: engine.Address, name: str, *, raw: bool) -> LLMProvider:
        provider = self._providers.get((address.url, raw))
        if provider is None:
            config = LLMConfig(
                base_url=f"{address.url}/v1",
                model=name,
                api_key=address.key,
                temperature=self._temperature,
                max_tokens=self._max_tokens,
                seed=self._seed,
                timeout_ms=self._timeout * 1000,
                provider=self.provider_name,
                # What was asked before can change the rounding, and with it the answer.
                extra={"cache_prompt": False},
                dialect="openai_completions" if raw else "openai_chat",
                capabilities=self.capabilities,
                limits=Limits(first_byte=max(_READING_SECONDS, self._idle), idle=self._idle),
            )
            provider = self._providers[address.url, raw] = LLMProvider(config)
        return provider


def _name(model: str | None) -> str:
    size = model or default_size()
    return Path(weights_for(size).file).stem if size in catalogue() else size


def installed(model: str | None = None) -> bool:
    """Tell whether a call would find the runtime and the weights.

    Args:
        model: as for `EmbeddedConnector`.
    """
    return engine.runtime_installed() and _found(model) is not None


def installed_file(model: str | None = None) -> Path:
    """Give the file of the weights that are asked for.

    Raises:
        ConfigError: it is not there; the message names the command and the size of the download.
    """
    path = find_weights(model)
    if path is None:
        weights = weights_for(model or default_size())
        raise ConfigError(
            f"the embedded model is not installed: `%llmport model install {weights.size}` gets"
            f" {weights.bytes / 1e9:.1f} GB ({weights.name}, {weights.licence}), or choose another"
            " provider"
        )
    return path


def unload() -> None:
    """Free the memory of every embedded model; the next call loads it again."""
    engine.unload()


def _found(model: str | None) -> Path | None:
    try:
        return find_weights(model)
    except ConfigError:
        # The call itself says what is wrong with the file.
        return None

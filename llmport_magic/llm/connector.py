"""The seam between the package and whatever calls a model; third parties fill it, too."""

from __future__ import annotations

import functools
import inspect
from abc import ABC
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeAlias

from llmport_magic import bridge
from llmport_magic.errors import ConfigError, UsageError
from llmport_magic.llm import json_replies, tracing
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.clock import in_time
from llmport_magic.llm.cost import Totals
from llmport_magic.llm.gathering import Gathering
from llmport_magic.llm.messages import LLMRole, Message, MessageLike, as_messages
from llmport_magic.llm.methods import Methods
from llmport_magic.llm.reply import Chunk, LLMResponse
from llmport_magic.llm.streams import ResponseStream
from llmport_magic.locks import lock
from llmport_magic.secrets import scrub

Messages: TypeAlias = "MessageLike | Iterable[MessageLike]"
_counting = lock()


class BaseLLMConnector(Methods, ABC):
    """Something that calls a model. Subclasses give one of `call_llm`, `complete` and `stream`.

    The shortest connector is a class with a synchronous `call_llm(prompt)` that returns the
    model's raw text; it runs in a thread of its own, and works wherever a connector works.

    Attributes:
        provider_name: how the connector is called in the log and in errors.
        model_name_for_api: the model that is asked when a call names none.
        capabilities: what that model can do.
        asks_for_json: whether the connector tells the model itself to answer in JSON; else that
            is added to what the model is sent.
        own_temperature: the temperature that somebody set for it, which no usual one replaces;
            `None` where nobody did.
        total_timeout: the seconds in which a whole answer must be there, where the class has no
            `complete()` of its own; `None` is no deadline. The setting of that name comes here.
    """

    provider_name: str = ""
    capabilities: LLMCapabilities = LLMCapabilities()
    asks_for_json: bool = False
    own_temperature: float | None = None
    total_timeout: float | None = None

    _model_name: str = ""
    _totals: Totals | None = None

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Refuse a class that cannot call anything."""
        base = BaseLLMConnector
        if (cls.call_llm, cls.complete, cls.stream) == (base.call_llm, base.complete, base.stream):
            raise TypeError(
                f"`{cls.__name__}` cannot be instantiated: define `call_llm(prompt)`, or "
                "`complete(messages)`, or `stream(messages)`"
            )
        return super().__new__(cls)

    def __init_subclass__(cls, *, watched: bool = True, **kwargs: Any) -> None:
        """Watch the calls of a class, unless it hands all of them to other connectors."""
        super().__init_subclass__(**kwargs)
        if not cls.provider_name:
            cls.provider_name = cls.__name__.removesuffix("Connector").lower() or cls.__name__
        if watched:
            if inspect.isfunction(stream := cls.__dict__.get("stream")):
                cls.stream = _streaming(stream)  # type: ignore[method-assign]  # of the class that is being made
            tracing.watch(cls)
            # Around the spans: an answer that is asked for again is a call of its own.
            json_replies.watch(cls)

    @property
    def model_name_for_api(self) -> str:
        """The model that is asked when a call names none."""
        return self._model_name or str(getattr(self, "model", None) or "")

    @model_name_for_api.setter
    def model_name_for_api(self, name: str) -> None:
        self._model_name = name

    @property
    def totals(self) -> Totals:
        """What this connector's calls have used so far, broken off streams included.

        A class of a third party that gives its own `complete()` counts itself.
        """
        if self._totals is None:
            with _counting:
                self._totals = self._totals or Totals()
        return self._totals

    @property
    def usage_total(self) -> dict[str, int]:
        """The tokens of this connector's calls so far, by the names of a response's `usage`."""
        return self.totals.usage

    @property
    def cost_total(self) -> float | None:
        """US dollars for this connector's calls so far, or `None` where a price is not known."""
        return None if self.totals.unpriced_calls else self.totals.cost

    def call_llm(self, prompt: str) -> str:
        """Ask, and wait for the raw text of the answer; for synchronous code.

        Args:
            prompt: what the user says.

        Raises:
            LLMError: the model did not deliver.
        """
        return bridge.run(self.complete(prompt)).content

    async def complete(self, messages: Messages, **options: Any) -> LLMResponse:
        """Ask, and get the whole answer.

        Args:
            messages: a prompt, a message, a mapping, or several of them.
            **options: `model`, `max_tokens`, `temperature`, `stop`, `seed`, `top_p`, `extra`
                (merged into the request's body), `prefill` (the start of the answer), and
                `json_mode=True` or `json_schema={...}`: the content is then the text of one JSON
                object, or of what fits the schema. An answer that is not that is sent back once
                with what is wrong; `usage` counts both.

        Raises:
            LLMError: the model did not deliver.
            LLMOutputError: no JSON as asked, at the second try; its `text` is the answer.
            UsageError: `json_schema` is no schema.
        """
        given = as_messages(messages)
        seconds = self.total_timeout
        if options.get("timeout_ms") is not None:
            seconds = options["timeout_ms"] / 1000
        answer = self._whole(given, options)
        if seconds is None:
            return await answer
        name, model = self.provider_name, options.get("model") or self.model_name_for_api
        return await in_time(answer, seconds, total=seconds, provider=name, model=model)

    async def _whole(self, given: tuple[Message, ...], options: Mapping[str, Any]) -> LLMResponse:
        if type(self).call_llm is BaseLLMConnector.call_llm:
            stream = self.stream(given, **options)
            async for _ in stream:
                pass
            return stream.response
        if options.get("tools"):
            raise UsageError(
                f"`{self.provider_name}` takes a prompt and no tools: give it a `complete()` or "
                "`stream()` that knows them"
            )
        gathering = self.gathering(given, options)
        try:
            text: Any = await bridge.in_thread(self.call_llm, as_prompt(given))
            if inspect.isawaitable(text):
                text = await bridge.awake(text)
        except Exception as error:
            # It has the key, and may be of anybody.
            scrub(error)
            raise
        gathering.add(self._piece("call_llm", text))
        response = gathering.response()
        self.totals.add(response)
        return response

    def stream(self, messages: Messages, **options: Any) -> ResponseStream:
        """Ask, and get the answer as it arrives; one piece where a connector cannot stream."""
        given = as_messages(messages)

        async def one_piece() -> AsyncGenerator[Chunk | list[Chunk], None]:
            yield (await self.complete(given, **options)).as_chunk()

        return ResponseStream(one_piece, self.gathering(given, options))

    async def call(self, messages: Messages, **options: Any) -> LLMResponse:
        """Ask, and get the whole answer: `complete()` by another name."""
        return await self.complete(messages, **options)

    async def generate(self, messages: Messages, **options: Any) -> LLMResponse:
        """Ask, and get the whole answer: `complete()` by another name."""
        return await self.complete(messages, **options)

    async def generate_text(
        self,
        prompt: MessageLike,
        model: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        json_mode: bool = False,
        *,
        stop_sequences: str | Sequence[str] | None = None,
        system_prompt: str | None = None,
        options: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> str | None:
        """Ask, and get the text of the answer.

        Args:
            prompt: what the user says.
            model: the model's own name; `None` asks the connector's.
            max_tokens: the longest answer in tokens; `None` leaves it to the provider.
            temperature: of the sampling; `None` leaves it to the provider.
            json_mode: whether the text shall be one JSON object, see `complete()`.
            stop_sequences: texts that end the answer.
            system_prompt: what the system says before.
            options: parameters of the sampling in the provider's own words.
            **more: as in `complete()`.

        Raises:
            LLMError: the model did not deliver.
            UsageError: an unknown option, or what is no prompt.
            ConfigError: a value that the setting of that name does not take.
        """
        from llmport_magic.llm.provider import check_options

        given = {
            "model": model,
            "json_mode": json_mode or None,
            "stop": stop_sequences,
            "options": options,
        }
        more |= {name: value for name, value in given.items() if value is not None}
        more = check_options({**more, "max_tokens": max_tokens, "temperature": temperature})
        messages = as_messages(prompt)
        if system_prompt is not None:
            messages = (Message(LLMRole.SYSTEM, system_prompt), *messages)
        return (await self.complete(messages, **more)).content

    async def aclose(self) -> None:
        """Release what the connector holds; the shared connections are not its own."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _piece(self, method: str, given: Any) -> Chunk:
        """Take what a class of a third party gives."""
        if isinstance(given, Chunk):
            return given
        if not isinstance(given, str):
            raise ConfigError(
                f"`{type(self).__name__}.{method}` gave {type(given).__name__}, not a text: "
                "define it to give the model's answer as a `str`"
            )
        return Chunk(text=given)

    def gathering(self, given: tuple[Message, ...], options: Mapping[str, Any]) -> Gathering:
        """Give what puts an answer together: who was asked what, and the prices that count."""
        model = options.get("model") or self.model_name_for_api
        prices = self.capabilities if model == self.model_name_for_api else None
        return Gathering(self.provider_name, model, as_prompt(given), {}, prices=prices)


def _streaming(stream: Callable[..., Any]) -> Callable[..., ResponseStream]:
    """Let a class give its `stream` as a generator of texts, plain or asynchronous."""

    @functools.wraps(stream)
    def begin(self: BaseLLMConnector, messages: Messages, **options: Any) -> ResponseStream:
        found: Any = stream(self, messages, **options)
        if isinstance(found, ResponseStream):
            return found

        async def chunks() -> AsyncGenerator[Chunk | list[Chunk], None]:
            async for each in _each(found):
                yield self._piece("stream", each)

        if isinstance(found, str) or not isinstance(found, (AsyncIterable, Iterable)):
            found = (self._piece("stream", found),)
        return ResponseStream(chunks, self.gathering(as_messages(messages), options))

    return begin


async def _each(pieces: Any) -> AsyncGenerator[Any, None]:
    """Iterate over a generator; a plain one may block, and runs in threads."""
    if isinstance(pieces, AsyncIterable):
        async for piece in pieces:
            yield piece
        return
    pieces = iter(pieces)
    while (piece := await bridge.in_thread(next, pieces, _each)) is not _each:
        yield piece


# `call_llm` of the seam itself is `complete` once more.
tracing.watch(BaseLLMConnector, ("complete", "stream"))
json_replies.watch(BaseLLMConnector)


def as_prompt(messages: Iterable[Message]) -> str:
    """Write a conversation as one text, for what takes nothing else."""
    given = tuple(messages)
    if len(given) == 1:
        return given[0].content
    plain = all(message.role in ("system", "user") for message in given)
    return "\n\n".join(
        message.content if plain else f"{message.role}: {message.content}" for message in given
    )

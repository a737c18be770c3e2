"""An answer on its way: read it piece by piece from any loop, then ask for the whole."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, MutableMapping
from concurrent.futures import Future
from contextlib import aclosing
from types import MappingProxyType
from typing import Any, Self

from llmport_magic import bridge
from llmport_magic.errors import LLMError, LLMStreamError
from llmport_magic.llm.cost import estimate_tokens
from llmport_magic.llm.messages import ToolCall
from llmport_magic.llm.reply import Chunk, LLMResponse, ToolCallDelta

# What arrives together may be given together.
Source = Callable[[], AsyncGenerator[Chunk | list[Chunk], None]]
_CLOSING_SECONDS = 2.0


class Gathering:
    """Puts the pieces of an answer together.

    Args:
        provider: who answers.
        model: who was asked; the provider may name another one as the one that answers.
        prompt: what was sent, for an estimate where the provider gives no token counts.
        notes: becomes the response's metadata.
        tool_names: the user's names of the tools, by the names that were sent.
    """

    def __init__(
        self,
        provider: str,
        model: str,
        prompt: str,
        notes: MutableMapping[str, Any],
        tool_names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._provider = provider
        self._model = model
        self._prompt = prompt
        self._notes = notes
        self._begun = time.monotonic()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._finish = "stop"
        self._usage: dict[str, int] = {}
        self._tool_names = tool_names
        self._deltas: dict[int, list[ToolCallDelta]] = {}
        self._thinking: list[Mapping[str, Any]] = []

    @property
    def text(self) -> str:
        """The text that has arrived."""
        return "".join(self._text)

    def add(self, chunk: Chunk) -> None:
        """Take the next piece."""
        if chunk.text:
            self._text.append(chunk.text)
        if chunk.reasoning:
            self._reasoning.append(chunk.reasoning)
        if chunk.finish_reason:
            self._finish = chunk.finish_reason
            self._notes["raw_finish_reason"] = chunk.raw_finish_reason
        if chunk.usage:
            self._usage.update(chunk.usage)
        if chunk.model:
            self._model = chunk.model
        for delta in chunk.tool_calls:
            self._deltas.setdefault(delta.index, []).append(delta)
        if chunk.thinking:
            self._thinking.extend(chunk.thinking)
        if chunk.cost is not None:
            self._notes["cost_reported"] = chunk.cost

    def _tool_calls(self) -> tuple[ToolCall, ...]:
        calls = []
        for index, deltas in sorted(self._deltas.items()):
            name = next((delta.name for delta in deltas if delta.name), "")
            call = ToolCall.read(
                "".join(delta.arguments for delta in deltas),
                name=self._tool_names.get(name, name),
                id=next((delta.id for delta in deltas if delta.id), f"call_{index}"),
                signature="".join(delta.signature for delta in deltas),
            )
            calls.append(call)
        return tuple(calls)

    def response(self, raw: Any = None) -> LLMResponse:
        """Give the whole answer."""
        text, reasoning = self.text, "".join(self._reasoning)
        estimated = not {"prompt_tokens", "completion_tokens"} <= self._usage.keys()
        usage = {
            "prompt_tokens": estimate_tokens(self._prompt) if estimated else 0,
            "completion_tokens": estimate_tokens(text + reasoning) if estimated else 0,
        } | self._usage
        metadata = dict(self._notes)
        calls = self._tool_calls()
        # Some formats have no word of their own for an end that waits for a tool.
        finish = "tool_calls" if calls and self._finish == "stop" else self._finish
        metadata["usage_estimated"] = estimated
        metadata["latency_ms"] = round((time.monotonic() - self._begun) * 1000)
        return LLMResponse(
            content=text,
            finish_reason=finish,
            usage=usage,
            model=self._model,
            provider=self._provider,
            tool_calls=calls,
            reasoning=reasoning,
            thinking=tuple(self._thinking),
            metadata=metadata,
            raw=raw,
        )


class ResponseStream:
    """The text of an answer as it arrives; `response` holds the whole when it has ended.

    Iterate once: `async for text in stream`, or over `stream.chunks()` for everything else that
    comes with the text. Breaking off, an error, dropping the iterator and `aclose()` hang up, so
    that the provider stops. Nothing is sent before the first piece is asked for.

    Args:
        source: makes the generator of chunks; it runs on the bridge's loop.
        gathering: puts the pieces together.
        on_end: is given the response when it is whole.
    """

    def __init__(
        self,
        source: Source,
        gathering: Gathering,
        on_end: Callable[[LLMResponse], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._gathering = gathering
        self._on_end = on_end
        self._response: LLMResponse | None = None
        self._relay: _Relay | None = None
        self._begun = False

    @property
    def response(self) -> LLMResponse:
        """The whole answer.

        Raises:
            LLMError: the stream has not ended.
        """
        if self._response is None:
            raise LLMError("the answer is not whole yet: read the stream to its end first")
        return self._response

    @property
    def text(self) -> str:
        """The text that has arrived so far."""
        return self._gathering.text

    def __aiter__(self) -> AsyncIterator[str]:
        return _Texts(self)

    def chunks(self) -> AsyncIterator[Chunk]:
        """Give the pieces with their reasoning, token counts and finish reason.

        Raises:
            LLMError: of every kind; also when the stream was already read.
        """
        return _Chunks(self)

    async def aclose(self) -> None:
        """Hang up, if the answer is still arriving; returns when the connection is closed."""
        self._begun = True
        if self._relay is not None:
            await self._relay.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _begin(self) -> _Relay:
        if self._begun:
            raise LLMError("this answer was already read: make a new stream")
        self._begun = True
        self._relay = _Relay(self._source)
        return self._relay

    def _end(self) -> None:
        if self._response is None:
            self._response = self._gathering.response()
            self._on_end(self._response)


class _Chunks:
    """The one reading of a stream; whoever drops it before the end hangs up."""

    def __init__(self, stream: ResponseStream) -> None:
        self._stream = stream
        self._relay: _Relay | None = None
        self._arrived: deque[Chunk] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if not self._arrived:
            await self.wait()
        return self.take()

    def take(self) -> Chunk:
        """Give the next chunk that is here."""
        chunk = self._arrived.popleft()
        self._stream._gathering.add(chunk)  # noqa: SLF001 - two halves of one thing
        return chunk

    async def wait(self) -> None:
        """Wait until a chunk is here; raises `StopAsyncIteration` at the end."""
        if self._relay is None:
            self._relay = self._stream._begin()  # noqa: SLF001
            self._arrived = self._relay.chunks
        try:
            more = await self._relay.wait()
        except asyncio.CancelledError:
            await self._relay.close()
            raise
        if not more:
            self._stream._end()  # noqa: SLF001
            raise StopAsyncIteration

    @property
    def empty(self) -> bool:
        """Whether no chunk is here."""
        return not self._arrived

    async def aclose(self) -> None:
        """Hang up, if the answer is still arriving."""
        await self._stream.aclose()

    def __del__(self) -> None:
        if self._relay is not None:
            self._relay.stop()


class _Texts:
    """The text of a stream's chunks, where they hold some."""

    def __init__(self, stream: ResponseStream) -> None:
        self._chunks = _Chunks(stream)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while True:
            if self._chunks.empty:
                await self._chunks.wait()
            text = self._chunks.take().text
            if text:
                return text

    async def aclose(self) -> None:
        """Hang up, if the answer is still arriving."""
        await self._chunks.aclose()


class _Relay:
    """Runs a source on the bridge's loop and hands its chunks to the loop that reads."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._arrival = asyncio.Event()
        self._here = self._loop is bridge.loop()
        self.chunks: deque[Chunk] = deque()
        self._error: BaseException | None = None
        self._ended = False
        self._started = False
        self._pump: Future[None] = bridge.submit(self._run())

    async def wait(self) -> bool:
        """Wait until a chunk is here; false at the end."""
        while not self.chunks:
            self._arrival.clear()
            if self._ended and not self.chunks:
                if self._error is not None:
                    raise self._error
                return False
            if not self.chunks:
                await self._arrival.wait()
        return True

    def stop(self) -> None:
        """Hang up, from any thread, without waiting for it."""
        if not self._ended:
            self._pump.cancel()
            # A task that is cancelled before its first step never gets to its end.
            self._ended = self._ended or not self._started

    async def close(self) -> None:
        """Hang up, and wait until that has happened."""
        self.stop()
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                while not self._ended:
                    self._arrival.clear()
                    await self._arrival.wait()
        except TimeoutError:
            return

    async def _run(self) -> None:
        self._started = True
        try:
            async with aclosing(self._source()) as chunks:
                async for arrived in chunks:
                    if isinstance(arrived, list):
                        self.chunks.extend(arrived)
                    else:
                        self.chunks.append(arrived)
                    self._tell()
        except asyncio.CancelledError:
            self._error = LLMStreamError("the answer was closed before its end")
            raise
        except Exception as error:  # noqa: BLE001 - raised where the chunks are read
            self._error = error
        finally:
            self._ended = True
            self._tell()

    def _tell(self) -> None:
        if self._here:
            self._arrival.set()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arrival.set)
        else:
            # Nobody reads any more.
            self.stop()

"""An answer on its way: read it piece by piece from any loop, then ask for the whole."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, MutableMapping
from concurrent.futures import Future
from contextlib import aclosing
from typing import Any, Self

from llmport_magic import bridge
from llmport_magic.errors import LLMError
from llmport_magic.llm.cost import estimate_tokens
from llmport_magic.llm.reply import Chunk, LLMResponse

Source = Callable[[], AsyncGenerator[Chunk, None]]
_CLOSING_SECONDS = 2.0


class Gathering:
    """Puts the pieces of an answer together.

    Args:
        provider: who answers.
        model: who was asked; the provider may name another one as the one that answers.
        prompt: what was sent, for an estimate where the provider gives no token counts.
        notes: becomes the response's metadata.
    """

    def __init__(
        self, provider: str, model: str, prompt: str, notes: MutableMapping[str, Any]
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

    def response(self, raw: Any = None) -> LLMResponse:
        """Give the whole answer."""
        text, reasoning = self.text, "".join(self._reasoning)
        estimated = not {"prompt_tokens", "completion_tokens"} <= self._usage.keys()
        usage = {
            "prompt_tokens": estimate_tokens(self._prompt) if estimated else 0,
            "completion_tokens": estimate_tokens(text + reasoning) if estimated else 0,
        } | self._usage
        metadata = dict(self._notes)
        metadata["usage_estimated"] = estimated
        metadata["latency_ms"] = round((time.monotonic() - self._begun) * 1000)
        if reasoning:
            metadata["reasoning"] = reasoning
        return LLMResponse(
            content=text,
            finish_reason=self._finish,
            usage=usage,
            model=self._model,
            provider=self._provider,
            metadata=metadata,
            raw=raw,
        )


class ResponseStream:
    """The text of an answer as it arrives; `response` holds the whole when it has ended.

    Iterate once: `async for text in stream`, or over `stream.chunks()` for everything else that
    comes with the text. Breaking off, an error and `aclose()` hang up, so that the provider stops.

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
        self._open: AsyncGenerator[Chunk, None] | None = None
        self._begun = False
        self._on_bridge = False

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

    async def __aiter__(self) -> AsyncGenerator[str, None]:
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                if chunk.text:
                    yield chunk.text

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """Give the pieces with their reasoning, token counts and finish reason.

        Raises:
            LLMError: of every kind; also when the stream was already read.
        """
        if self._begun:
            raise LLMError("this answer was already read: make a new stream")
        self._begun = True
        self._on_bridge = bridge.on_bridge()
        source = self._source() if self._on_bridge else _relayed(self._source)
        self._open = source
        try:
            async for chunk in source:
                self._gathering.add(chunk)
                yield chunk
        finally:
            await source.aclose()
        self._response = self._gathering.response()
        self._on_end(self._response)

    async def aclose(self) -> None:
        """Hang up, if the answer is still arriving."""
        self._begun = True
        if self._open is None:
            return
        try:
            if self._on_bridge:
                await bridge.in_bridge(self._open.aclose())
            else:
                await self._open.aclose()
        except RuntimeError:
            # It is running: whoever iterates is being cancelled and closes it.
            return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def _relayed(source: Source) -> AsyncGenerator[Chunk, None]:
    """Run a source on the bridge's loop and give its chunks on the running one."""
    relay = _Relay(source)
    try:
        while True:
            await relay.arrival.wait()
            relay.arrival.clear()
            while relay.chunks:
                yield relay.chunks.popleft()
            if relay.pump.done() and not relay.chunks:
                # Gives the error of the source, if that is how it ended.
                relay.pump.result()
                return
    finally:
        await relay.close()


class _Relay:
    """Chunks on their way from the bridge's loop to another one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self.arrival = asyncio.Event()
        self._closed = asyncio.Event()
        self._running = False
        self.chunks: deque[Chunk] = deque()
        self.pump: Future[None] = bridge.submit(self._pump())
        self.pump.add_done_callback(lambda _: self._tell(self.arrival))

    def _tell(self, event: asyncio.Event) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(event.set)

    async def _pump(self) -> None:
        self._running = True
        try:
            async with aclosing(self._source()) as chunks:
                async for chunk in chunks:
                    self.chunks.append(chunk)
                    # A closed loop has nobody who reads on: the error hangs up.
                    self._loop.call_soon_threadsafe(self.arrival.set)
        finally:
            self._tell(self._closed)

    async def close(self) -> None:
        """Stop the source and wait until it has hung up."""
        running = self._running
        if self.pump.done() or not self.pump.cancel() or not running:
            return
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                await self._closed.wait()
        except TimeoutError:
            return

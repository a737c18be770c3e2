"""An answer on its way: read it piece by piece from any loop, then ask for the whole."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
)
from concurrent.futures import Future
from contextlib import aclosing
from typing import TYPE_CHECKING, Self

from llmport_magic import bridge
from llmport_magic.errors import LLMError, LLMStreamError
from llmport_magic.llm.gathering import Gathering
from llmport_magic.llm.reply import Chunk, LLMResponse

if TYPE_CHECKING:
    from llmport_magic.llm.tracing import CallSpan

# What arrives together may be given together.
Source = Callable[[], AsyncGenerator[Chunk | list[Chunk], None]]
_CLOSING_SECONDS = 2.0


class ResponseStream:
    """The text of an answer as it arrives; `response` holds the whole when it has ended.

    Iterate once: `async for text in stream`, or over `stream.chunks()` for everything else that
    comes with the text. Breaking off, an error, dropping the iterator and `aclose()` hang up, so
    that the provider stops. Nothing is sent before the first piece is asked for.

    Args:
        source: makes the generator of chunks; it runs on the bridge's loop.
        gathering: puts the pieces together.
        on_end: is given the response when it is whole, and what had arrived of one that was
            broken off; it runs on the bridge's loop.

    Attributes:
        span: of the trace that this call is part of, where there is one.
    """

    span: CallSpan | None = None

    def __init__(
        self,
        source: Source,
        gathering: Gathering,
        on_end: Callable[[LLMResponse], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._gathering = gathering
        self._on_end = on_end
        self._arrived: LLMResponse | None = None
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

    @property
    def arrived(self) -> LLMResponse | None:
        """What has arrived of a stream that is over, `None` where nothing has.

        Where the answer was broken off, `metadata["cut_off"]` is true and the token counts are
        estimates, `metadata["usage_estimated"]`, unless the provider had told them all.
        """
        return self._arrived

    def __aiter__(self) -> AsyncIterator[str]:
        return _Texts(self)

    def chunks(self) -> AsyncIterator[Chunk]:
        """Give the pieces with their reasoning, token counts and finish reason.

        Raises:
            LLMError: of every kind; also when the stream was already read.
        """
        return _Chunks(self)

    async def batches(self) -> AsyncGenerator[list[Chunk], None]:
        """Give the pieces, those together that have arrived together.

        Raises:
            LLMError: as `chunks()`.
        """
        chunks = _Chunks(self)
        while True:
            try:
                await chunks.wait()
            except StopAsyncIteration:
                return
            arrived = list(chunks.arrived)
            chunks.arrived.clear()
            yield arrived

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
        self._relay = _Relay(self._source, self)
        return self._relay

    def _sent(self) -> None:
        """Take note that the request is sent now; this and the next two on the bridge's loop."""
        self._gathering.begin()
        if self.span is not None:
            self.span.begin()

    def _take(self, pieces: Iterable[Chunk]) -> None:
        """Put what has arrived to the rest."""
        for chunk in pieces:
            self._gathering.add(chunk)
        if self.span is not None:
            self.span.piece()

    def _over(self, error: BaseException | None) -> None:
        """Take note that nothing more will arrive."""
        if error is None or not self._gathering.empty:
            self._arrived = self._gathering.response(whole=error is None)
            self._on_end(self._arrived)
        if self.span is not None:
            self.span.end(self._arrived, error)

    def _end(self) -> None:
        self._response = self._arrived


class _Chunks:
    """The one reading of a stream; whoever drops it before the end hangs up.

    Attributes:
        arrived: the chunks that are here and were not given yet.
    """

    def __init__(self, stream: ResponseStream) -> None:
        self._stream = stream
        self._relay: _Relay | None = None
        self.arrived: deque[Chunk] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if not self.arrived:
            await self.wait()
        return self.arrived.popleft()

    async def wait(self) -> None:
        """Wait until a chunk is here; raises `StopAsyncIteration` at the end."""
        if self._relay is None:
            self._relay = self._stream._begin()  # noqa: SLF001 - two halves of one thing
            self.arrived = self._relay.chunks
        try:
            more = await self._relay.wait()
        except asyncio.CancelledError:
            await self._relay.close()
            raise
        if not more:
            self._stream._end()  # noqa: SLF001 - its other half
            raise StopAsyncIteration

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
        chunks = self._chunks
        while True:
            while chunks.arrived:
                text = chunks.arrived.popleft().text
                if text:
                    return text
            await chunks.wait()

    async def aclose(self) -> None:
        """Hang up, if the answer is still arriving."""
        await self._chunks.aclose()


class _Relay:
    """Runs a source on the bridge's loop and hands its chunks to the loop that reads."""

    def __init__(self, source: Source, stream: ResponseStream) -> None:
        self._source = source
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._arrival = asyncio.Event()
        self._here = self._loop is bridge.loop()
        self.chunks: deque[Chunk] = deque()
        self._error: BaseException | None = None
        self._ended = False
        self._started = False
        self._waiting = False
        self._pump: Future[None] = bridge.submit(self._run())

    async def wait(self) -> bool:
        """Wait until a chunk is here; false at the end."""
        while not self.chunks:
            await self._sleep(lambda: bool(self.chunks) or self._ended)
            if self._ended and not self.chunks:
                if self._error is not None:
                    raise self._error
                return False
        return True

    async def _sleep(self, done: Callable[[], bool]) -> None:
        """Wait until the source tells something, unless that is done by now."""
        self._arrival.clear()
        # First the flag, then the look: what arrives in between sees the one or is seen.
        self._waiting = True
        if not done():
            await bridge.awake(self._arrival.wait())
        self._waiting = False

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
                    await self._sleep(lambda: self._ended)
        except TimeoutError:
            return

    async def _run(self) -> None:
        self._started = True
        stream = self._stream
        failure: BaseException | None = None
        try:
            stream._sent()  # noqa: SLF001 - two halves of one thing, as below
            async with aclosing(self._source()) as chunks:
                async for arrived in chunks:
                    pieces = arrived if isinstance(arrived, list) else (arrived,)
                    stream._take(pieces)  # noqa: SLF001 - its other half
                    self.chunks.extend(pieces)
                    self._tell()
        except asyncio.CancelledError as cancelled:
            self._error = LLMStreamError("the answer was closed before its end")
            failure = cancelled
            raise
        except Exception as error:  # noqa: BLE001 - raised where the chunks are read
            self._error = failure = error
        finally:
            try:
                stream._over(failure)  # noqa: SLF001 - its other half
            finally:
                failure = None  # an error that its own frame holds is never freed
                self._ended = True
                self._tell()

    def _tell(self) -> None:
        """Wake the reader, if it waits: a wake-up of another thread costs more than a chunk."""
        if not self._here and self._loop.is_closed():
            # Nobody reads any more.
            self.stop()
        elif self._waiting:
            self._waiting = False
            if self._here:
                self._arrival.set()
            else:
                bridge.tell(self._loop, self._arrival.set)

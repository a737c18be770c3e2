"""The way of one call along a chain of providers: who is asked next, with what, and until when."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from llmport_magic import bridge
from llmport_magic.errors import ConfigError
from llmport_magic.llm.clock import in_time
from llmport_magic.llm.gathering import Gathering
from llmport_magic.llm.reply import Chunk, LLMResponse
from llmport_magic.llm.routing.failover import Asking, OnAsk, Record, Turn

if TYPE_CHECKING:
    from llmport_magic.llm.connector import BaseLLMConnector
    from llmport_magic.llm.messages import Message
    from llmport_magic.llm.routing.chain import Candidate, Chain
    from llmport_magic.llm.routing.health import Health, HealthBook, Patience
    from llmport_magic.llm.streams import ResponseStream

T = TypeVar("T")


class _Place(NamedTuple):
    candidate: Candidate
    last_resort: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked, whoever answers.

    Attributes:
        messages: the conversation.
        options: of the call, without its model.
        models: what single providers are asked for instead of their own model.
        on_ask: awaited before each provider is asked.
        total: seconds for all of them together.
    """

    messages: tuple[Message, ...]
    options: Mapping[str, Any]
    models: Mapping[str, str]
    on_ask: OnAsk | None
    total: float


class Route:
    """Gives the providers of a chain their turns, in order; those that are unhealthy come last.

    Args:
        chain: gives their connectors.
        candidates: that may be asked, the first one first.
        wish: what is asked.
        book: the records of their health.
        patience: when one is passed over.
        forced: whether the first is the only one, and is asked in any case.
        tell: is told of the first answer after a failure.

    Attributes:
        record: who was asked, and what came of it.
    """

    def __init__(
        self,
        chain: Chain,
        candidates: Iterable[Candidate],
        wish: Wish,
        *,
        book: HealthBook,
        patience: Patience,
        forced: bool = False,
        tell: Callable[[Record, str], None] = lambda *_: None,
    ) -> None:
        self._chain = chain
        self._queue = deque(_Place(candidate) for candidate in candidates)
        self._wish = wish
        self._book = book
        self._patience = patience
        self._tell = tell
        self._end = time.monotonic() + wish.total
        self._announced: set[str] = set()
        self.record = Record(forced=forced)

    def is_ours(self) -> bool:
        """Tell whether all of it may run on the bridge's loop: nothing belongs to another one."""
        made = (self._chain.made(place.candidate.name) for place in self._queue)
        return self._wish.on_ask is None and all(
            each is not None and _own_deadline(each) is not None for each in made
        )

    async def next(self) -> Turn | None:
        """Give the next provider its turn; `None` where nobody is left, or no time."""
        while self._queue:
            if self.record.asked and self._left() <= 0:
                return None
            candidate, last_resort = self._queue.popleft()
            connector = await self._connector(candidate)
            if connector is None:
                continue
            name = candidate.name
            health = health_of(self._book, name, connector)
            anyway = last_resort or self.record.forced
            if not anyway and not health.admits(self._patience):
                self._queue.append(_Place(candidate, last_resort=True))
                self.record.rests(name, health.wait(self._patience))
                continue
            self.record.resting.pop(name, None)
            turn = Turn(
                name,
                connector,
                self._wish.models.get(name) or connector.model_name_for_api,
                health,
                self.record,
                others=await self._others(last_resort=last_resort),
            )
            await self._announce(turn)
            return turn
        return None

    async def _connector(self, candidate: Candidate) -> BaseLLMConnector | None:
        """Give a candidate's connector; `None` where it cannot be asked, which is noted."""
        name = candidate.name
        found = self._chain.made(name)
        if found is not None:
            return found
        try:
            # Keys may lie in files or a keyring, and a local server is looked for.
            if not candidate.certain and not await bridge.in_thread(self._chain.is_here, name):
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._left())):
                    await self._chain.learn(name)
            return await bridge.in_thread(self._chain.connector, name)
        except ConfigError as error:
            if self.record.forced:
                raise
            self.record.skip(name, error)
            return None

    async def _others(self, *, last_resort: bool) -> bool:
        """Tell whether somebody else can be asked after this one, as far as that is known."""
        for place in tuple(self._queue):
            name = place.candidate.name
            if not place.candidate.certain and self._chain.made(name) is None:
                continue
            connector = await self._connector(place.candidate)
            if connector is None:
                self._queue.remove(place)
            elif last_resort or health_of(self._book, name, connector).is_healthy(self._patience):
                return True
        return False

    async def _announce(self, turn: Turn) -> None:
        if self._wish.on_ask is None:
            return
        passed = self.record.passed_over.items()
        skipped = {name: why for name, why in passed if name not in self._announced}
        self._announced.update(skipped)
        failed = tuple(self.record.asked)
        asking = Asking(provider=turn.name, model=turn.model, failed=failed, skipped=skipped)
        try:
            await self._wish.on_ask(asking)
        except BaseException:
            turn.leave()
            raise

    async def whole(self, turn: Turn) -> LLMResponse:
        """Ask the provider whose turn it is for a whole answer."""
        answer = turn.connector.complete(self._wish.messages, **self._options(turn))
        response = await self._in_time(turn, answer)
        self._took_over(turn)
        return response

    def begun(self, turn: Turn, context: contextvars.Context) -> ResponseStream:
        """Make the stream of the provider whose turn it is, in the context of the caller."""
        options = self._options(turn)
        return context.run(turn.connector.stream, self._wish.messages, **options)

    async def pieces(self, turn: Turn, stream: ResponseStream) -> AsyncGenerator[list[Chunk], None]:
        """Give the pieces of an answer; those that show nothing come with the first that does."""
        held: list[Chunk] = []
        try:
            async with aclosing(stream.batches()) as batches:
                while (batch := await self._in_time(turn, anext(batches, None))) is not None:
                    if turn.shown:
                        yield batch
                        continue
                    held += batch
                    if any(map(_shows, batch)):
                        turn.shown = True
                        self._took_over(turn)
                        yield held
            if not turn.shown:
                self._took_over(turn)
                yield held
        finally:
            await stream.aclose()

    def failure(self) -> Exception:
        """Make the error of a call that nobody answered."""
        if not self.record.asked and not self.record.skipped:
            return self._chain.refuse()
        return self.record.failure([place.candidate.name for place in self._queue])

    def _took_over(self, turn: Turn) -> None:
        if self._wish.on_ask is None:
            self._tell(self.record, turn.name)

    def _left(self) -> float:
        return self._end - time.monotonic()

    def _options(self, turn: Turn) -> dict[str, Any]:
        """Give the options of one provider: its own model, and the time that is left."""
        options = dict(self._wish.options)
        if turn.name in self._wish.models:
            options["model"] = self._wish.models[turn.name]
        own = _own_deadline(turn.connector)
        if own is not None:
            # An error tells it: of 3 s there are 3 left, not 2.98775.
            left = round(self._left(), 1) or self._left()
            options["timeout_ms"] = max(1.0, min(own, left * 1000))
        return options

    async def _in_time(self, turn: Turn, answer: Awaitable[T]) -> T:
        """Await what a connector gives, no longer than the call may take."""
        if _own_deadline(turn.connector) is not None:
            return await answer
        return await in_time(
            answer,
            self._left(),
            total=self._wish.total,
            provider=turn.name,
            model=turn.model,
        )


class Relayed(Gathering):
    """The answer of a stream that another connector gives; nothing is put together twice.

    Attributes:
        stream: of the connector whose turn it is.
        record: of the call.
    """

    def __init__(self) -> None:
        super().__init__("", "", "", {})
        self.stream: ResponseStream | None = None
        self.record: Record | None = None

    @property
    def text(self) -> str:
        """The text that has arrived."""
        return "" if self.stream is None else self.stream.text

    @property
    def empty(self) -> bool:
        """Whether nothing has arrived."""
        return self.stream is None or self.stream.arrived is None

    def add(self, chunk: Chunk) -> None:
        """Leave the piece to the stream that it is from."""

    def response(self, raw: Any = None, *, whole: bool = True) -> LLMResponse:
        """Give the answer of that stream, and who was asked for it."""
        arrived = None if self.stream is None else self.stream.arrived
        response = super().response(raw, whole=whole) if arrived is None else arrived
        return response if self.record is None else self.record.complete(response)


def health_of(book: HealthBook, name: str, connector: BaseLLMConnector | None) -> Health:
    """Give the record of a provider at the address where its connector asks it."""
    config = getattr(connector, "config", None)
    return book.of(name, str(getattr(config, "base_url", "")))


def _own_deadline(connector: BaseLLMConnector) -> float | None:
    """Give the milliseconds of a connector that keeps a deadline of its own."""
    from llmport_magic.llm.provider import LLMProvider

    return connector.config.timeout_ms if isinstance(connector, LLMProvider) else None


def _shows(chunk: Chunk) -> bool:
    """Tell whether a user could have seen something of a piece."""
    return bool(chunk.text or chunk.reasoning or chunk.tool_calls)

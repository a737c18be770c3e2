"""Whatever ends the reading of an answer hangs up, so that the provider stops."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator

import pytest
from loopback import HANG, Loopback, Request, Script, event, events, reply
from loopback import streamed as stream_of

from llmport_magic import bridge
from llmport_magic.errors import LLMError, LLMStreamError
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.transport import LLMTimeoutError
from llmport_magic.llm.wire import Limits

# The socket closes within 20 ms; a test on a busy machine only holds that it closes.
_CLOSED_WITHIN = 2.0


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Serve one piece of a stream, then nothing until the client hangs up."""
    with Loopback() as running:
        running.always(stream_of("a", HANG))
        yield running


@pytest.fixture
def llm(server: Loopback) -> LLMProvider:
    """Ask that server."""
    return LLMProvider(LLMConfig(server.url, "m"))


async def _closed(request: Request) -> bool:
    return await asyncio.to_thread(request.closed.wait, _CLOSED_WITHIN)


async def test_leaving_the_loop_hangs_up(server: Loopback, llm: LLMProvider) -> None:
    """A break out of the loop closes the connection (S4-12)."""
    async for text in llm.stream("q"):
        assert text == "a"
        break

    assert await _closed(server.requests[0])


async def test_leaving_the_loop_hangs_up_although_the_stream_is_kept(
    server: Loopback, llm: LLMProvider
) -> None:
    """It is the iterator that counts, not the variable that still holds the stream (S4-12)."""
    stream = llm.stream("q")
    async for _ in stream:
        break

    assert await _closed(server.requests[0])
    assert stream.text == "a"
    with pytest.raises(LLMError, match="already read"):
        await anext(aiter(stream))


async def test_closing_hangs_up(server: Loopback, llm: LLMProvider) -> None:
    """aclose() and `async with` close the connection before they return (S4-12)."""
    stream = llm.stream("q")
    assert await anext(aiter(stream)) == "a"
    await stream.aclose()
    async with llm.stream("q") as second:
        pieces = aiter(second)
        assert await anext(pieces) == "a"

    assert await _closed(server.requests[0])
    assert await _closed(server.requests[1])


async def test_closing_from_another_task_ends_the_reading(
    server: Loopback, llm: LLMProvider
) -> None:
    """A reader that waits for more is told that the stream was closed (S4-12)."""
    stream = llm.stream("q")
    pieces: list[str] = []

    begun = asyncio.Event()

    async def read() -> None:
        async for text in stream:
            pieces.append(text)
            begun.set()

    reader = asyncio.ensure_future(read())
    await begun.wait()
    await stream.aclose()

    assert pieces == ["a"]
    with pytest.raises(LLMStreamError, match="closed"):
        await reader
    assert await _closed(server.requests[0])


async def test_cancelling_a_reader_hangs_up(server: Loopback, llm: LLMProvider) -> None:
    """A cancelled task that reads a stream closes the connection (S0-39)."""
    reader = asyncio.ensure_future(_read(llm))
    await asyncio.to_thread(server.wait_for_requests, 1)
    reader.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await _closed(server.requests[0])


async def _read(llm: LLMProvider) -> None:
    async for _ in llm.stream("q"):
        pass


async def test_cancelling_a_call_hangs_up(server: Loopback, llm: LLMProvider) -> None:
    """A cancelled plain call closes the connection while it waits (S0-39, S2-23)."""
    server.script(Script(silent=True))
    call = asyncio.ensure_future(llm.call("q"))
    await asyncio.to_thread(server.wait_for_requests, 1)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert await _closed(server.requests[0])


def test_cancelling_on_the_bridge_hangs_up_at_once(server: Loopback, llm: LLMProvider) -> None:
    """The way of the magics: the task is on the bridge, and its future is cancelled (S0-39)."""
    taken: list[float] = []
    for number in range(5):
        future = bridge.submit(_read(llm))
        server.wait_for_requests(number + 1)
        time.sleep(0.02)
        begun = time.monotonic()
        future.cancel()
        assert server.requests[number].closed.wait(_CLOSED_WITHIN)
        closed_at = server.requests[number].closed_at
        assert closed_at is not None
        taken.append(closed_at - begun)

    assert min(taken) < 0.5


def test_dropping_a_sync_iteration_hangs_up(server: Loopback, llm: LLMProvider) -> None:
    """Synchronous code that stops iterating closes the connection (S4-12)."""
    pieces = bridge.iterate(aiter(llm.stream("q")))
    assert next(pieces) == "a"
    del pieces
    gc.collect()

    assert server.requests[0].closed.wait(_CLOSED_WITHIN)


def test_a_loop_that_ends_hangs_up(server: Loopback, llm: LLMProvider) -> None:
    """A stream that is left when its loop ends is closed, without a word on stderr (S4-31)."""
    complaints: list[object] = []

    async def first() -> str:
        asyncio.get_running_loop().set_exception_handler(lambda _, c: complaints.append(c))
        async for text in llm.stream("q"):
            return text
        return ""

    assert asyncio.run(first()) == "a"
    assert server.requests[0].closed.wait(_CLOSED_WITHIN)
    assert complaints == []


async def test_nothing_stays_open_after_many_cancelled_streams(
    server: Loopback, llm: LLMProvider
) -> None:
    """Every one of a hundred streams that were left is closed on the server's side."""
    for _ in range(100):
        async for _ in llm.stream("q"):
            break

    assert all([await _closed(request) for request in server.requests])
    assert len(server.requests) == 100


async def test_a_whole_answer_keeps_its_connection(server: Loopback, llm: LLMProvider) -> None:
    """An answer that was read to its end does not cost the connection (S4-31)."""
    server.script(*(stream_of("a") for _ in range(5)))
    for _ in range(5):
        await _read(llm)

    assert server.accepts == 1


async def test_nothing_is_sent_for_a_stream_that_nobody_reads(
    server: Loopback, llm: LLMProvider
) -> None:
    """Making a stream costs nothing; closing it unread costs nothing either."""
    stream = llm.stream("q")
    await stream.aclose()

    with pytest.raises(LLMError, match="already read"):
        await anext(aiter(stream))
    assert server.requests == []


# Deadlines


def _limited(server: Loopback, **limits: float) -> LLMProvider:
    return LLMProvider(LLMConfig(server.url, "m", limits=Limits(**limits)))


async def test_keep_alive_comments_are_not_content(server: Loopback) -> None:
    """Comments do not put off the deadline for content; what had come is kept (S4-19)."""
    server.script(events(event("half"), *[b": ping\n\n", 0.02] * 200))
    stream = _limited(server, idle=0.3).stream("q")

    with pytest.raises(LLMTimeoutError, match=r"0\.3 s.*idle_timeout") as caught:
        async for _ in stream:
            pass

    assert caught.value.partial == "half"
    assert await _closed(server.requests[0])


async def test_content_puts_the_deadline_off(server: Loopback) -> None:
    """A slow answer that keeps coming is not cut off (S4-19)."""
    server.script(stream_of(*["a", 0.1] * 6))

    await _read(_limited(server, idle=0.4))


async def test_the_whole_answer_has_a_deadline(server: Loopback) -> None:
    """Bytes that drip for ever end at the total deadline, whatever they are (S4-19)."""
    server.script(events(*[b": ", 0.02] * 300))
    server.script(Script((b"{", *[b" ", 0.02] * 300), length=10_000))
    llm = LLMProvider(LLMConfig(server.url, "m", timeout_ms=300))

    with pytest.raises(LLMTimeoutError, match="total_timeout"):
        await _read(llm)
    with pytest.raises(LLMTimeoutError, match="total_timeout"):
        await llm.call("q")


async def test_a_server_that_never_answers(server: Loopback) -> None:
    """A connection that is accepted and never answered ends with the number (S4-19)."""
    server.script(Script(silent=True))

    with pytest.raises(LLMTimeoutError, match=r"0\.2 s.*first_byte_timeout"):
        await _read(_limited(server, first_byte=0.2))
    assert await _closed(server.requests[0])


async def test_a_model_that_thinks_is_given_time(server: Loopback) -> None:
    """A reasoning model's first content may take longer than the pauses later (S4-19)."""
    from llmport_magic.llm.capabilities import LLMCapabilities

    server.script(stream_of(0.5, "a"), stream_of(0.5, "a"))
    limits = Limits(idle=0.2)
    thinking = LLMCapabilities(reasoning=True)

    await _read(LLMProvider(LLMConfig(server.url, "m", limits=limits, capabilities=thinking)))
    with pytest.raises(LLMTimeoutError):
        await _read(LLMProvider(LLMConfig(server.url, "m", limits=limits)))


# A third party's connector


class _Echo(BaseLLMConnector):
    def __init__(self, api_key: str | None = None, model: str = "e1") -> None:
        self.model = model
        self.threads: list[str] = []

    def call_llm(self, prompt: str) -> str:
        self.threads.append(threading.current_thread().name)
        return f"```python\n{prompt}\n```"


async def test_eight_lines_are_a_connector() -> None:
    """A class with only a sync call_llm completes, streams and is never cleaned (S0-16, S0-17)."""
    echo = _Echo()
    stream = echo.stream([{"role": "system", "content": "s"}, "u"])

    assert (await echo.complete("x")).content == "```python\nx\n```"
    assert [text async for text in stream] == ["```python\ns\n\nu\n```"]
    assert stream.response.metadata["usage_estimated"] is True
    assert (echo.provider_name, echo.model_name_for_api) == ("_echo", "e1")
    assert stream.response.model == "e1"
    assert threading.current_thread().name not in echo.threads


async def test_a_blocking_connector_does_not_block() -> None:
    """While a sync call_llm waits, the loop runs, and cancelling does not wait for it (S0-17)."""
    release = threading.Event()

    class Slow(BaseLLMConnector):
        def call_llm(self, prompt: str) -> str:
            release.wait(10)
            return "late"

    call = asyncio.ensure_future(Slow().complete("q"))
    await asyncio.sleep(0.05)
    assert not call.done()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    release.set()


def test_complete_or_stream_alone_are_enough() -> None:
    """Either async method gives the others; none of the three is refused (S0-16)."""

    class Complete(BaseLLMConnector):
        async def complete(self, messages, **options):
            return await _Echo().complete(messages)

    class Nothing(BaseLLMConnector):
        pass

    assert "hi" in Complete().call_llm("hi")
    assert list(bridge.iterate(aiter(Complete().stream("hi")))) == ["```python\nhi\n```"]
    with pytest.raises(TypeError, match="Nothing"):
        Nothing()


async def test_an_error_of_a_third_party_is_its_own() -> None:
    """What a foreign call_llm raises reaches the caller as it is (S0-17)."""

    class Broken(BaseLLMConnector):
        def call_llm(self, prompt: str) -> str:
            raise ZeroDivisionError(prompt)

    with pytest.raises(ZeroDivisionError, match="q"):
        await Broken().complete("q")
    with pytest.raises(ZeroDivisionError, match="q"):
        async for _ in Broken().stream("q"):
            pass


def test_replies_are_not_confused_between_calls(server: Loopback, llm: LLMProvider) -> None:
    """A connection that was hung up on never serves another call its leftovers (S4-31)."""
    server.script(stream_of("old", HANG), reply("new"))

    async def first() -> None:
        async for _ in llm.stream("q"):
            break

    asyncio.run(first())
    assert llm.call_llm("q") == "new"

"""Whatever ends the reading of an answer hangs up, so that the provider stops."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from asking import PATIENT, asking, pieces_of
from leaping import Leap, slowly
from loopback import HANG, Loopback, Request, Script, event, events, reply
from loopback import streamed as stream_of

from llmport_magic import bridge
from llmport_magic.errors import LLMError, LLMStreamError
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.transport import LLMTimeoutError

# Nothing else closes the socket in that time: neither the server nor a deadline.
_CLOSED_WITHIN = 60.0


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Serve one piece of a stream, then nothing until the client hangs up."""
    with Loopback() as running:
        running.always(stream_of("a", HANG))
        yield running


@pytest.fixture
def llm(server: Loopback) -> LLMProvider:
    """Ask that server."""
    return asking(server)


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


def test_cancelling_on_the_bridge_hangs_up(server: Loopback, llm: LLMProvider) -> None:
    """The way of the magics: the task is on the bridge, and its future is cancelled (S0-39)."""
    future = bridge.submit(_read(llm))
    server.wait_for_requests(1)
    future.cancel()

    assert server.requests[0].closed.wait(_CLOSED_WITHIN)


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
    return asking(server, timeout_ms=6_000_000, limits=replace(PATIENT, **limits))


async def test_keep_alive_comments_are_not_content(server: Loopback, leap: Leap) -> None:
    """Comments do not put off the deadline for content; what had come is kept (S4-19)."""
    server.script(events(event("half"), *[b": ping\n\n", 0.001] * 100_000))
    pieces = aiter(_limited(server, idle=300).stream("q"))
    assert await anext(pieces) == "half"
    waiting = asyncio.ensure_future(anext(pieces))
    await slowly(leap, 310)

    with pytest.raises(LLMTimeoutError, match=r"300 s.*idle_timeout") as caught:
        await waiting

    assert caught.value.partial == "half"
    assert await _closed(server.requests[0])


async def test_content_puts_the_deadline_off(server: Loopback, leap: Leap) -> None:
    """A slow answer that keeps coming is not cut off (S4-19)."""
    sent = [threading.Event() for _ in range(5)]
    server.script(stream_of("a", *(step for each in sent for step in (each, "a"))))
    pieces = aiter(_limited(server, idle=300).stream("q"))

    for each in sent:
        assert await anext(pieces) == "a"
        leap(200)
        each.set()
    assert [text async for text in pieces] == ["a"]


@pytest.mark.parametrize("way", ["call", "stream"])
async def test_the_whole_answer_has_a_deadline(server: Loopback, leap: Leap, way: str) -> None:
    """Bytes that drip for ever end at the total deadline, whatever they are (S4-19)."""
    if way == "call":
        server.script(Script((b"{", *[b" ", 0.001] * 100_000), length=200_000))
    else:
        server.script(events(*[b": ", 0.001] * 100_000))
    llm = asking(server, timeout_ms=300_000)
    asked = asyncio.ensure_future(llm.call("q") if way == "call" else _read(llm))
    await asyncio.to_thread(server.wait_for_requests, 1)
    await slowly(leap, 310)

    with pytest.raises(LLMTimeoutError, match=r"300 s.*total_timeout"):
        await asked


async def test_a_server_that_never_answers(server: Loopback, leap: Leap) -> None:
    """A connection that is accepted and never answered ends with the number (S4-19)."""
    server.script(Script(silent=True))
    reading = asyncio.ensure_future(_read(_limited(server, first_byte=300)))
    await asyncio.to_thread(server.wait_for_requests, 1)
    leap(200)
    assert not reading.done()
    leap(101)

    with pytest.raises(LLMTimeoutError, match=r"300 s.*first_byte_timeout"):
        await reading
    assert await _closed(server.requests[0])


async def test_a_model_that_thinks_is_given_time(server: Loopback, leap: Leap) -> None:
    """A reasoning model's first content may take longer than the pauses later (S4-19)."""
    sent = threading.Event()
    server.script(stream_of(sent, "a"), stream_of(HANG))
    limits = replace(PATIENT, idle=100.0, first_byte=None)
    thinking = LLMCapabilities(reasoning=True)

    read = asyncio.ensure_future(pieces_of(asking(server, limits=limits, capabilities=thinking)))
    await asyncio.to_thread(server.wait_for_requests, 1)
    leap(400)
    sent.set()
    assert await read == ["a"]

    read = asyncio.ensure_future(pieces_of(asking(server, limits=limits)))
    await asyncio.to_thread(server.wait_for_requests, 2)
    while not read.done():
        leap(100)
        await asyncio.sleep(0.02)
    with pytest.raises(LLMTimeoutError):
        await read


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
    begun, release = threading.Event(), threading.Event()

    class Slow(BaseLLMConnector):
        def call_llm(self, prompt: str) -> str:
            begun.set()
            release.wait()
            return "late"

    call = asyncio.ensure_future(Slow().complete("q"))
    try:
        while not begun.is_set():  # noqa: ASYNC110 - it is set in another thread
            await asyncio.sleep(0.001)
        assert not call.done()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    finally:
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

"""Streams of the router: what was shown is not asked for again, and leaving one hangs up."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from leaping import Leap
from loopback import CUT, HANG, Loopback, event, events, streamed
from two_providers import asked, both, unwarned

from llmport_magic.errors import LLMStreamError, LLMTimeoutError
from llmport_magic.llm.streams import ResponseStream

pytestmark = unwarned


async def read_into(seen: list[str], stream: ResponseStream) -> None:
    """Note each piece as it comes."""
    async for text in stream:
        seen.append(text)  # noqa: PERF401 - what came before a failure counts


@pytest.mark.parametrize("rest", [CUT, HANG], ids=["cut", "stalled"])
async def test_what_was_shown_is_not_asked_for_again(
    server: Loopback, second: Loopback, leap: Leap, rest: Any
) -> None:
    """A stream that fails after its first piece is raised with what had arrived (S3-05, S3-60)."""
    server.always(events(event("half"), rest))
    stream = both(server, second).stream("q")
    seen: list[str] = []
    reading = asyncio.ensure_future(read_into(seen, stream))
    while not seen and not reading.done():  # noqa: ASYNC110 - a list tells nobody
        await asyncio.sleep(0.001)
    leap(601)
    with pytest.raises((LLMStreamError, LLMTimeoutError)) as caught:
        await reading

    assert seen == ["half"]
    assert caught.value.partial == "half"
    assert [each["provider"] for each in caught.value.attempts_made] == ["one"]
    assert stream.arrived is not None
    assert stream.arrived.content == "half"
    assert stream.arrived.metadata["cut_off"]
    assert second.requests == []


async def test_an_empty_piece_is_no_answer(server: Loopback, second: Loopback) -> None:
    """A stream that fails before anything of it could be seen goes on elsewhere (S3-60)."""
    server.always(events(event(""), CUT))
    second.always(streamed("whole"))
    stream = both(server, second).stream("q")

    assert [text async for text in stream] == ["whole"]
    assert asked(stream.response) == [("one", None), ("two", None)]


async def test_pieces_come_as_they_arrive(server: Loopback, second: Loopback) -> None:
    """The router does not wait for the whole: the first piece comes before the last is sent."""
    seen = threading.Event()
    server.always(streamed("first", seen, "last"))
    pieces = aiter(both(server, second).stream("q"))

    assert await anext(pieces) == "first"
    seen.set()
    assert [text async for text in pieces] == ["last"]


async def test_leaving_a_stream_hangs_up(server: Loopback, second: Loopback) -> None:
    """Breaking off closes the connection of the provider that answers, and asks nobody (S3-60)."""
    server.always(events(event("a"), HANG))
    stream = both(server, second).stream("q")
    async for _ in stream:
        break
    await stream.aclose()

    assert await asyncio.to_thread(server.requests[0].closed.wait, 60)
    assert second.requests == []
    assert stream.arrived is not None
    assert stream.arrived.metadata["attempts"][0]["error"] == "closed before its end"

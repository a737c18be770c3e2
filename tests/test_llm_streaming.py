"""Streamed answers, against a real server on this machine."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from asking import PATIENT, asking, pieces_of
from loopback import CUT, DONE, HANG, Loopback, data, event, events, failure, raw, reply
from loopback import streamed as stream_of

from llmport_magic.errors import (
    LLMError,
    LLMStreamError,
)
from llmport_magic.llm.transport import (
    LLMStatusError,
)

# Streams


async def test_a_stream_gives_text_then_the_whole(server: Loopback) -> None:
    """Text arrives in pieces, token counts and reason with the end (S4-12, S3-60)."""
    server.script(stream_of("a", "ü\u2028b", "c", finish="length"))
    stream = asking(server).stream("q")

    with pytest.raises(LLMError, match="not whole"):
        _ = stream.response
    pieces = [text async for text in stream]

    assert pieces == ["a", "ü\u2028b", "c"]
    response = stream.response
    assert (response.content, response.finish_reason) == ("aü\u2028bc", "length")
    assert response.usage == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert response.metadata["usage_estimated"] is False
    assert server.requests[0].json["stream"] is True
    assert server.requests[0].headers["accept"] == "text/event-stream"


async def test_the_first_text_is_there_before_the_last_is_sent(server: Loopback) -> None:
    """Text is shown while the server still holds the rest back (S4-32)."""
    server.script(stream_of("a", HANG))
    stream = asking(server).stream("q")

    async for text in stream:
        assert text == "a"
        break

    assert await asyncio.to_thread(server.requests[0].closed.wait, 60)


async def test_a_stream_arrives_whole_however_it_is_cut(server: Loopback) -> None:
    """Events cut into single bytes, half characters included, give the same text (S3-60)."""
    content = b": hi\r\n\r\n" + event("ü\u2028") + event("🙂") + event(finish="stop") + DONE
    server.script(events(*(content[i : i + 1] for i in range(len(content)))))

    assert await pieces_of(asking(server)) == ["ü\u2028", "🙂"]


async def test_half_characters_in_two_events_are_joined(server: Loopback) -> None:
    """A surrogate pair that a server cuts in two becomes the character again (S3-60)."""
    halves = [
        b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % h for h in (b"\\ud83d", b"\\ude42")
    ]
    server.script(stream_of(*halves, "!"))

    assert "".join(await pieces_of(asking(server))) == "🙂!"


async def test_empty_events_are_passed_over(server: Loopback) -> None:
    """Empty choices, null deltas, comments and usage beside choices are no trouble (S4-12)."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    server.script(
        events(
            b": comment\n\n",
            data({"choices": []}),
            data({"choices": [{"delta": None}]}),
            event("a"),
            event(finish="stop", usage=usage),
            DONE,
        )
    )
    stream = asking(server).stream("q")

    assert [text async for text in stream] == ["a"]
    assert stream.response.usage == usage


async def test_a_finish_reason_is_an_end(server: Loopback) -> None:
    """A server that sends no [DONE] has still finished when it says why (S4-12)."""
    server.script(events(event("a"), event(finish="stop")))

    assert await pieces_of(asking(server)) == ["a"]


@pytest.mark.parametrize("end", [(), (CUT,)])
async def test_an_end_without_an_end_is_an_error(server: Loopback, end: tuple) -> None:
    """A stream that just stops is not taken for a whole answer; its text is kept (S0-24, S3-60)."""
    server.script(events(event("half"), *end))
    stream = asking(server).stream("q")

    with pytest.raises(LLMStreamError, match="broke off") as caught:
        async for _ in stream:
            pass

    assert caught.value.partial == stream.text == "half"
    assert len(server.requests) == 1


async def test_an_error_in_a_stream_is_shown_and_not_retried(server: Loopback) -> None:
    """An error event after some text ends the stream with the provider's words (S3-60)."""
    server.script(events(event("half"), data({"error": {"message": "overloaded", "code": 529}})))

    with pytest.raises(LLMStreamError, match="overloaded") as caught:
        await pieces_of(asking(server))

    assert (caught.value.partial, caught.value.status) == ("half", 529)
    assert len(server.requests) == 1


async def test_bad_events_are_skipped_and_counted_until_there_are_ten(server: Loopback) -> None:
    """One broken event costs nothing but itself; ten in a row end the stream (S3-60)."""
    bad = b"data: {broken\n\n"
    server.script(stream_of("a", bad, bad, "b"), stream_of("a", *(bad,) * 10, "b"))
    stream = asking(server).stream("q")

    assert [text async for text in stream] == ["a", "b"]
    assert stream.response.metadata["skipped_events"] == 2
    with pytest.raises(LLMStreamError, match="10 events"):
        await pieces_of(asking(server))


async def test_a_server_that_does_not_stream_is_read_all_the_same(server: Loopback) -> None:
    """A plain answer to a request for a stream is one piece (S4-12)."""
    server.script(reply("hi"))
    stream = asking(server).stream("q")

    assert [text async for text in stream] == ["hi"]
    assert stream.response.usage["total_tokens"] == 10


async def test_a_refused_stream_fails_before_its_first_piece(server: Loopback) -> None:
    """A 401 is raised when the first piece is asked for, not shown as text (S4-12)."""
    server.script(failure(401))

    with pytest.raises(LLMStatusError):
        await pieces_of(asking(server))


async def test_reasoning_is_given_apart(server: Loopback) -> None:
    """What the model thinks is in the chunks and the metadata, never in the text (S4-12)."""
    think = data({"choices": [{"delta": {"reasoning_content": "hm"}}]})
    server.script(stream_of(think, "a"))
    stream = asking(server).stream("q")

    chunks = [chunk async for chunk in stream.chunks()]

    assert [chunk.reasoning for chunk in chunks][:1] == ["hm"]
    assert stream.response.content == "a"
    assert stream.response.reasoning == "hm"


async def test_limits_stop_what_has_no_end(server: Loopback) -> None:
    """A line or an answer over its limit ends the stream, with what had arrived (S4-19)."""
    limits = replace(PATIENT, max_line_bytes=1000, max_body_bytes=5000)
    server.script(events(event("a"), b"data: " + b"x" * 2000, HANG))
    server.script(events(*(event("b" * 100) for _ in range(200)), HANG))
    server.script(raw(b"x" * 6000))
    llm = asking(server, limits=limits)

    with pytest.raises(LLMStreamError, match="max_line_bytes") as line:
        await pieces_of(llm)
    with pytest.raises(LLMStreamError, match="max_body_bytes") as body:
        await pieces_of(llm)
    with pytest.raises(LLMStreamError, match="max_body_bytes"):
        await llm.call("q")

    assert line.value.partial == "a"
    assert body.value.partial.startswith("bbbb")
    assert all(request.closed.wait(60) for request in server.requests[:2])

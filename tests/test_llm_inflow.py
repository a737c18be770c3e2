"""Bytes that arrive together are read together, and events that hold only text the short way."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmport_magic.llm.dialects import openai_chat
from llmport_magic.llm.inflow import Inflow
from llmport_magic.llm.sse import LineTooLongError, SSEDecoder


def in_seconds(seconds: float) -> float:
    """Give the moment in so many seconds."""
    return asyncio.get_running_loop().time() + seconds


async def test_what_arrives_together_is_read_together() -> None:
    """Pieces that are there at once come as one, a later one apart, and then the end."""
    later = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"
        await later.wait()
        yield b"c"

    inflow = Inflow(source())

    assert await inflow.take(in_seconds(60)) == b"ab"
    later.set()
    assert await inflow.take(in_seconds(60)) == b"c"
    assert await inflow.take(in_seconds(60)) is None


async def test_what_came_before_a_failure_is_read_first() -> None:
    """A failure of the source is raised after the pieces that came before it, and once."""

    async def source() -> AsyncIterator[bytes]:
        yield b"a"
        raise OSError("broken")

    inflow = Inflow(source())

    assert await inflow.take(in_seconds(60)) == b"a"
    with pytest.raises(OSError, match="broken"):
        await inflow.take(in_seconds(60))


async def test_a_deadline_may_move_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader is called back when its own deadline passes, not an earlier reading's (S4-19)."""
    more = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield b"a"
        await more.wait()
        yield b"b"
        await asyncio.Event().wait()

    loop, ahead = asyncio.get_running_loop(), 0.0
    monkeypatch.setattr(loop, "time", lambda: time.monotonic() + ahead, raising=False)
    inflow = Inflow(source())

    assert await inflow.take(in_seconds(100)) == b"a"
    reading = asyncio.ensure_future(inflow.take(in_seconds(100)))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    reading = asyncio.ensure_future(inflow.take(in_seconds(1_000)))
    await asyncio.sleep(0)
    ahead += 200
    # The earlier reading's deadline passes.
    await asyncio.sleep(0.05)
    assert not reading.done()
    more.set()
    assert await reading == b"b"
    reading = asyncio.ensure_future(inflow.take(in_seconds(100)))
    await asyncio.sleep(0)
    ahead += 101
    with pytest.raises(TimeoutError):
        await reading
    await inflow.close()


async def test_closing_ends_the_source() -> None:
    """When `close` returns, the source has been told and has cleaned up."""
    cleaned: list[str] = []

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            cleaned.append("yes")

    inflow = Inflow(source())
    await inflow.take(in_seconds(60))

    await inflow.close()

    assert cleaned == ["yes"]
    await inflow.close()


def test_a_line_that_is_too_long_does_not_hide_what_came_before() -> None:
    """The events before a line over the limit are given with the error (S4-19)."""
    decoder = SSEDecoder(max_line_bytes=100)

    with pytest.raises(LineTooLongError, match="100") as caught:
        decoder.feed(b"data: a\n\ndata: b\n\ndata: " + b"x" * 200)

    assert [event.data for event in caught.value.events] == [b"a", b"b"]


_TEXTS = st.sampled_from(["", "a", "é\u2028😀", None, ["x"], 3])
_OTHERS = st.sampled_from([None, "", "x", [], {}, 0, {"message": "no"}])
_DELTAS = st.fixed_dictionaries(
    {"content": _TEXTS},
    optional=dict.fromkeys(
        ("role", "reasoning", "reasoning_content", "refusal", "tool_calls", "unknown"), _OTHERS
    ),
)
_CHOICES = st.fixed_dictionaries(
    {"delta": _DELTAS},
    optional={
        "index": st.sampled_from([0, 1, None]),
        "finish_reason": st.sampled_from([None, "", "stop", "length"]),
        "error": _OTHERS,
    },
)
_EVENTS = st.fixed_dictionaries(
    {"choices": st.lists(_CHOICES, max_size=2)},
    optional={
        "model": st.sampled_from([None, "", "m", 1]),
        "usage": st.sampled_from([None, {}, {"prompt_tokens": 1, "completion_tokens": 2}]),
        "x_groq": _OTHERS,
        "error": _OTHERS,
    },
)


@settings(max_examples=1_000)
@given(_EVENTS)
def test_the_short_way_reads_what_the_long_way_reads(event: dict[str, Any]) -> None:
    """An event that is read without a dictionary gives the same chunk (S4-12)."""
    quick = openai_chat.stream_reader().quick(json.dumps(event).encode())

    if quick is not None:
        assert openai_chat.read_error(event) is None
        long = openai_chat.stream_reader().read(event, "")
        assert (quick, repr(quick), hash(quick)) == (long, repr(long), hash(long))


def test_the_usual_event_takes_the_short_way() -> None:
    """The events of the vendors' own documentation need no dictionary."""
    delta = {"role": "assistant", "content": "Hi", "refusal": None}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    event = {"object": "chat.completion.chunk", "model": "m", "choices": [choice], "usage": None}

    chunk = openai_chat.stream_reader().quick(json.dumps(event).encode())

    assert chunk is not None
    assert (chunk.text, chunk.model, chunk.finish_reason) == ("Hi", "m", None)
    assert openai_chat.stream_reader().quick(b"[DONE]") is None

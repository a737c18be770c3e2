"""Answers that are kept: what is given again, and that all of it is."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asking import KEY, asking, pieces_of
from keeping import TOOL, files, forget_memory, tool_reply
from loopback import Loopback, raw, reply
from loopback import streamed as stream_of

from llmport_magic.llm.cache import answers_folder
from llmport_magic.llm.cost import Cost


async def test_the_same_request_is_sent_once(server: Loopback) -> None:
    """A second identical call sends nothing, says so and costs nothing (S3-62)."""
    server.script(reply("one"))
    llm = asking(server, cache=True, provider="openai", model="gpt-4o-mini")

    first = await llm.call("q")
    second = await llm.call("q")

    assert len(server.requests) == 1
    assert (second.content, second.finish_reason, second.model) == ("one", "stop", "m-1")
    assert second.usage == first.usage
    assert "cached" not in first.metadata
    assert second.metadata["cached"] is True
    assert second.metadata["sends"] == 0
    assert second.metadata["response_id"] == first.metadata["response_id"] == "c1"
    assert second.cost == Cost(0.0, "cached")
    assert (llm.totals.calls, llm.totals.cached_calls) == (1, 1)
    assert llm.usage_total == first.usage


async def test_nothing_is_kept_unless_it_is_asked_for(server: Loopback) -> None:
    """Without the setting each call is a request, and nothing is written (S3-62)."""
    server.always(reply("one"))
    llm = asking(server)

    await llm.call("q")
    response = await llm.call("q")

    assert len(server.requests) == 2
    assert "cached" not in response.metadata
    assert not answers_folder().exists()


async def test_one_call_may_differ_from_the_setting(server: Loopback) -> None:
    """`cache=False` neither takes nor keeps an answer, and `cache=True` does both (S3-62)."""
    server.script(reply("1"), reply("2"), reply("3"))
    on, off = asking(server, cache=True), asking(server)

    assert (await on.call("q", cache=False)).content == "1"
    assert (await off.call("q", cache=True)).content == "2"
    assert (await on.call("q")).content == "2"
    assert (await on.call("q", cache=False)).content == "3"
    assert (await on.call("q")).content == "2"


async def test_whole_answers_and_streams_share_what_is_kept(server: Loopback) -> None:
    """What came in pieces is given whole, and the other way round (S3-62)."""
    server.script(stream_of("a", "b"), reply("cd"))
    llm = asking(server, cache=True)

    assert await pieces_of(llm) == ["a", "b"]
    assert (await llm.call("q")).content == "ab"
    assert (await llm.call("r")).content == "cd"
    stream = llm.stream("r")
    assert [text async for text in stream] == ["cd"]

    assert stream.response.metadata["cached"] is True
    assert stream.response.finish_reason == "stop"
    assert stream.response.usage["total_tokens"] == 10
    assert stream.response.cost == Cost(0.0, "cached")
    assert len(server.requests) == 2
    assert llm.totals.cached_calls == 2


@pytest.mark.parametrize("new_process", [False, True])
async def test_everything_of_an_answer_comes_back(server: Loopback, new_process: bool) -> None:
    """Tools by the user's names, reasoning and ids are as they were the first time (S3-62)."""
    server.script(tool_reply())
    llm = asking(server, cache=True)

    first = await llm.call("q", tools=[TOOL])
    if new_process:
        forget_memory()
        llm = asking(server, cache=True)
    second = await llm.call("q", tools=[TOOL])
    stream = llm.stream("q", tools=[TOOL])
    assert [text async for text in stream] == []

    assert len(server.requests) == 1
    for again in (second, stream.response):
        assert again.tool_calls == first.tool_calls
        assert again.tool_calls[0].name == "web:search"
        assert again.tool_calls[0].id == "call_9"
        assert (again.reasoning, again.finish_reason) == ("hm", "tool_calls")
        assert again.message == first.message


async def test_thinking_comes_back(server: Loopback) -> None:
    """The blocks that a provider wants back unread survive the disk."""
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "t", "signature": "c2ln"},
            {"type": "text", "text": "hi"},
        ],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    server.script(raw(json.dumps(body)))
    llm = asking(server, cache=True, dialect="anthropic_messages")

    first = await llm.call("q")
    forget_memory()
    second = await asking(server, cache=True, dialect="anthropic_messages").call("q")

    assert first.thinking
    assert second.thinking == first.thinking
    assert second.usage == first.usage


async def test_what_a_caller_does_to_an_answer_stays_with_the_caller(server: Loopback) -> None:
    """Changing a given answer does not change the next one."""
    server.script(tool_reply())
    llm = asking(server, cache=True)
    await llm.call("q", tools=[TOOL])

    given = await llm.call("q", tools=[TOOL])
    given.usage.clear()
    given.metadata.clear()
    given.tool_calls[0].arguments.clear()  # type: ignore[attr-defined]
    again = await llm.call("q", tools=[TOOL])

    assert again.usage["prompt_tokens"] == 1
    assert again.metadata["cached"] is True
    assert again.tool_calls[0].arguments == {"q": "a"}


async def test_an_estimated_count_stays_an_estimate(server: Loopback) -> None:
    """Where the provider counted nothing, the kept answer says so, too."""
    server.script(reply("hello there", usage=None))
    llm = asking(server, cache=True)

    first, second = await llm.call("q"), await llm.call("q")

    assert second.metadata["usage_estimated"] is True
    assert second.usage == first.usage


async def test_many_calls_at_once_are_all_answered(server: Loopback) -> None:
    """Calls that run at once may all ask, and all of them get the answer."""
    server.always(reply("1"))
    llm = asking(server, cache=True)

    responses = await asyncio.gather(*(llm.call("q") for _ in range(20)))

    assert {response.content for response in responses} == {"1"}
    assert len(files()) == 1
    assert (await llm.call("q")).metadata["cached"] is True


def test_the_settings_reach_the_connector(own_registry: None) -> None:
    """`cache`, `cache_seconds` and `cache_megabytes` are those of the settings (S3-62)."""
    from llmport_magic.llm.registry import connector_for
    from llmport_magic.settings import resolve

    given = {"provider": "openai", "api_key": KEY, "cache_seconds": 7.0, "cache_megabytes": 3.0}
    kept: Any = connector_for(resolve(**given, cache=True))
    plain: Any = connector_for(resolve(**given))

    assert (kept.config.cache, kept.config.cache_seconds, kept.config.cache_megabytes) == (
        True,
        7.0,
        3.0,
    )
    assert plain.config.cache is False

"""Answers that are never given again: bad, broken off, forgotten or to another prompt."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import asking, pieces_of
from keeping import CALLED, TOOL, files, tool_reply
from loopback import CUT, HANG, Loopback, Script, data, event, events, failure, raw, reply
from loopback import streamed as stream_of

from llmport_magic.errors import LLMError, LLMOutputError
from llmport_magic.llm import CognitiveAgent
from llmport_magic.llm.cache import forget


@pytest.mark.parametrize(
    "script",
    [
        reply("cut", finish="length"),
        reply("no", finish="content_filter"),
        reply(""),
        reply("  \n"),
        raw(json.dumps({"choices": [{"message": {"content": "no end"}}]})),
    ],
    ids=["length", "filtered", "empty", "blank", "no reason"],
)
async def test_an_answer_that_is_not_good_is_not_kept(server: Loopback, script: Script) -> None:
    """What was cut off, filtered, empty or ended strangely is asked for again (S3-62)."""
    server.script(script, reply("good"))
    llm = asking(server, cache=True)

    first = await llm.call("q")
    assert not files()
    second = await llm.call("q")

    assert "cache_key" not in first.metadata
    assert second.content == "good"
    assert len(files()) == 1


@pytest.mark.parametrize("arguments", ['{"q": ', "[1]"])
async def test_a_tool_call_that_cannot_be_read_is_not_kept(
    server: Loopback, arguments: str
) -> None:
    """Arguments that are no JSON object are asked for again."""
    function = {"name": "web_search", "arguments": arguments}
    choice = {"message": {"tool_calls": [{**CALLED, "function": function}]}}
    choices = [{**choice, "finish_reason": "tool_calls"}]
    server.script(raw(json.dumps({"choices": choices})), tool_reply())
    llm = asking(server, cache=True)

    await llm.call("q", tools=[TOOL])
    response = await llm.call("q", tools=[TOOL])

    assert response.tool_calls[0].error is None
    assert len(server.requests) == 2


async def test_an_error_is_not_kept(server: Loopback) -> None:
    """A failure is raised and asked for again (S3-62)."""
    server.script(failure(400, "bad"), failure(400, "bad"), reply("good"))
    llm = asking(server, cache=True)

    for _ in range(2):
        with pytest.raises(LLMError):
            await llm.call("q")
    assert (await llm.call("q")).content == "good"


@pytest.mark.parametrize("ending", [(CUT,), (data({"error": {"message": "boom"}}),)])
async def test_a_broken_off_stream_is_not_kept(server: Loopback, ending: tuple[Any]) -> None:
    """A stream that breaks off or ends in an error is asked for again (S3-62)."""
    server.script(events(event("a"), *ending), stream_of("good"))
    llm = asking(server, cache=True)

    with pytest.raises(LLMError):
        await pieces_of(llm)
    assert not files()
    assert await pieces_of(llm) == ["good"]


async def test_a_stream_that_is_closed_early_is_not_kept(server: Loopback) -> None:
    """Half an answer never stands for the whole one (S3-62)."""
    server.script(stream_of("a", HANG), stream_of("whole"))
    llm = asking(server, cache=True)

    async with llm.stream("q") as stream:
        async for _ in stream:
            break
    assert not files()
    assert server.requests[0].closed.wait(60)
    assert await pieces_of(llm) == ["whole"]


async def test_what_is_not_the_json_asked_for_is_not_kept(server: Loopback) -> None:
    """A wrong answer does not make the same error for as long as answers are kept."""
    server.script(reply("no"), reply("no"), reply("no"), reply('{"a": 1}'))
    llm = asking(server, cache=True)

    with pytest.raises(LLMOutputError):
        await llm.call("q", json_mode=True)
    assert not files()
    response = await llm.call("q", json_mode=True)

    assert response.content == '{"a": 1}'
    assert len(server.requests) == 4


async def test_a_kept_repair_takes_nothing(server: Loopback) -> None:
    """Where only the second try is kept, the whole counts and costs what the first one took."""
    server.script(reply("no"), reply('{"a": 1}'), reply("no"))
    llm = asking(server, cache=True)

    both = await llm.call("q", json_mode=True)
    one = await llm.call("q", json_mode=True)

    assert len(server.requests) == 3
    assert (both.usage["total_tokens"], one.usage["total_tokens"]) == (20, 10)
    assert not one.metadata["cached"]
    assert one.metadata["sends"] == 1
    assert one.cost.source != "cached"
    assert llm.usage_total["total_tokens"] == 30


async def test_an_agents_run_out_of_the_cache_takes_nothing(server: Loopback) -> None:
    """The tokens of a run are those that were really taken."""
    server.script(reply("done"))
    agent = CognitiveAgent(llm=asking(server, cache=True))

    first = await agent.run("q")
    second = await agent.run("q")

    assert (first.answer, second.answer) == ("done", "done")
    assert (first.usage["total_tokens"], second.usage) == (10, {})


async def test_an_answer_is_forgotten_on_request(server: Loopback) -> None:
    """Whoever found an answer wrong lets it be asked for anew."""
    server.script(reply("wrong"), reply("right"))
    llm = asking(server, cache=True)

    forget(await llm.call("q"))
    assert not files()
    assert (await llm.call("q")).content == "right"
    forget(await llm.call("q"))
    assert not files()


async def test_a_prompt_whose_code_changed_is_another_one(server: Loopback) -> None:
    """An update of changed code never gets the answer to the code before (S3-62)."""
    server.script(reply("1"), reply("2"))
    llm = asking(server, cache=True)

    assert (await llm.call("def f(): return 1\nmake it 2")).content == "1"
    assert (await llm.call("def f(): return 2\nmake it 2")).content == "2"

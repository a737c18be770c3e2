"""Answers that are kept: what is given again, what never is, and what lies on disk."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking import KEY, asking, pieces_of
from loopback import CUT, HANG, Loopback, Script, data, event, events, failure, raw, reply
from loopback import streamed as stream_of

from llmport_magic.errors import LLMError, LLMOutputError, UsageError
from llmport_magic.llm import CognitiveAgent, cache
from llmport_magic.llm.cache import (
    Answer,
    KeptAnswers,
    answers_folder,
    clear_cache,
    forget,
    kept_answers,
    request_key,
)
from llmport_magic.llm.cost import Cost
from llmport_magic.llm.messages import Image, LLMRole, Message, ToolCall
from llmport_magic.llm.provider import LLMConfig
from llmport_magic.llm.reply import Chunk
from llmport_magic.llm.tools import Tool
from llmport_magic.llm.wire import Call

TOOL = Tool(name="web:search", parameters={"type": "object", "properties": {"q": {}}})
CALLED = {
    "index": 0,
    "id": "call_9",
    "type": "function",
    "function": {"name": "web_search", "arguments": '{"q": "a"}'},
}


def tool_reply(**fields: Any) -> Script:
    """Answer with the wish for a tool, and with the reasoning before it."""
    message = {"role": "assistant", "content": None, "tool_calls": [CALLED]}
    message["reasoning_content"] = "hm"
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    body = {"id": "c7", "model": "m-1", "choices": [choice], "usage": {"prompt_tokens": 1}}
    return raw(json.dumps({**body, **fields}))


def files() -> list[Path]:
    """List what lies in the cache."""
    return sorted(answers_folder().glob("*"))


def forget_memory() -> None:
    """Be as a new process is."""
    cache._kept_in.cache_clear()


# What is given again


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


# What another request is

CONFIG = LLMConfig(base_url="http://127.0.0.1:1/v1", model="m", api_key=KEY)
CALL = Call(model="m", messages=(Message(LLMRole.USER, "q"),), temperature=0.5, max_tokens=10)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "m2"},
        {"messages": (Message(LLMRole.USER, "p"),)},
        {"messages": (Message(LLMRole.SYSTEM, "q"),)},
        {"messages": (Message(LLMRole.USER, "q", images=(Image(data=b"1"),)),)},
        {"messages": (Message(LLMRole.USER, "q", images=(Image(data=b"2"),)),)},
        {"messages": (Message(LLMRole.USER, "q", tool_calls=(ToolCall(name="f"),)),)},
        {"messages": (Message(LLMRole.USER, "q", thinking=({"a": 1},)),)},
        {"messages": (Message(LLMRole.USER, "q"), Message(LLMRole.ASSISTANT, "a"))},
        {"temperature": 0.6},
        {"temperature": None},
        {"max_tokens": 11},
        {"stop": ("x",)},
        {"seed": 1},
        {"top_p": 0.5},
        {"prefill": "x"},
        {"tools": (TOOL,)},
        {"tools": (replace(TOOL, description="d"),)},
        {"tools": (replace(TOOL, parameters={"type": "object"}),)},
        {"tools": (TOOL,), "tool_choice": "required"},
        {"json_mode": True},
        {"json_mode": True, "json_schema": {"type": "object"}},
        {"options": {"num_ctx": 1}},
        {"extra": {"a": 1}},
    ],
)
def test_whatever_shapes_the_answer_is_in_the_key(fields: dict[str, Any]) -> None:
    """A request that differs in anything is another one (S3-62)."""
    assert request_key(CONFIG, replace(CALL, **fields)) != request_key(CONFIG, CALL)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("provider", "p"),
        ("dialect", "ollama_chat"),
        ("base_url", "http://127.0.0.1:2/v1"),
        ("headers", {"x-version": "2"}),
    ],
)
def test_who_is_asked_is_in_the_key(field: str, value: Any) -> None:
    """The same words to another server or in another format are another request (S3-62)."""
    other = replace(CONFIG, **{field: value})

    assert request_key(other, CALL) != request_key(CONFIG, CALL)


def test_no_key_is_in_the_key() -> None:
    """Another API key, also one in a header, and how an answer travels change nothing (S3-62)."""
    other = replace(CONFIG, api_key="other-key-0123456789", headers={"x-api-key": "k-987654321"})

    assert request_key(other, CALL) == request_key(CONFIG, CALL)
    assert request_key(CONFIG, replace(CALL, stream=True, refused=frozenset({"seed"}))) == (
        request_key(CONFIG, CALL)
    )
    assert request_key(CONFIG, replace(CALL, tools=(replace(TOOL, function=print),))) == (
        request_key(CONFIG, replace(CALL, tools=(TOOL,)))
    )


def test_the_order_of_a_mapping_is_no_difference() -> None:
    """Options that are the same are so in any order."""
    one = replace(CALL, options={"a": 1, "b": {"c": 1, "d": 2}})
    two = replace(CALL, options={"b": {"d": 2, "c": 1}, "a": 1})

    assert request_key(CONFIG, one) == request_key(CONFIG, two)


async def test_another_temperature_asks_again(server: Loopback) -> None:
    """The same prompt at another temperature is not answered from the cache (S3-62)."""
    server.script(reply("1"), reply("2"))
    llm = asking(server, cache=True)

    assert (await llm.call("q", temperature=0.1)).content == "1"
    assert (await llm.call("q", temperature=0.2)).content == "2"
    assert (await llm.call("q", temperature=0.1)).metadata["cached"] is True


async def test_a_discovered_model_is_in_the_key(server: Loopback) -> None:
    """Where the server says which model there is, its answer is kept under that name."""
    served = raw(json.dumps({"data": [{"id": "small"}]}))
    other = raw(json.dumps({"data": [{"id": "large"}]}))
    server.script(served, reply("1"), other, reply("2"), served)

    assert (await asking(server, cache=True, model="").call("q")).content == "1"
    assert (await asking(server, cache=True, model="").call("q")).content == "2"
    assert (await asking(server, cache=True, model="").call("q")).content == "1"


async def test_what_cannot_be_sent_has_no_key(server: Loopback) -> None:
    """A request that no JSON can hold is refused as it is without a cache."""
    llm = asking(server, cache=True)

    with pytest.raises(UsageError, match="cannot be written as JSON"):
        await llm.call("q", extra={"a": object()})
    assert request_key(CONFIG, replace(CALL, extra={"a": object()})) is None


# What is never given again


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
    assert server.requests[0].closed.wait(2)
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


# How long, and how much


async def test_an_old_answer_is_asked_for_again(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer is given for `cache_seconds`, in memory and from disk, and then replaced."""
    server.script(reply("old"), reply("new"))
    llm = asking(server, cache=True, cache_seconds=100)
    now = time.time()
    await llm.call("q")

    monkeypatch.setattr(cache.time, "time", lambda: now + 99)
    assert (await llm.call("q")).content == "old"
    forget_memory()
    assert (await asking(server, cache=True, cache_seconds=100).call("q")).content == "old"
    monkeypatch.setattr(cache.time, "time", lambda: now + 101)
    assert (await llm.call("q")).content == "new"
    assert (await llm.call("q")).content == "new"

    assert len(files()) == 1


async def test_the_longest_unused_answers_go_first(server: Loopback) -> None:
    """What is more than `cache_megabytes` is deleted, and what was used last stays."""
    server.always(lambda _: reply("x" * 1000))
    llm = asking(server, cache=True, cache_megabytes=0.004)
    keys = []
    for number in range(3):
        response = await llm.call(f"q{number}")
        keys.append(response.metadata["cache_key"])
        path = answers_folder() / f"{keys[-1]}.json"
        os.utime(path, (number + 1, path.stat().st_mtime))

    await llm.call("q0")  # used again, so that `q1` is the longest unused
    await llm.call("q3")

    assert not (answers_folder() / f"{keys[1]}.json").exists()
    assert (answers_folder() / f"{keys[0]}.json").exists()
    assert sum(path.stat().st_size for path in files()) <= 4000


def test_the_limit_holds_for_many_answers(tmp_path: Path) -> None:
    """The folder stays within its limit and a hundredth, however many answers are kept."""
    answers = KeptAnswers(tmp_path / "answers")
    limit = 0.05

    for number in range(300):
        text = "x" * (100 + number)
        answer = Answer(cache.FORMAT, f"{number:064x}", time.time(), Chunk(text=text))
        assert answers.keep(answer, 1000, limit)
        assert answers.size()[1] <= limit * 1.01e6 + 1000


async def test_an_answer_larger_than_the_limit_is_not_kept(server: Loopback) -> None:
    """One answer cannot push out everything else."""
    server.always(lambda _: reply("x" * 5000))
    llm = asking(server, cache=True, cache_megabytes=0.001)

    response = await llm.call("q")

    assert "cache_key" not in response.metadata
    assert not files()


# What lies on disk


@pytest.mark.skipif(os.name == "nt", reason="modes are of POSIX")
async def test_only_the_user_can_read_what_is_kept(server: Loopback) -> None:
    """The folder is 0700 and its files 0600, and a file holds no word of the prompt (S3-62)."""
    server.script(reply("answer"))
    await asking(server, cache=True, api_key=KEY).call("the secret plan")

    (path,) = files()
    assert stat.S_IMODE(answers_folder().stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert json.loads(text)["chunk"]["text"] == "answer"
    assert "secret plan" not in text
    assert KEY not in text


@pytest.mark.parametrize("said", [f"your key is {KEY}", "sk-" + "a1B2" * 8])
async def test_what_looks_like_a_key_is_not_written(server: Loopback, said: str) -> None:
    """An answer with a key, known or not, is neither kept nor changed by being kept (S3-62)."""
    half = len(said) // 2
    server.always(stream_of(said[:half], said[half:]))
    llm = asking(server, cache=True, api_key=KEY)

    await pieces_of(llm)
    await pieces_of(llm)

    assert len(server.requests) == 2
    assert not files()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _of_other_format(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": cache.FORMAT + 1}))


def _of_other_request(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "key": "0" * 64}))


def _of_the_future(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "created": time.time() + 1e6}))


def _of_wrong_type(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "chunk": {"text": 5}}))


@pytest.mark.parametrize("new_process", [False, True])
@pytest.mark.parametrize(
    "spoil",
    [
        _truncated,
        _of_other_format,
        _of_other_request,
        _of_the_future,
        _of_wrong_type,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff\x00"),
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.unlink(),
    ],
    ids=["cut", "format", "request", "future", "type", "empty", "bytes", "deep", "gone"],
)
async def test_a_file_that_is_not_ours_is_replaced(
    server: Loopback, spoil: Callable[[Path], object], new_process: bool
) -> None:
    """A corrupted, foreign or missing file is no answer; the next one takes its place (S3-62)."""
    server.script(reply("1"), reply("2"))
    llm = asking(server, cache=True)
    await llm.call("q")
    await llm.call("q")
    (path,) = files()

    spoil(path)
    if new_process:
        forget_memory()
        llm = asking(server, cache=True)

    assert (await llm.call("q")).content == "2"
    assert (await llm.call("q")).metadata["cached"] is True
    assert files() == [path]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
async def test_a_link_in_the_place_of_an_answer_is_not_followed(
    server: Loopback, tmp_path: Path
) -> None:
    """A planted link is neither read nor written through, and an answer takes its place."""
    server.script(reply("1"), reply("2"))
    await asking(server, cache=True).call("q")
    (path,) = files()
    target = tmp_path / "target"
    target.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(target)
    forget_memory()
    before = target.read_bytes()

    response = await asking(server, cache=True).call("q")

    assert response.content == "2"
    assert target.read_bytes() == before
    assert not path.is_symlink()
    assert b'"2"' in path.read_bytes()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
async def test_a_folder_that_cannot_be_written_is_told(server: Loopback) -> None:
    """An answer is given also where it cannot be kept, and the user is told why."""
    answers_folder().mkdir(parents=True)
    answers_folder().chmod(0o500)
    server.script(reply("1"))

    with pytest.warns(RuntimeWarning, match="answers cannot be kept"):
        assert (await asking(server, cache=True).call("q")).content == "1"


async def test_a_file_in_the_place_of_the_folder_is_told_once(server: Loopback) -> None:
    """Where no folder can be, each call is a request, and one warning says so."""
    answers_folder().parent.mkdir(parents=True, exist_ok=True)
    answers_folder().write_text("")
    server.always(reply("1"))
    llm = asking(server, cache=True)

    with pytest.warns(RuntimeWarning, match="answers cannot be kept") as told:
        await asyncio.gather(*(llm.call("q") for _ in range(3)))

    assert len(told) == 1
    assert len(server.requests) == 3


async def test_the_cache_is_cleared(server: Loopback) -> None:
    """`clear_cache()` deletes every answer, of other connectors and in memory, too."""
    server.always(reply("1"))
    llm = asking(server, cache=True)
    await llm.call("q")
    await llm.call("r")
    await llm.call("q")
    assert kept_answers().size()[0] == 2

    assert clear_cache() == 2

    assert not files()
    assert kept_answers().size() == (0, 0)
    await llm.call("q")
    assert len(server.requests) == 3


async def test_an_answer_that_another_process_deleted_is_gone(server: Loopback) -> None:
    """What is in memory counts only as long as its file lies there."""
    server.always(reply("1"))
    llm = asking(server, cache=True)
    await llm.call("q")
    await llm.call("q")

    files()[0].unlink()
    await llm.call("q")

    assert len(server.requests) == 2


WRITER = """
import sys, time
from pathlib import Path
from llmport_magic.llm.cache import FORMAT, Answer, KeptAnswers
from llmport_magic.llm.reply import Chunk

answers = KeptAnswers(Path(sys.argv[1]))
bad = 0
for turn in range(150):
    key = f"{turn % 5:064x}"
    text = sys.argv[2] * (turn * 50)
    answers.keep(Answer(FORMAT, key, time.time(), Chunk(text=text)), 1000, 0.03)
    found = answers.find(key, 1000)
    # Another process may have written or deleted it since, but never half of it.
    bad += found is not None and len(set(found.chunk.text)) > 1
sys.exit(bad)
"""


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    """Two processes that keep, find and delete the same answers never read half of one (S3-62)."""
    folder = tmp_path / "answers"
    command = [sys.executable, "-c", WRITER, str(folder)]

    running = [subprocess.Popen([*command, letter]) for letter in "ab"]

    assert [process.wait(60) for process in running] == [0, 0]
    assert not list(folder.glob(".llmport-*"))


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

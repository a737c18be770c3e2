"""Streams in Anthropic's messages format: every split of the bytes, and whole conversations."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import FunctionType
from typing import Any

import httpx
import httpx_sse
import msgspec
import pytest
from asking import asking
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Loopback, Script, events, raw

from llmport_magic.llm.dialects import anthropic_messages as dialect
from llmport_magic.llm.gathering import Gathering
from llmport_magic.llm.messages import Message
from llmport_magic.llm.registry import default_registry
from llmport_magic.llm.reply import LLMResponse
from llmport_magic.llm.sse import SSEDecoder

Event = dict[str, Any]


def began(**usage: int) -> Event:
    """Begin a message, as the API does."""
    head = {"id": "msg_01", "type": "message", "role": "assistant", "model": "claude-x"}
    counts = {"input_tokens": 25, "output_tokens": 1, **usage}
    empty = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": counts}
    return {"type": "message_start", "message": {**head, **empty}}


def block(index: int, opening: Event, *deltas: Event) -> list[Event]:
    """Write a block: its beginning, its pieces, its end."""
    return [
        {"type": "content_block_start", "index": index, "content_block": opening},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def says(index: int, *texts: str) -> list[Event]:
    """Write a block of text."""
    pieces = [{"type": "text_delta", "text": text} for text in texts]
    return block(index, {"type": "text", "text": ""}, *pieces)


def thinks(index: int, *texts: str) -> list[Event]:
    """Write a block of thought with its signature."""
    pieces = [{"type": "thinking_delta", "thinking": text} for text in texts]
    signed = {"type": "signature_delta", "signature": "EqQBCgIYAh=="}
    return block(index, {"type": "thinking", "thinking": "", "signature": ""}, *pieces, signed)


def calls(index: int, name: str, *fragments: str) -> list[Event]:
    """Write a call."""
    opening = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}}
    pieces = [{"type": "input_json_delta", "partial_json": text} for text in fragments]
    return block(index, opening, *pieces)


def ended(reason: str, **usage: int) -> list[Event]:
    """End a message."""
    delta = {"stop_reason": reason, "stop_sequence": None}
    counts = {"output_tokens": 15, **usage}
    return [{"type": "message_delta", "delta": delta, "usage": counts}, {"type": "message_stop"}]


PING: Event = {"type": "ping"}
SEARCH = block(
    1,
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
    {"type": "input_json_delta", "partial_json": '{"query":"Wetter'},
    {"type": "input_json_delta", "partial_json": ' Köln"}'},
)
RESULT = block(2, {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []})
CITED = {"type": "citations_delta", "citation": {"cited_text": "nicht im Text"}}
STREAMS: dict[str, list[Event]] = {
    "text": [
        began(),
        PING,
        *says(0, "Grü", "ße\u2028 und\u0085", " 😀\r\n", "\u2029", "日本語"),
        *ended("end_turn"),
    ],
    "parallel calls": [
        began(cache_read_input_tokens=100),
        *thinks(0, "Köln und\u2028", " Oslo?"),
        *says(1, "Ich sehe\r\n", "nach."),
        PING,
        *calls(2, "weather", "", '{"city": "K', 'öln\u2028"', "}"),
        *calls(3, "weather", '{"city": "O\\"slo", "days": [1, ', "2]}"),
        *calls(4, "now", ""),
        *ended("tool_use"),
    ],
    "searched": [
        began(),
        *says(0, "Ich suche. "),
        *SEARCH,
        *RESULT,
        {"type": "invented_tomorrow", "text": "nein"},
        *says(3, "Es ", "regnet 🌧"),
        {"type": "content_block_delta", "index": 3, "delta": CITED},
        *calls(4, "weather", '{"city":', ' "Bonn"}'),
        *ended("max_tokens", input_tokens=400),
    ],
}


def written(stream: list[Event], end: str = "\n") -> bytes:
    """Write a stream as bytes; JSON of the API is not escaped."""
    lines = []
    for event in stream:
        data = json.dumps(event, ensure_ascii=False)
        lines += [f"event: {event['type']}", f"data: {data}", ""]
    return (end.join(lines) + end).encode()


def ours(pieces: list[bytes]) -> LLMResponse:
    """Read the bytes as the package does, piece by piece."""
    decoder, reader = SSEDecoder(), dialect.stream_reader()
    gathering = Gathering("anthropic", "m", "q", {})
    for piece in pieces:
        for event in decoder.feed(piece):
            chunk = reader.read(msgspec.json.decode(event.data), event.event)
            if chunk is not None:
                gathering.add(chunk)
    assert reader.complete
    return gathering.response()


def theirs(content: bytes) -> tuple[str, str, list[tuple[str, str, str]]]:
    """Read the whole with httpx-sse, and put blocks together by nothing but their number."""
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=content)
    blocks: dict[int, Event] = {}
    for event in httpx_sse.EventSource(response).iter_sse():
        data = event.json()
        assert data["type"] == event.event
        if event.event == "content_block_start":
            blocks[data["index"]] = {"all": "", **data["content_block"]}
        elif event.event == "content_block_delta":
            names = ("text", "thinking", "partial_json")
            blocks[data["index"]]["all"] += next(
                (data["delta"][name] for name in names if name in data["delta"]), ""
            )
    return (
        "".join(b["all"] for b in blocks.values() if b["type"] == "text"),
        "".join(b["all"] for b in blocks.values() if b["type"] == "thinking"),
        [(b["id"], b["name"], b["all"]) for b in blocks.values() if b["type"] == "tool_use"],
    )


def seen(response: LLMResponse) -> tuple[str, str, list[tuple[str, str, str]]]:
    """Give the same of a response."""
    found = [(call.id, call.name, call.text) for call in response.tool_calls]
    return response.content, response.reasoning, found


def cut(content: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at places."""
    marks = sorted({0, len(content), *(place for place in places if place <= len(content))})
    return [content[a:b] for a, b in pairwise(marks)]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("name", STREAMS)
def test_every_split_gives_the_same_text_and_calls(name: str, end: str) -> None:
    """Cut into two at every byte, and into single bytes, nothing changes (S3-01, S4-12, S4-14)."""
    content = written(STREAMS[name], end)
    expected = theirs(content)

    assert seen(ours([content])) == expected
    assert seen(ours([content[i : i + 1] for i in range(len(content))])) == expected
    for place in range(1, len(content)):
        assert seen(ours([content[:place], content[place:]])) == expected, place


@given(data=st.data(), name=st.sampled_from(sorted(STREAMS)), end=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=150, deadline=None)
def test_any_split_gives_what_httpx_sse_gives(data: st.DataObject, name: str, end: str) -> None:
    """Cut anywhere and as often as you like, text, thoughts and calls are exact (S4-12)."""
    content = written(STREAMS[name], end)
    places = data.draw(st.lists(st.integers(0, len(content)), max_size=40))

    assert seen(ours(cut(content, places))) == theirs(content)


@given(texts=st.lists(st.text(), max_size=6), fragments=st.lists(st.text(), max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_text_arrives_as_it_was_sent(texts: list[str], fragments: list[str]) -> None:
    """Every character that JSON can hold comes through, in text and in arguments (S4-12)."""
    stream = [began(), *says(0, *texts), *calls(1, "a", *fragments), *ended("tool_use")]

    response = ours([written(stream)])

    assert response.content == "".join(texts)
    assert response.tool_calls[0].text == "".join(fragments)


def test_the_streams_hold_what_they_are_to_hold() -> None:
    """The oracle finds the calls and the words that were put in: it does not agree by accident."""
    said, thought, asked = theirs(written(STREAMS["parallel calls"]))
    response = ours([written(STREAMS["parallel calls"])])

    assert (said, thought) == ("Ich sehe\r\nnach.", "Köln und\u2028 Oslo?")
    assert [name for _, name, _ in asked] == ["weather", "weather", "now"]
    assert [call.arguments for call in response.tool_calls] == [
        {"city": "Köln\u2028"},
        {"city": 'O"slo', "days": [1, 2]},
        {},
    ]
    assert response.finish_reason == "tool_calls"
    assert response.usage == {
        "prompt_tokens": 125,
        "completion_tokens": 15,
        "total_tokens": 140,
        "cached_tokens": 100,
    }


# Over real sockets


def claude(server: Loopback, **fields: Any) -> Any:
    """Make a connector that asks the server in this format."""
    return asking(server, dialect="anthropic_messages", provider="anthropic", **fields)


def streamed(stream: list[Event], size: int = 7) -> Script:
    """Answer as a stream in small pieces of bytes."""
    content = written(stream)
    return events(*(content[i : i + size] for i in range(0, len(content), size)))


async def test_a_stream_in_small_pieces_is_whole(server: Loopback) -> None:
    """Over a socket, text, thoughts, calls and exact usage are the same (S3-01, S4-09, S4-14)."""
    server.script(streamed(STREAMS["parallel calls"]))

    stream = claude(server).stream("q", tools=[{"name": "weather"}, {"name": "now"}])
    texts = [text async for text in stream]
    response = stream.response

    assert "".join(texts) == response.content
    assert seen(response) == theirs(written(STREAMS["parallel calls"]))
    assert response.usage["prompt_tokens"] == 125
    assert response.metadata["usage_estimated"] is False
    assert (response.model, response.metadata["raw_finish_reason"]) == ("claude-x", "tool_use")


async def test_bad_arguments_are_the_calls_fault(server: Loopback) -> None:
    """JSON that is cut off ends in the call's error; the answer and its neighbour stand (S4-14)."""
    asked = [*calls(0, "weather", '{"city": "K'), *calls(1, "weather", '{"city": "Bonn"}')]
    server.script(streamed([began(), *asked, *ended("max_tokens")]))

    stream = claude(server).stream("q", tools=[{"name": "weather"}])
    _ = [chunk async for chunk in stream.chunks()]
    broken, whole = stream.response.tool_calls

    assert "not JSON" in (broken.error or "")
    assert (broken.arguments, broken.text) == ({}, '{"city": "K')
    assert (whole.error, whole.arguments) == (None, {"city": "Bonn"})
    assert stream.response.finish_reason == "length"


async def test_an_answer_with_calls_goes_back_as_it_came(server: Loopback) -> None:
    """Thoughts with their signature, calls and results make the next request (S4-14)."""
    hidden = {"type": "redacted_thinking", "data": "EmwK"}
    answer = [began(), *thinks(0, "Hm."), *block(1, hidden), *calls(2, "web_weather", '{"a": 1}')]
    done = {"type": "message", "content": [{"type": "text", "text": "Wet."}], "stop_reason": None}
    server.script(streamed([*answer, *ended("tool_use")]), raw(json.dumps(done)))
    llm, tools = claude(server), [{"name": "web:weather"}]

    stream = llm.stream("q", tools=tools)
    _ = [chunk async for chunk in stream.chunks()]
    (call,) = stream.response.tool_calls
    turns = [Message("user", "q"), stream.response.message, Message.tool_result(call, {"mm": 3})]
    last = await llm.call(turns, tools=tools)

    assert call.name == "web:weather"
    assert server.requests[1].json["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCgIYAh=="},
                hidden,
                {"type": "tool_use", "id": "toolu_2", "name": "web_weather", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "content": [{"type": "text", "text": '{"mm": 3}'}],
                }
            ],
        },
    ]
    assert (last.content, last.finish_reason) == ("Wet.", "stop")


async def test_the_example_of_the_page_runs(
    server: Loopback,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the provider's page shows works as it stands, here against the server of the test."""
    page = (Path(__file__).parents[1] / "docs/providers/anthropic.md").read_text("utf-8")
    example = page.split("```python\n")[1].split("```")[0]
    asked = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}}
    counts = {"input_tokens": 1000, "output_tokens": 100}
    whole = {"type": "message", "content": [asked], "stop_reason": "tool_use", "usage": counts}
    body = json.dumps({**whole, "model": "claude-sonnet-5-5"})
    server.script(
        raw(body), streamed([began(), *says(0, "Yes, ", "it rains."), *ended("end_turn")])
    )
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key-0123456789abcdef")
    row = replace(default_registry().provider("anthropic"), base_url=server.url)
    request.addfinalizer(default_registry.cache_clear)
    default_registry().register_provider(row, replace=True)

    code = compile(example, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await FunctionType(code, {})()

    shown = capsys.readouterr().out
    assert "{'city': 'Köln'}" in shown
    assert "dollars=0.003" in shown
    assert shown.endswith("Yes, it rains.")
    assert server.requests[0].json["model"] == "claude-sonnet-5-5"
    assert server.requests[1].json["system"] == "Be short."


@given(st.text(), st.sampled_from(["text_delta", "thinking_delta", "input_json_delta"]))
def test_the_quick_way_reads_the_same(text: str, kind: str) -> None:
    """A piece of the text reads the same the quick way; anything else takes the usual one."""
    delta = {"type": kind, "text": text}
    event = {"type": "content_block_delta", "index": 0, "delta": delta}
    quick, usual = dialect.stream_reader(), dialect.stream_reader()
    for reader in (quick, usual):
        reader.read(began(), "")

    chunk = quick.quick(json.dumps(event).encode())

    if kind == "text_delta" and text:
        assert chunk == usual.read(event, "")
    else:
        assert chunk is None
    assert quick.quick(json.dumps({**event, "error": {"message": "no"}}).encode()) is None

"""Tools from the first question to the last answer, in every wire format, plain and streamed.

The answers have the shapes that the vendors document, with two calls in parallel: one tool's name
that no provider takes, and one that becomes the same name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from asking import asking
from loopback import DONE, Loopback, Script, data, events, raw, reply

from llmport_magic.errors import UsageError
from llmport_magic.llm import (
    BaseLLMConnector,
    CognitiveAgent,
    CognitiveConfig,
    LLMProvider,
    LLMResponse,
    Message,
    ToolBox,
)
from llmport_magic.llm.dialects import dialect_names

FIRST, SECOND = {"query": "größe"}, {"limit": 2}


@dataclass(frozen=True)
class Wire:
    """How one format says it.

    Attributes:
        asks: an answer with the two calls.
        asks_streamed: the same in pieces.
        says: an answer in words.
        says_streamed: the same in pieces.
        tools: gives the names of the tools in a request.
        results: gives what a request says that the tools returned, by id or name.
        asked: gives the arguments of the calls that a request sends back.
    """

    asks: Any
    asks_streamed: Script
    says: Any
    says_streamed: Script
    tools: Callable[[Any], list[str]]
    results: Callable[[Any], list[tuple[str, Any]]]
    asked: Callable[[Any], list[Any]]


def _typed(*items: dict[str, Any]) -> Script:
    """Write events whose names stand in their data, too."""
    return events(*(f"event: {i['type']}\n".encode() + data(i) for i in items))


def _lines(*items: dict[str, Any]) -> Script:
    """Write one object a line."""
    steps = [json.dumps(item).encode() + b"\n" for item in items]
    return Script(steps, 200, {"content-type": "application/x-ndjson"}, chunked=True)


# Chat completions: arguments are text, in fragments keyed by their index.


def _openai_call(name: str, arguments: str, **fields: Any) -> dict[str, Any]:
    return {**fields, "type": "function", "function": {"name": name, "arguments": arguments}}


def _openai_piece(*calls: dict[str, Any], finish: str | None = None) -> bytes:
    delta = {"tool_calls": list(calls)} if calls else {}
    return data({"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


_OPENAI_CALLS = [
    _openai_call("web_search", json.dumps(FIRST), id="a"),
    _openai_call("web_search_2", json.dumps(SECOND), id="b"),
]
OPENAI = Wire(
    asks={
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "tool_calls": _OPENAI_CALLS},
                "finish_reason": "tool_calls",
            }
        ],
    },
    asks_streamed=events(
        _openai_piece({**_openai_call("web_search", "", id="a"), "index": 0}),
        _openai_piece({**_openai_call("web_search_2", '{"lim', id="b"), "index": 1}),
        _openai_piece({"index": 0, "function": {"arguments": '{"query": "grö'}}),
        _openai_piece({"index": 1, "function": {"arguments": 'it": 2}'}}),
        _openai_piece({"index": 0, "function": {"arguments": 'ße"}'}}),
        _openai_piece(finish="tool_calls"),
        DONE,
    ),
    says=json.loads(reply("found").steps[0]),
    says_streamed=events(
        data({"choices": [{"index": 0, "delta": {"content": "found"}, "finish_reason": "stop"}]}),
        DONE,
    ),
    tools=lambda body: [tool["function"]["name"] for tool in body["tools"]],
    results=lambda body: [
        (m["tool_call_id"], m["content"]) for m in body["messages"] if m["role"] == "tool"
    ],
    asked=lambda body: [
        json.loads(call["function"]["arguments"])
        for m in body["messages"]
        for call in m.get("tool_calls", ())
    ],
)

# Messages: blocks; arguments are objects, and fragments of JSON in a stream.


def _anthropic_block(index: int, identity: str, name: str, *fragments: str) -> list[dict[str, Any]]:
    block = {"type": "tool_use", "id": identity, "name": name, "input": {}}
    deltas = ({"type": "input_json_delta", "partial_json": text} for text in fragments)
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _anthropic_stream(stop: str, *blocks: dict[str, Any]) -> Script:
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": []}
    usage = {"input_tokens": 1, "output_tokens": 1}
    return _typed(
        {"type": "message_start", "message": {**message, "usage": usage}},
        *blocks,
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    )


def _anthropic(stop: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    usage = {"input_tokens": 1, "output_tokens": 1}
    about = {"id": "m1", "type": "message", "role": "assistant", "model": "m"}
    return {**about, "content": list(blocks), "stop_reason": stop, "usage": usage}


def _anthropic_content(body: Any, kind: str) -> list[dict[str, Any]]:
    return [b for m in body["messages"] for b in m["content"] if b["type"] == kind]


_TEXT_START = {
    "type": "content_block_start",
    "index": 0,
    "content_block": {"type": "text", "text": ""},
}
_TEXT_DELTA = {"type": "text_delta", "text": "found"}
ANTHROPIC = Wire(
    asks=_anthropic(
        "tool_use",
        {"type": "tool_use", "id": "a", "name": "web_search", "input": FIRST},
        {"type": "tool_use", "id": "b", "name": "web_search_2", "input": SECOND},
    ),
    asks_streamed=_anthropic_stream(
        "tool_use",
        *_anthropic_block(0, "a", "web_search", '{"query": "gr', 'öße"}'),
        *_anthropic_block(1, "b", "web_search_2", '{"limit"', ": 2}"),
    ),
    says=_anthropic("end_turn", {"type": "text", "text": "found"}),
    says_streamed=_anthropic_stream(
        "end_turn",
        _TEXT_START,
        {"type": "content_block_delta", "index": 0, "delta": _TEXT_DELTA},
        {"type": "content_block_stop", "index": 0},
    ),
    tools=lambda body: [tool["name"] for tool in body["tools"]],
    results=lambda body: [
        (b["tool_use_id"], b["content"][0]["text"]) for b in _anthropic_content(body, "tool_result")
    ],
    asked=lambda body: [b["input"] for b in _anthropic_content(body, "tool_use")],
)

# generateContent: parts; calls have no id, so results are told apart by name and order.


def _gemini(*parts: dict[str, Any]) -> dict[str, Any]:
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, "finishReason": "STOP"}], "modelVersion": "m"}


def _gemini_parts(body: Any, kind: str) -> list[Any]:
    return [p[kind] for turn in body["contents"] for p in turn["parts"] if kind in p]


_GEMINI_CALLS = (
    {"functionCall": {"name": "web_search", "args": FIRST}, "thoughtSignature": "s=="},
    {"functionCall": {"name": "web_search_2", "args": SECOND}},
)
GEMINI = Wire(
    asks=_gemini(*_GEMINI_CALLS),
    asks_streamed=events(*(data(_gemini(call)) for call in _GEMINI_CALLS)),
    says=_gemini({"text": "found"}),
    says_streamed=events(data(_gemini({"text": "found"}))),
    tools=lambda body: [tool["name"] for tool in body["tools"][0]["functionDeclarations"]],
    results=lambda body: [
        ({"web_search": "a", "web_search_2": "b"}[found["name"]], found["response"]["output"])
        for found in _gemini_parts(body, "functionResponse")
    ],
    asked=lambda body: [found["args"] for found in _gemini_parts(body, "functionCall")],
)

# Ollama's chat: arguments are objects, each call whole.


def _ollama(done: bool = True, **message: Any) -> dict[str, Any]:
    end = {"done_reason": "stop", "prompt_eval_count": 1, "eval_count": 1} if done else {}
    message = {"role": "assistant", "content": "", **message}
    return {"model": "m", "message": message, "done": done, **end}


_OLLAMA_CALLS = [
    {"id": "a", "function": {"name": "web_search", "arguments": FIRST}},
    {"id": "b", "function": {"name": "web_search_2", "arguments": SECOND}},
]
OLLAMA = Wire(
    asks=_ollama(tool_calls=_OLLAMA_CALLS),
    asks_streamed=_lines(
        *(_ollama(done=False, tool_calls=[call]) for call in _OLLAMA_CALLS), _ollama()
    ),
    says=_ollama(content="found"),
    says_streamed=_lines(_ollama(done=False, content="found"), _ollama()),
    tools=OPENAI.tools,
    results=OPENAI.results,
    asked=lambda body: [
        call["function"]["arguments"] for m in body["messages"] for call in m.get("tool_calls", ())
    ],
)

WIRES = {
    "openai_chat": OPENAI,
    "anthropic_messages": ANTHROPIC,
    "gemini_content": GEMINI,
    "ollama_chat": OLLAMA,
}


class Streamed:
    """The same model, asked for its answer in pieces."""

    def __init__(self, llm: LLMProvider) -> None:
        self._llm = llm

    async def call(self, messages: list[Message], **options: Any) -> LLMResponse:
        """Read a stream to its end."""
        stream = self._llm.stream(messages, **options)
        async for _ in stream:
            pass
        return stream.response


def test_every_format_with_tools_is_here() -> None:
    """No format is left out but the one that knows no conversation."""
    assert set(WIRES) == set(dialect_names()) - {"openai_completions"}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("dialect", WIRES)
async def test_a_loop_in_every_format(server: Loopback, dialect: str, streamed: bool) -> None:
    """Parallel calls arrive, act under their own names, and are answered in order (S4-14)."""
    wire = WIRES[dialect]
    if streamed:
        server.script(wire.asks_streamed, wire.says_streamed)
    else:
        server.script(raw(json.dumps(wire.asks)), raw(json.dumps(wire.says)))

    async def search(query: str) -> str:
        return f"about {query}"

    def search_again(limit: int) -> str:
        return "again " * limit

    box = ToolBox()
    box.add(search, name="web:search")
    box.add(search_again, name="web search")
    llm = asking(server, dialect=dialect)

    result = await CognitiveAgent(
        box,
        Streamed(llm) if streamed else llm,
        CognitiveConfig(system_prompt="s", approved={"web:search", "web search"}),
    ).run("Search.")

    assert (result.answer, result.stop) == ("found", "done")
    calls = [step.call for step in result.steps]
    assert [(call.name, call.arguments) for call in calls] == [
        ("web:search", FIRST),
        ("web search", SECOND),
    ]
    assert all(call.id and call.error is None for call in calls)
    first, second = (request.json for request in server.requests)
    assert wire.tools(first) == wire.tools(second) == ["web_search", "web_search_2"]
    assert wire.results(second) == [("a", "about größe"), ("b", "again again ")]
    assert wire.asked(second) == [FIRST, SECOND]
    if dialect == "gemini_content":
        assert second["contents"][1]["parts"][0]["thoughtSignature"] == "s=="


@pytest.mark.parametrize("dialect", WIRES)
async def test_a_reply_that_asks_for_tools_says_so(server: Loopback, dialect: str) -> None:
    """An answer with calls ends with `tool_calls`, with empty text where it has none (S4-10)."""
    server.script(raw(json.dumps(WIRES[dialect].asks)))

    response = await asking(server, dialect=dialect).call(
        "q", tools=[{"name": "web:search", "description": "Search"}, {"name": "web search"}]
    )

    assert (response.finish_reason, response.content) == ("tool_calls", "")
    assert [call.name for call in response.tool_calls] == ["web:search", "web search"]


async def test_who_cannot_use_tools_says_so(server: Loopback) -> None:
    """A format and a connector that know no tools refuse them instead of forgetting them."""

    class Prompted(BaseLLMConnector):
        def call_llm(self, prompt: str) -> str:
            return prompt

    with pytest.raises(UsageError, match="no tools"):
        await asking(server, dialect="openai_completions").call("q", tools=[{"name": "a"}])
    with pytest.raises(UsageError, match="no tools"):
        await Prompted().call("q", tools=[{"name": "a"}])

    assert server.requests == []
    assert (await Prompted().call("q", tools=[])).content == "q"

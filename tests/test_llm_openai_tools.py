"""Tools in the chat completions format: calls asked for, in pieces or whole, and their results."""

from __future__ import annotations

import json
from typing import Any

import httpx
import httpx_sse
import pytest
from asking import asking
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import DONE, Loopback, data, events, failure, reply

from llmport_magic.llm.dialects import openai_chat
from llmport_magic.llm.messages import Message, ToolCall
from llmport_magic.llm.reply import ToolCallDelta
from llmport_magic.llm.sse import SSEDecoder
from llmport_magic.llm.streams import Gathering
from llmport_magic.llm.tools import Tool
from llmport_magic.llm.transport import LLMStatusError
from llmport_magic.llm.wire import Call

WEATHER = Tool(
    name="weather",
    description="Tell the weather.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}},
)


def _body(*messages: Message, **fields: Any) -> dict[str, Any]:
    call = Call(model="m", messages=messages or (Message("user", "u"),), **fields)
    return dict(openai_chat.build_request(call).body)


def _delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def _piece(index: int | None = None, **fields: Any) -> dict[str, Any]:
    """Write a piece of a call as a server sends it; what is not given is left out."""
    call: dict[str, Any] = {} if index is None else {"index": index}
    call |= {"id": fields.pop("id")} if "id" in fields else {}
    return {**call, "type": "function", "function": fields}


def _calls(*deltas: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Read a stream of deltas, and give id, name and text of each call."""
    reader = openai_chat.stream_reader()
    gathering = Gathering("p", "m", "q", {})
    for delta in deltas:
        chunk = reader.read(delta, "")
        if chunk is not None:
            gathering.add(chunk)
    return [(call.id, call.name, call.text) for call in gathering.response().tool_calls]


# Requests


def test_tools_are_written_as_functions() -> None:
    """A tool goes as a function with its schema; an empty description is left out (S4-14)."""
    body = _body(tools=(WEATHER, Tool(name="now")))

    assert body["tools"][0] == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tell the weather.",
            "parameters": WEATHER.parameters,
        },
    }
    assert "description" not in body["tools"][1]["function"]
    assert "tool_choice" not in body


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("weather", {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_the_choice_of_a_tool_is_written(choice: str, written: object) -> None:
    """The three words go as they are, a name as a function; no tools, no choice (S4-14)."""
    assert _body(tools=(WEATHER,), tool_choice=choice)["tool_choice"] == written
    assert "tool_choice" not in _body(tool_choice=choice)


def test_calls_and_their_results_go_back() -> None:
    """The assistant's calls and the tool's answers have the documented shape (S4-14)."""
    asked = ToolCall.read('{"city": "Paris"}', name="weather", id="c1")
    body = _body(
        Message("user", "u"),
        Message("assistant", tool_calls=(asked,)),
        Message.tool_result(asked, {"sun": True}),
    )

    assert body["messages"][1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
            }
        ],
    }
    assert body["messages"][2] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": '{"sun": true}',
    }


@pytest.mark.parametrize(
    ("asked", "arguments"),
    [
        (ToolCall(name="t", arguments={"a": 1}), '{"a": 1}'),
        (ToolCall.read("", name="t"), "{}"),
        (ToolCall.read('{"a": ', name="t"), "{}"),
    ],
)
def test_arguments_that_go_back_are_always_json(asked: ToolCall, arguments: str) -> None:
    """A call that a model wrote badly does not make the next request unreadable (S4-14)."""
    message = _body(Message("assistant", "hm", tool_calls=(asked,)))["messages"][0]

    assert message["content"] == "hm"
    assert message["tool_calls"][0]["function"]["arguments"] == arguments


# Answers


def test_calls_of_a_whole_answer_are_read() -> None:
    """Parallel calls beside an empty content are read in their order (S4-14)."""
    message = {
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "x", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "y", "arguments": {"n": 1}}},
        ],
    }

    chunk = openai_chat.read_reply({"choices": [{"message": message}]})

    assert (chunk.text, chunk.finish_reason) == ("", "tool_calls")
    assert chunk.tool_calls == (
        ToolCallDelta(0, "a", "x", "{}"),
        ToolCallDelta(1, "b", "y", '{"n": 1}'),
    )


def test_a_custom_tools_call_is_read() -> None:
    """A custom tool's input is a text: it is kept, and said to be no JSON (S4-14)."""
    # https://platform.openai.com/docs/api-reference/chat/object
    custom = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    message = {"role": "assistant", "content": None, "tool_calls": [custom]}
    gathering = Gathering("p", "m", "q", {})
    gathering.add(openai_chat.read_reply({"choices": [{"index": 0, "message": message}]}))
    (call,) = gathering.response().tool_calls
    assert (call.id, call.name, call.text, call.arguments) == ("c1", "sql", "SELECT 1", {})
    assert "not JSON" in str(call.error)


def test_a_legacy_function_call_is_a_call() -> None:
    """The deprecated `function_call` is read, whole and in pieces (S4-14)."""
    legacy = {"name": "x", "arguments": '{"n": 1}'}
    choice = {"message": {"content": None, "function_call": legacy}}

    chunk = openai_chat.read_reply({"choices": [{**choice, "finish_reason": "function_call"}]})
    pieces = [
        _delta(function_call={"name": "x", "arguments": ""}),
        _delta(function_call={"arguments": '{"n": '}),
        _delta(function_call={"arguments": "1}"}),
    ]

    assert chunk.finish_reason == "tool_calls"
    assert chunk.tool_calls == (ToolCallDelta(0, "", "x", '{"n": 1}'),)
    assert _calls(*pieces) == [("call_0", "x", '{"n": 1}')]


_A, _B = ("a", "x", '{"n":1}'), ("b", "y", '{"n":2}')
_STREAMS: dict[str, list[list[dict[str, Any]]]] = {
    "OpenAI: an index, the id and the name in the first piece": [
        [_piece(0, id="a", name="x", arguments="")],
        [_piece(0, arguments='{"n"')],
        [_piece(0, arguments=":1}")],
        [_piece(1, id="b", name="y", arguments="")],
        [_piece(1, arguments='{"n":2}')],
    ],
    "pieces of two calls in turn": [
        [_piece(0, id="a", name="x"), _piece(1, id="b", name="y")],
        [_piece(1, arguments='{"n"'), _piece(0, arguments='{"n":')],
        [_piece(0, arguments="1}"), _piece(1, arguments=":2}")],
    ],
    "the id and the name in every piece": [
        [_piece(0, id="a", name="x", arguments='{"n"')],
        [_piece(0, id="a", name="x", arguments=":1}")],
        [_piece(1, id="b", name="y", arguments='{"n":2}')],
    ],
    "another id in every piece, without the name": [
        [_piece(0, id="a", name="x", arguments='{"n"')],
        [_piece(0, id="r2", arguments=":1}")],
        [_piece(1, id="b", name="y", arguments='{"n":2}')],
    ],
    "whole calls in one delta": [
        [
            _piece(0, id="a", name="x", arguments='{"n":1}'),
            _piece(1, id="b", name="y", arguments='{"n":2}'),
        ],
    ],
    "whole calls, all with index 0": [
        [_piece(0, id="a", name="x", arguments='{"n":1}')],
        [_piece(0, id="b", name="y", arguments='{"n":2}')],
    ],
    "no index, the id in every piece": [
        [_piece(id="a", name="x", arguments='{"n"')],
        [_piece(id="b", name="y", arguments='{"n":2}')],
        [_piece(id="a", arguments=":1}")],
    ],
    "no index, the id in the first piece": [
        [_piece(id="a", name="x", arguments='{"n"')],
        [_piece(arguments=":1}")],
        [_piece(id="b", name="y", arguments='{"n":2}')],
    ],
}


@pytest.mark.parametrize("name", _STREAMS)
def test_pieces_are_joined_to_calls(name: str) -> None:
    """However a server numbers the pieces, parallel calls stay apart (S4-14)."""
    deltas = [_delta(tool_calls=pieces) for pieces in _STREAMS[name]]

    assert _calls(*deltas) == [_A, _B]


def test_calls_without_ids_get_some() -> None:
    """Calls that have neither index nor id are told apart by their names (S4-14)."""
    pieces = [_piece(name="x", arguments="{}"), _piece(name="x", arguments='{"n":2}')]

    assert _calls(_delta(tool_calls=pieces)) == [("call_0", "x", "{}"), ("call_1", "x", '{"n":2}')]


@pytest.mark.parametrize("odd", [None, 1, "x", [], [None], [{}], [{"function": None}]])
def test_odd_calls_are_no_crash(odd: object) -> None:
    """What is no call in its place makes no exception."""
    reader = openai_chat.stream_reader()

    reader.read(_delta(content="a", tool_calls=odd), "")
    assert openai_chat.read_reply({"choices": [{"message": {"tool_calls": odd}}]}).text == ""


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
_ARGUMENTS = st.dictionaries(st.text(max_size=6), _VALUES, max_size=4)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(_ARGUMENTS, min_size=1, max_size=3), st.booleans())
def test_any_splitting_gives_the_same_calls(
    draw: st.DataObject, arguments: list[dict[str, Any]], numbered: bool
) -> None:
    """Any cut of the arguments into deltas, and of the stream into bytes, is the same (S4-14)."""
    pieces = []
    for number, wanted in enumerate(arguments):
        text = json.dumps(wanted, ensure_ascii=False)
        cuts = sorted(draw.draw(st.lists(st.integers(0, len(text)), max_size=4)))
        index = number if numbered else None
        pieces.append(_piece(index, id=f"c{number}", name=f"t{number}", arguments=""))
        for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            pieces.append(_piece(index, arguments=text[begin:end]))
    stream = b"".join(data(_delta(tool_calls=[piece])) for piece in pieces) + DONE
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    decoder = SSEDecoder(1_000_000)
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += [event.data.decode() for event in decoder.feed(stream[begin:end])]
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    oracle = httpx_sse.EventSource(response).iter_sse()

    assert found == [event.data for event in oracle]
    calls = _calls(*(json.loads(event) for event in found if event != "[DONE]"))
    assert [(name, json.loads(text)) for _, name, text in calls] == [
        (f"t{number}", wanted) for number, wanted in enumerate(arguments)
    ]


# Over a real connection


async def test_a_round_trip_with_a_tool(server: Loopback) -> None:
    """A call is asked for in pieces, answered, and the answer is sent back (S4-14)."""
    asked = [
        data(_delta(tool_calls=[_piece(0, id="c1", name="web_search", arguments="")])),
        data(_delta(tool_calls=[_piece(0, arguments='{"q": "sun')])),
        data(_delta(tool_calls=[_piece(0, arguments='"}')])),
        data({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
        DONE,
    ]
    server.script(events(*asked), reply("done"))
    tools = [{"name": "web:search", "description": "", "parameters": WEATHER.parameters}]
    llm = asking(server)

    stream = llm.stream("q", tools=tools)
    assert [text async for text in stream] == []
    first = stream.response
    (call,) = first.tool_calls
    answer = await llm.call(
        [Message("user", "q"), first.message, Message.tool_result(call, "hot")], tools=tools
    )

    assert (call.name, call.arguments, first.finish_reason) == (
        "web:search",
        {"q": "sun"},
        "tool_calls",
    )
    assert answer.content == "done"
    sent = server.requests[1].json
    assert sent["tools"][0]["function"]["name"] == "web_search"
    assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == "web_search"
    assert sent["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "hot"}


async def test_reasoning_gives_way_to_tools(server: Loopback) -> None:
    """A model that takes tools only without reasoning is asked so, and it is remembered (S4-07)."""
    said = (
        "Function tools with reasoning_effort are not supported for gpt-5.6-luna in "
        "/v1/chat/completions. To use function tools, use /v1/responses or set reasoning_effort "
        "to 'none'."
    )
    server.script(failure(400, said, param="reasoning_effort"), reply(), reply(), reply())
    llm = asking(server, model="reasons-or-acts")

    answer = await llm.call("q", tools=[{"name": "x"}])
    await llm.call("q", tools=[{"name": "x"}])
    await llm.call("q")

    efforts = [request.json.get("reasoning_effort") for request in server.requests]
    assert efforts == [None, "none", "none", None]
    assert answer.metadata["refused_parameters"] == ["reasoning_effort"]


async def test_what_a_known_model_refuses_is_not_sent(server: Loopback) -> None:
    """The catalogue spares the first 400 of a model whose refusals are known (S4-07)."""
    server.script(reply(), reply())
    llm = asking(server, provider="openai", model="gpt-6.1-terra")

    await llm.call("q", tools=[{"name": "x"}])
    await llm.call("q", model="another")

    known, other = (request.json for request in server.requests)
    assert known["max_completion_tokens"] == 4096
    assert known["reasoning_effort"] == "none"
    assert not {"max_tokens", "temperature"} & known.keys()
    assert (other["max_tokens"], other["temperature"]) == (4096, 0.7)


async def test_tools_are_never_left_out(server: Loopback) -> None:
    """A model that takes no tools is an error: an answer without them would be a wrong one."""
    server.script(failure(400, "tools is not supported with this model", param="tools"))

    with pytest.raises(LLMStatusError, match="tools is not supported"):
        await asking(server).call("q", tools=[{"name": "x"}])
    assert len(server.requests) == 1

"""Pictures, JSON, reasoning and refusals in the chat completions format."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import asking
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import DONE, Loopback, data, events, failure, reply

from llmport_magic.errors import LLMStreamError
from llmport_magic.llm import provider as provider_module
from llmport_magic.llm.dialects import openai_chat, openai_completions
from llmport_magic.llm.messages import Image, Message, ToolCall
from llmport_magic.llm.reply import Chunk
from llmport_magic.llm.wire import Call, ErrorDetails


def _body(*messages: Message, **fields: Any) -> dict[str, Any]:
    call = Call(model="m", messages=messages or (Message("user", "u"),), **fields)
    return dict(openai_chat.build_request(call).body)


def _read(*deltas: dict[str, Any], finish: str = "stop") -> Chunk:
    """Read a stream, and give all of it as one chunk."""
    reader = openai_chat.stream_reader()
    choices = [{"delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"delta": {}, "finish_reason": finish})
    found = [reader.read({"choices": [choice]}, "") for choice in choices]
    chunks = [chunk for chunk in found if isinstance(chunk, Chunk)]
    return Chunk(
        "".join(chunk.text for chunk in chunks),
        "".join(chunk.reasoning for chunk in chunks),
        chunks[-1].finish_reason,
        thinking=tuple(block for chunk in chunks for block in chunk.thinking),
    )


# Pictures


def test_pictures_stand_before_the_text() -> None:
    """An address goes as it is, bytes as a `data:` address; both are content parts (S4-14)."""
    pictures = (Image(url="https://example.org/a.png"), Image(data=b"\x89PNG"))

    (message,) = _body(Message("user", "what?", images=pictures))["messages"]

    assert message["content"] == [
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        {"type": "text", "text": "what?"},
    ]


def test_pictures_of_a_result_follow_all_results() -> None:
    """A tool's message takes texts only: its pictures are the user's, after the last result."""
    calls = (ToolCall(name="a", id="1"), ToolCall(name="b", id="2"))
    picture = Image(url="https://example.org/a.png")
    shown = Message("tool", "see", images=(picture,), tool_call_id="1")
    last = Message.tool_result(calls[1], "2")

    middle = _body(Message("assistant", tool_calls=calls), shown, last, Message("user", "so?"))
    end = _body(Message("assistant", tool_calls=calls), shown, last)

    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    assert middle["messages"][1] == {"role": "tool", "tool_call_id": "1", "content": "see"}
    assert middle["messages"][3] == {"role": "user", "content": [part]}
    assert middle["messages"][4] == {"role": "user", "content": "so?"}
    assert end["messages"][2:] == [
        {"role": "tool", "tool_call_id": "2", "content": "2"},
        {"role": "user", "content": [part]},
    ]


# JSON

OPEN: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}}
CLOSED = {**OPEN, "required": ["n"], "additionalProperties": False}


def test_json_mode_says_the_word_that_the_api_demands() -> None:
    """`json_object` goes with the word JSON in the messages, which is added once (S2-03)."""
    added = _body(Message("system", "Be kind."), Message("user", "u"), json_mode=True)
    alone = _body(json_mode=True)
    there = _body(Message("user", "Give json."), json_mode=True)

    assert added["response_format"] == {"type": "json_object"}
    assert added["messages"][0]["content"].startswith("Be kind.\n\nAnswer with one JSON object")
    assert [message["role"] for message in alone["messages"]] == ["system", "user"]
    assert there["messages"] == [{"role": "user", "content": "Give json."}]


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        (OPEN, False),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "allOf": [{}]}, False),
        ({"type": "array", "items": CLOSED}, False),
        ({**CLOSED, "properties": {"n": OPEN}}, False),
        ({**CLOSED, "properties": {"n": {"type": "array", "items": OPEN}}}, False),
        ({**CLOSED, "properties": {"n": {"anyOf": [CLOSED, {"type": "null"}]}}}, True),
        ({**CLOSED, "$defs": {"p": OPEN}}, False),
    ],
)
def test_a_schema_is_strict_where_strict_takes_it(schema: dict[str, Any], strict: bool) -> None:
    """A schema is sent as it is, and `strict` only where every object is closed (S2-03)."""
    body = _body(json_schema=schema)

    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": strict},
    }
    assert body["messages"] == [{"role": "user", "content": "u"}]


def test_a_schema_that_is_refused_is_said_in_words() -> None:
    """Without `json_schema` the schema stands in the prompt, and JSON is asked for (S2-03)."""
    first = _body(json_schema=CLOSED, refused=frozenset({"json_schema"}))
    second = _body(json_schema=CLOSED, refused=frozenset({"json_schema", "response_format"}))

    assert first["response_format"] == {"type": "json_object"}
    assert "response_format" not in second
    for body in (first, second):
        words = body["messages"][0]["content"]
        assert json.loads(words[words.index("{") :]) == CLOSED


@pytest.mark.parametrize(
    "said",
    [
        "This response_format type is unavailable now",
        "Invalid parameter: 'response_format' of type 'json_schema' is not supported.",
        "This model does not support response format `json_schema`.",
    ],
)
def test_refused_json_is_recognised(said: str) -> None:
    """The words of DeepSeek, OpenAI and Groq mean the schema first, then the mode (S4-07)."""
    error = ErrorDetails(message=said)

    schema = openai_chat.refused_parameter(error, _body(json_schema=CLOSED))
    mode = openai_chat.refused_parameter(error, _body(json_mode=True))

    assert (schema, mode) == ("json_schema", "response_format")
    assert openai_chat.refused_parameter(error, _body()) is None


def test_a_bad_schema_is_no_refusal() -> None:
    """A schema that is wrong is the user's to mend, and never left out (S4-07)."""
    said = "Invalid schema for response_format 'answer': 'allOf' is not permitted."
    error = ErrorDetails(message=said, param="response_format")

    assert openai_chat.refused_parameter(error, _body(json_schema=CLOSED)) is None


async def test_json_is_negotiated_and_remembered(server: Loopback) -> None:
    """A 400 leads from the schema to `json_object`; the next call begins there (S4-07)."""
    unavailable = failure(400, "This response_format type is unavailable now")
    server.script(unavailable, reply('{"n": 1}'), reply('{"n": 2}'))
    llm = asking(server, model="negotiates-json")

    first = await llm.call("q", json_schema=CLOSED)
    await llm.call("q", json_schema=CLOSED)

    kinds = [request.json["response_format"]["type"] for request in server.requests]
    assert kinds == ["json_schema", "json_object", "json_object"]
    assert first.metadata["refused_parameters"] == ["json_schema"]


# Reasoning

_TEXT = {"type": "reasoning.text", "index": 0, "format": "anthropic-claude-v1"}
_SECRET = {"type": "reasoning.encrypted", "index": 1, "data": "0a1b", "id": "r1"}


def test_reasoning_details_are_merged_by_index() -> None:
    """OpenRouter's blocks come in pieces, and are kept as they would have come whole."""
    chunk = _read(
        {"reasoning": "Let me ", "reasoning_details": [{**_TEXT, "text": "Let me "}]},
        {"reasoning": "think", "reasoning_details": [{**_TEXT, "text": "think"}]},
        {"reasoning_details": [{**_TEXT, "text": "", "signature": "s"}]},
        {"reasoning_details": [_SECRET]},
        {"content": "42"},
    )

    assert (chunk.text, chunk.reasoning) == ("42", "Let me think")
    assert chunk.thinking == ({**_TEXT, "text": "Let me think", "signature": "s"}, _SECRET)


def test_blocks_without_an_index_stay_in_their_order() -> None:
    """Pieces of a text follow each other; encrypted blocks are whole, each of its own."""
    text, secret = {"type": "reasoning.text"}, {"type": "reasoning.encrypted"}
    chunk = _read(
        {"reasoning_details": [{**text, "text": "a"}, {**text, "text": "b"}]},
        {"reasoning_details": [{**secret, "data": "1"}, {**secret, "data": "2"}]},
        {"reasoning_details": [{**text, "text": "c"}]},
    )

    assert chunk.thinking == (
        {**text, "text": "ab"},
        {**secret, "data": "1"},
        {**secret, "data": "2"},
        {**text, "text": "c"},
    )


def test_reasoning_details_go_back_as_they_came() -> None:
    """The blocks stand in the assistant's message again; other formats' blocks do not."""
    other = {"type": "thinking", "thinking": "x", "signature": "y"}
    message = Message("assistant", "42", thinking=(other, _SECRET))

    (written,) = _body(message)["messages"]

    assert written == {"role": "assistant", "content": "42", "reasoning_details": [_SECRET]}


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_goes_back_once_tools_were_called(name: str) -> None:
    """DeepSeek demands the reasoning back in a loop with tools, and only there."""
    whole = openai_chat.read_reply({"choices": [{"message": {"content": "a", name: "hm so"}}]})
    chunk = _read({name: "hm "}, {name: "so"}, {"content": "a"})
    asked = ToolCall(name="t", id="c")
    message = Message("assistant", "a", tool_calls=(asked,), thinking=chunk.thinking)

    assert chunk.thinking == whole.thinking == ({name: "hm so"},)
    assert _body(message)["messages"][0][name] == "hm so"
    assert name not in _body(Message("assistant", "a", thinking=chunk.thinking))["messages"][0]


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ("Unrecognized request argument supplied", "messages[0].reasoning_content"),
        (
            (
                "'messages.0' : for 'role:assistant' the following must be satisfied"
                "[('messages.0' : property 'reasoning_content' is unsupported)]"
            ),
            None,
        ),
    ],
)
async def test_reasoning_that_is_refused_is_left_out(
    server: Loopback, said: str, param: str | None
) -> None:
    """A server that does not know the field gets the conversation without it (S4-07)."""
    provider_module._REFUSED.clear()
    server.script(failure(400, said, param=param), reply())
    asked = ToolCall(name="t", id="c")
    given = Message("assistant", tool_calls=(asked,), thinking=({"reasoning_content": "hm"},))

    await asking(server, model="no-thoughts").call([given, Message.tool_result(asked, "1")])

    first, second = (request.json["messages"][0] for request in server.requests)
    assert first["reasoning_content"] == "hm"
    assert "reasoning_content" not in second


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.text(min_size=1, max_size=5)), max_size=12))
def test_any_order_of_pieces_gives_the_same_blocks(pieces: list[tuple[int, str]]) -> None:
    """Pieces of several blocks are joined to their own, however they alternate."""
    details = [{"type": "reasoning.text", "index": index, "text": text} for index, text in pieces]

    chunk = _read(*({"reasoning_details": [detail]} for detail in details))

    expected: dict[int, str] = {}
    for index, text in pieces:
        expected[index] = expected.get(index, "") + text
    assert {block["index"]: block["text"] for block in chunk.thinking} == expected


# Refusals


def test_a_streamed_refusal_was_filtered() -> None:
    """A refusal in pieces is shown, and marked, whatever the end says (S0-25)."""
    chunk = _read({"refusal": "I "}, {"refusal": "cannot."}, {"content": None, "refusal": None})

    assert (chunk.text, chunk.finish_reason) == ("I cannot.", "content_filter")


# What others of the family do


async def test_an_error_that_ends_a_groq_stream_is_an_error(server: Loopback) -> None:
    """Groq says in its own field why a stream stopped early (S0-19)."""
    ended = {"choices": [], "x_groq": {"id": "r", "error": "over capacity"}}
    server.script(events(data({"choices": [{"delta": {"content": "a"}}]}), data(ended), DONE))

    with pytest.raises(LLMStreamError, match="over capacity") as caught:
        async for _ in asking(server).stream("q"):
            pass
    assert caught.value.partial == "a"


def test_the_plain_format_takes_the_same_wishes() -> None:
    """`options` and `extra` reach the body of a completion, too; what is refused does not."""
    call = Call(
        model="m",
        messages=(Message("user", "u"),),
        seed=1,
        options={"top_k": 5},
        extra={"x": 1},
        refused=frozenset({"seed"}),
    )

    body = openai_completions.build_request(call).body

    assert body == {"model": "m", "prompt": "u", "top_k": 5, "x": 1}
    assert openai_chat.build_request(call).body["top_k"] == 5

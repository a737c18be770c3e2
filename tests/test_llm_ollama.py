"""The wire format of Ollama: data in, data out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmport_magic.errors import UsageError
from llmport_magic.llm.dialects import dialect_named
from llmport_magic.llm.dialects import ollama_chat as ollama
from llmport_magic.llm.messages import Image, Message, ToolCall
from llmport_magic.llm.tools import Tool
from llmport_magic.llm.wire import Call, ErrorDetails

WEATHER = Tool(name="get_weather", description="Tell it", parameters={"type": "object"})
# https://docs.ollama.com/api/chat: the last line of a stream, and a whole answer.
DONE = {
    "model": "llama3.2",
    "created_at": "2023-08-04T19:22:45.499127Z",
    "message": {"role": "assistant", "content": ""},
    "done": True,
    "done_reason": "stop",
    "total_duration": 4883583458,
    "prompt_eval_count": 26,
    "eval_count": 282,
}


def _body(**fields: Any) -> Any:
    given = {"model": "m", "messages": (Message("system", "s"), Message("user", "u")), **fields}
    request = ollama.build_request(Call(**given))
    assert request.path == "api/chat"
    return request.body


def _line(**message: Any) -> dict[str, Any]:
    return {"model": "llama3.2", "message": {"role": "assistant", **message}, "done": False}


def test_what_is_not_set_is_not_sent() -> None:
    """None leaves a field out; `stream` is always said, or Ollama streams (S2-01, S4-11)."""
    assert _body() == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "stream": False,
    }
    assert _body(stream=True)["stream"] is True


def test_sampling_goes_into_options_under_its_names_there() -> None:
    """Our words for the sampling become Ollama's, and zeros are values (S2-05, S2-22)."""
    options = _body(max_tokens=5, temperature=0.0, seed=0, top_p=0.5, stop=("a", "b"))["options"]

    assert options == {
        "num_predict": 5,
        "temperature": 0.0,
        "seed": 0,
        "top_p": 0.5,
        "stop": ["a", "b"],
    }


@pytest.mark.parametrize("layers", [-1, 0, 33])
def test_num_gpu_is_sent_as_it_is(layers: int) -> None:
    """No layer on the GPU and all of them are both numbers that are sent (S2-05)."""
    assert _body(options={"num_gpu": layers})["options"] == {"num_gpu": layers}


def test_own_options_win_and_some_stand_beside_them() -> None:
    """Ollama's own words go where Ollama has them; `extra` has the last word (S2-05, S2-22)."""
    given = {"num_ctx": 8192, "num_predict": -1, "keep_alive": 0, "think": False, "top_k": None}
    extra = {"options": {"mirostat": 0}, "logprobs": True}

    body = _body(max_tokens=5, temperature=0.7, options=given, extra=extra)

    assert body["options"] == {
        "num_predict": -1,
        "temperature": 0.7,
        "num_ctx": 8192,
        "mirostat": 0,
    }
    assert (body["keep_alive"], body["think"], body["logprobs"]) == (0, False, True)
    assert set(given) == {"num_ctx", "num_predict", "keep_alive", "think", "top_k"}
    assert extra == {"options": {"mirostat": 0}, "logprobs": True}


def test_a_model_name_is_passed_to_the_letter() -> None:
    """A tag with a colon is part of the name (S2-02)."""
    name = "llama3:8b-instruct-q5_K_M"
    assert _body(model=name)["model"] == name


def test_json_is_asked_for_with_the_schema_where_there_is_one() -> None:
    """The format is `json`, or the schema itself (S2-03)."""
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}

    assert _body(json_mode=True)["format"] == "json"
    assert _body(json_mode=True, json_schema=schema)["format"] == schema
    assert "format" not in _body()


def test_pictures_are_sent_as_bytes() -> None:
    """A picture is base64 beside the text; an address is refused before anything is sent."""
    picture = Message("user", "what?", images=(Image(data=b"\x89PNG"),))

    assert _body(messages=(picture,))["messages"] == [
        {"role": "user", "content": "what?", "images": ["iVBORw=="]}
    ]
    with pytest.raises(UsageError, match=r"Image\.from_file"):
        _body(messages=(Message("user", "?", images=(Image(url="https://x.example/a.png"),)),))


def test_a_start_of_the_answer_is_a_last_message() -> None:
    """What the answer shall begin with is the assistant's last message."""
    assert _body(prefill="{")["messages"][-1] == {"role": "assistant", "content": "{"}


def test_tools_are_written_as_functions() -> None:
    """Tools have the shape that Ollama documents; `none` leaves them out (S4-14)."""
    function = {"name": "get_weather", "description": "Tell it", "parameters": {"type": "object"}}

    for choice in ("", "auto"):
        assert _body(tools=(WEATHER,), tool_choice=choice)["tools"] == [
            {"type": "function", "function": function}
        ]
    assert "tools" not in _body(tools=(WEATHER,), tool_choice="none")


@pytest.mark.parametrize("choice", ["required", "get_weather"])
def test_a_tool_cannot_be_demanded(choice: str) -> None:
    """What Ollama has no word for is said, not left out in silence (S4-14)."""
    with pytest.raises(UsageError, match="tool_choice"):
        _body(tools=(WEATHER,), tool_choice=choice)


def test_calls_and_results_go_back() -> None:
    """A conversation with tools has arguments as objects and results by the tool's name (S4-14)."""
    call = ToolCall(name="get_weather", arguments={"city": "Tokyo"}, id="call_0")
    thought = {"type": "ollama_thinking", "text": "hm"}
    messages = (
        Message("assistant", "", tool_calls=(call,), thinking=(thought, {"type": "other"})),
        Message.tool_result(call, "22"),
        Message("tool", "23", tool_call_id="call_0"),
    )

    asked, *results = _body(messages=messages)["messages"]

    assert asked == {
        "role": "assistant",
        "content": "",
        "thinking": "hm",
        "tool_calls": [
            {
                "type": "function",
                "id": "call_0",
                "function": {"index": 0, "name": "get_weather", "arguments": {"city": "Tokyo"}},
            }
        ],
    }
    named = {"role": "tool", "tool_name": "get_weather", "tool_call_id": "call_0"}
    assert results == [{**named, "content": "22"}, {**named, "content": "23"}]


def test_a_whole_answer_is_read() -> None:
    """Text, reasoning, model, counts and calls of one answer are found (S2-05, S4-14)."""
    function = {"name": "get_weather", "arguments": {"city": "東京"}}
    message = {"content": "hi", "thinking": "hm", "tool_calls": [{"function": function}]}

    chunk = ollama.read_reply({**DONE, "message": message})

    assert (chunk.text, chunk.reasoning, chunk.model) == ("hi", "hm", "llama3.2")
    assert (chunk.finish_reason, chunk.raw_finish_reason) == ("stop", "stop")
    assert chunk.usage == {"prompt_tokens": 26, "completion_tokens": 282}
    assert chunk.thinking == ({"type": "ollama_thinking", "text": "hm"},)
    assert [(c.index, c.name) for c in chunk.tool_calls] == [(0, "get_weather")]
    assert json.loads(chunk.tool_calls[0].arguments) == {"city": "東京"}


@pytest.mark.parametrize("body", [{}, {"message": None}, {"message": "hi"}, {"response": "hi"}])
def test_no_message_is_no_answer(body: dict[str, Any]) -> None:
    """A body without a message is refused by name (S0-19)."""
    with pytest.raises(ValueError, match="message"):
        ollama.read_reply(body)


def test_calls_in_several_lines_are_several_calls() -> None:
    """Each call comes whole; calls of one line and of several are all kept apart (S4-14)."""
    reader, given = ollama.stream_reader(), ({}, None, '{"as": "text"}')
    functions = [{"index": 0, "name": f"f{n}", "arguments": a} for n, a in enumerate(given)]
    calls = [{"id": f"c{n}", "function": function} for n, function in enumerate(functions)]

    first = reader.read(_line(content="", tool_calls=calls[:2]), "")
    second = reader.read(_line(content="", tool_calls=calls[2:]), "")

    assert first is not None
    assert second is not None
    deltas = (*first.tool_calls, *second.tool_calls)
    assert [(d.index, d.id, d.name, d.arguments) for d in deltas] == [
        (0, "c0", "f0", ""),
        (1, "c1", "f1", ""),
        (2, "c2", "f2", '{"as": "text"}'),
    ]
    assert not reader.complete


def test_lines_without_content_are_passed_over() -> None:
    """An empty line of a stream is no content; the one that is done ends it (S4-12)."""
    reader = ollama.stream_reader()

    for line in (_line(content=""), _line(content=None), _line(), {"done": False}, {}):
        assert reader.read(line, "") is None
    assert reader.read(_line(content="a", thinking="b"), "") is not None
    assert not reader.complete
    last = reader.read(DONE, "")
    assert reader.complete
    assert last is not None
    assert last.thinking == ({"type": "ollama_thinking", "text": "b"},)


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("load", "stop"),
        ("unload", "stop"),
        ("something new", "stop"),
        (None, "stop"),
    ],
)
def test_finish_reasons_are_normalised(raw: str | None, normal: str) -> None:
    """Every reason that Ollama gives means one of ours, and the raw one is kept (S4-10)."""
    chunk = ollama.read_reply({**DONE, "done_reason": raw})

    assert (chunk.finish_reason, chunk.raw_finish_reason) == (normal, raw)


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (
            {"prompt_eval_count": 21, "eval_count": 971, "prompt_eval_cached_count": 16},
            {"prompt_tokens": 21, "completion_tokens": 971, "cached_tokens": 16},
        ),
        ({"eval_count": 5}, {"completion_tokens": 5}),
        ({"prompt_eval_count": "5", "eval_count": True}, None),
        ({}, None),
    ],
)
def test_usage_is_read_exactly(counts: dict[str, Any], usage: object) -> None:
    """Counts are read where they are given: a cached prompt may have none (S4-09)."""
    assert ollama.read_usage(counts) == usage


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": "the model failed"}, ErrorDetails(message="the model failed")),
        ({"error": "no", "status": 503}, ErrorDetails(message="no", status=503)),
        ({"error": {"message": "m"}}, ErrorDetails(message="m")),
        (
            {"error": "model 'llama3:8b' not found"},
            ErrorDetails(
                message="model 'llama3:8b' not found",
                advice="run `ollama pull llama3:8b`, or name one that `ollama list` shows",
            ),
        ),
        (
            {"error": "unauthorized", "signin_url": "https://ollama.com/connect?x"},
            ErrorDetails(message="unauthorized", advice="run `ollama signin`"),
        ),
        (DONE, None),
        ({"error": None}, None),
        ({"error": ""}, None),
        ([], None),
        ("x", None),
        (None, None),
    ],
)
def test_failures_are_read(body: object, expected: ErrorDetails | None) -> None:
    """An error is a text under `error`, and some say what to do next (S2-05)."""
    assert ollama.read_error(body) == expected


def test_a_model_that_cannot_think_is_asked_without() -> None:
    """Thinking is left out where the model has none; a missing ability for tools is not."""
    thinks = ErrorDetails(message='"gemma:2b" does not support thinking')
    tools = ErrorDetails(message="registry.ollama.ai/library/gemma:2b does not support tools")

    assert ollama.refused_parameter(thinks, {"think": True}) == "think"
    assert ollama.refused_parameter(thinks, {}) is None
    assert ollama.refused_parameter(tools, {"think": True, "tools": []}) is None
    assert "think" not in _body(options={"think": True}, refused=frozenset({"think"}))


def test_models_that_only_embed_are_not_listed() -> None:
    """The list holds what can chat, by its abilities or, from an old server, its family."""
    rows = [
        {"name": "e:latest", "model": "e:latest", "capabilities": ["embedding"]},
        {"name": "old-e", "details": {"family": "nomic-bert"}},
        {"name": "a:latest", "model": "a:latest", "capabilities": ["completion", "tools"]},
        {"name": "b:1b", "details": {"family": "llama"}},
        {"name": None},
        "x",
    ]

    assert ollama.read_models({"models": rows}) == ("a:latest", "b:1b")
    assert ollama.read_models({"models": None}) == ()
    assert ollama.read_models([]) == ()


def test_the_dialect_is_found_by_its_name() -> None:
    """The row's dialect is this module (S2-04, S2-24)."""
    assert dialect_named("ollama_chat") is ollama

"""Requests in Anthropic's messages format: data in, data out."""

from __future__ import annotations

from typing import Any

import pytest

from llmport_magic.llm.catalogue import shipped_providers
from llmport_magic.llm.dialects import anthropic_messages, dialect_named
from llmport_magic.llm.messages import Image, Message, ToolCall
from llmport_magic.llm.tools import Tool
from llmport_magic.llm.wire import Call

WEATHER = Tool(
    name="weather",
    description="The weather of a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}},
)
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "EqQB"}
HIDDEN = {"type": "redacted_thinking", "data": "EmwK"}


def body_of(*messages: Message, **fields: Any) -> dict[str, Any]:
    """Build a request for these messages and give its body."""
    given = messages or (Message("user", "u"),)
    call = Call(**{"model": "m", "messages": given, **fields})
    return dict(anthropic_messages.build_request(call).body)


def text(said: str) -> dict[str, str]:
    """Write a block of text."""
    return {"type": "text", "text": said}


def test_the_smallest_request_names_a_limit_and_the_version() -> None:
    """What is not set is not sent, apart from the limit that the format wants (S2-01)."""
    request = anthropic_messages.build_request(Call(model="m", messages=(Message("user", "u"),)))

    assert request.path == "messages"
    assert request.headers == {"anthropic-version": "2023-06-01"}
    assert request.body == {
        "model": "m",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [text("u")]}],
    }


@pytest.mark.parametrize(
    ("fields", "limit"),
    [({}, 4096), ({"output_limit": 64000}, 64000), ({"max_tokens": 5, "output_limit": 64000}, 5)],
)
def test_the_limit_is_the_callers_or_the_models(fields: dict[str, int], limit: int) -> None:
    """`max_tokens` is required: the caller's number, the model's limit, or 4,096."""
    assert body_of(**fields)["max_tokens"] == limit


def test_everything_that_is_set_is_sent_and_extra_wins() -> None:
    """Options have the format's names, its own words are kept, `extra` comes last (S4-22)."""
    body = body_of(
        stream=True,
        max_tokens=5,
        temperature=0.0,
        top_p=0.5,
        seed=7,
        stop=("a", "b"),
        options={"top_k": 3},
        extra={"top_p": 0.9, "metadata": {"user_id": "1"}},
    )

    assert (body["stream"], body["temperature"], body["top_p"], body["top_k"]) == (True, 0, 0.9, 3)
    assert (body["stop_sequences"], body["metadata"]) == (["a", "b"], {"user_id": "1"})
    assert "seed" not in body


def test_a_temperature_is_at_most_one() -> None:
    """The range ends at 1; a model that is told to think takes no temperature at all."""
    assert body_of(temperature=1.7)["temperature"] == 1
    assert body_of(temperature=0.3)["temperature"] == 0.3
    thinking = {"thinking": {"type": "adaptive", "display": "summarized"}}
    assert "temperature" not in body_of(temperature=0.7, options=thinking)
    assert "temperature" not in body_of(temperature=0.7, extra=thinking)
    assert (
        body_of(temperature=0.7, options={"thinking": {"type": "disabled"}})["temperature"] == 0.7
    )


# The conversation


def test_systems_are_one_and_turns_alternate() -> None:
    """Systems leave the list and are merged, and so are turns of one speaker (S3-12, S4-11)."""
    body = body_of(
        Message("system", "Be short."),
        Message("user", "a"),
        Message("user", "b"),
        Message("system", "Be kind."),
        Message("assistant", "c"),
        Message("assistant", "d"),
        Message("user", "e"),
    )

    assert body["system"] == "Be short.\n\nBe kind."
    assert body["messages"] == [
        {"role": "user", "content": [text("a"), text("b")]},
        {"role": "assistant", "content": [text("c"), text("d")]},
        {"role": "user", "content": [text("e")]},
    ]


@pytest.mark.parametrize(
    "messages", [(), (Message("system", "s"),), (Message("user", " \n"), Message("assistant", ""))]
)
def test_a_conversation_without_a_word_still_has_a_turn(messages: tuple[Message, ...]) -> None:
    """Empty texts, which the format refuses, are left out, and one turn is always there."""
    call = Call(model="m", messages=messages)

    turns = anthropic_messages.build_request(call).body["messages"]

    assert [turn["role"] for turn in turns] == ["user"]
    assert turns[0]["content"][0]["text"].strip()


def test_a_conversation_that_the_assistant_begins_gets_a_user_first() -> None:
    """The first turn is always the user's (S3-12)."""
    turns = body_of(Message("assistant", "Hello!"), Message("user", "Hi."))["messages"]

    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"] == [text("Hello!")]


def test_the_start_of_the_answer_is_the_last_turn() -> None:
    """A prefill is what the assistant has said so far, without white space at its end."""
    turns = body_of(Message("user", "q"), prefill="```python\n")["messages"]

    assert turns[-1] == {"role": "assistant", "content": [text("```python")]}


def test_a_model_without_prefill_gets_a_last_word_of_the_user() -> None:
    """A conversation that ends with the assistant goes on; a start that was asked for stays."""
    messages = (Message("user", "q"), Message("assistant", "a"))
    refused = frozenset({"prefill"})

    turns = body_of(*messages, refused=refused)["messages"]
    forced = body_of(messages[0], prefill="x", refused=refused)["messages"]

    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert forced[-1]["role"] == "assistant"


def test_pictures_stand_before_the_text() -> None:
    """Bytes go as base64 with their type, an address as an address."""
    images = [Image(data=b"\x89PNG", media_type="image/png"), Image(url="https://x.test/a.jpg")]

    (turn,) = body_of(Message("user", "What?", images=images))["messages"]

    first = {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}
    second = {"type": "url", "url": "https://x.test/a.jpg"}
    assert turn["content"] == [
        {"type": "image", "source": first},
        {"type": "image", "source": second},
        text("What?"),
    ]


# Tools


def test_tools_have_an_input_schema() -> None:
    """A tool's parameters become its `input_schema`, which is an object (S4-14)."""
    bare = Tool(name="now", parameters={})

    body = body_of(tools=(WEATHER, bare))

    assert body["tools"] == [
        {
            "name": "weather",
            "description": "The weather of a city.",
            "input_schema": WEATHER.parameters,
        },
        {"name": "now", "input_schema": {"type": "object"}},
    ]
    assert "tools" not in body_of(tool_choice="required")
    assert "tool_choice" not in body_of(tool_choice="required")


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("", None),
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ("weather", {"type": "tool", "name": "weather"}),
    ],
)
def test_the_choice_of_a_tool_has_the_formats_words(choice: str, sent: object) -> None:
    """Every choice is an object with a type (S4-14)."""
    assert body_of(tools=(WEATHER,), tool_choice=choice).get("tool_choice") == sent


@pytest.mark.parametrize(("choice", "named"), [("required", "one of"), ("weather", "`weather`")])
def test_a_force_that_is_refused_is_put_into_words(choice: str, named: str) -> None:
    """A model that takes no forced tool is told in the system prompt to call it (S4-07)."""
    refused = frozenset({"forced tool_choice"})

    body = body_of(tools=(WEATHER,), tool_choice=choice, refused=refused)

    assert body["tool_choice"] == {"type": "auto"}
    assert named in body["system"]
    assert "system" not in body_of(tools=(WEATHER,), tool_choice="auto", refused=refused)


def test_calls_and_results_go_back_in_their_blocks() -> None:
    """Thoughts come before calls, parallel results are one turn and stand first (S4-14)."""
    calls = (
        ToolCall(name="weather", arguments={"city": "Köln"}, id="toolu_1"),
        ToolCall(name="weather", id="toolu_2", text="{broken", error="the arguments are not JSON"),
    )
    foreign = {"type": "reasoning.text", "text": "not ours"}
    asked = Message(
        "assistant", "Let me see.", tool_calls=calls, thinking=(THOUGHT, HIDDEN, foreign)
    )
    results = [Message.tool_result(calls[0], "18 °C"), Message.tool_result(calls[1], "")]

    turns = body_of(Message("user", "q"), asked, *results, Message("user", "Now?"))["messages"]

    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"] == [
        THOUGHT,
        HIDDEN,
        text("Let me see."),
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}},
        {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {}},
    ]
    assert turns[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("18 °C")]},
        {"type": "tool_result", "tool_use_id": "toolu_2"},
        text("Now?"),
    ]


def test_results_stand_before_what_was_said_in_between() -> None:
    """The format wants the results of a call first in the turn that follows it (S4-14)."""
    call = ToolCall(name="weather", id="toolu_1")
    asked, said = Message("assistant", tool_calls=[call]), Message("user", "Hurry.")

    turns = body_of(Message("user", "q"), asked, said, Message.tool_result(call, "wet"))["messages"]

    assert [block["type"] for block in turns[-1]["content"]] == ["tool_result", "text"]


def test_a_result_may_hold_a_picture_and_an_id_of_another_provider() -> None:
    """Pictures go into the result, and ids get the characters that the format takes."""
    image = Image(url="https://x.test/map.png")
    call = ToolCall(name="weather", id="functions.weather:0")
    result = Message("tool", "see", images=[image], tool_call_id=call.id)

    turns = body_of(Message("user", "q"), Message("assistant", tool_calls=[call]), result)[
        "messages"
    ]

    (block,) = turns[-1]["content"]
    assert block["tool_use_id"] == turns[1]["content"][0]["id"] == "functions_weather_0"
    assert [part["type"] for part in block["content"]] == ["image", "text"]


def test_calls_that_are_counted_anew_get_ids_of_their_own() -> None:
    """Ids that another provider used twice are told apart, and results stay with their call."""
    call = ToolCall(name="weather", id="call_0")
    loop = (Message("assistant", tool_calls=[call]), Message.tool_result(call, "wet"))

    turns = body_of(Message("user", "q"), *loop, *loop)["messages"]

    asked = [turn["content"][0]["id"] for turn in turns if turn["role"] == "assistant"]
    results = [turn["content"][0]["tool_use_id"] for turn in turns[2::2]]
    assert asked == results == ["call_0", "call_0_2"]


# JSON


def test_json_without_a_schema_is_an_instruction() -> None:
    """The format has no flag for JSON: the system prompt says it (S2-03)."""
    body = body_of(Message("system", "Be kind."), Message("user", "q"), json_mode=True)

    assert body["system"].startswith("Be kind.\n\n")
    assert "JSON object" in body["system"]
    assert "output_config" not in body


def test_a_schema_is_the_formats_own_and_closed() -> None:
    """Objects are closed, bounds that the format cannot check are told in words (S2-03)."""
    schema = {
        "type": "object",
        "properties": {
            "minimum": {"type": "integer", "minimum": 1, "description": "The least."},
            "rows": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/row"}},
            "either": {"oneOf": [{"type": "null"}, {"type": "object", "properties": {}}]},
            "hue": {"type": "string", "format": "color", "default": "red"},
            "day": {"type": "string", "format": "date"},
        },
        "required": ["minimum"],
        "$defs": {"row": {"type": "object", "additionalProperties": False}},
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    }

    body = body_of(json_mode=True, json_schema=schema, options={"output_config": {"effort": "low"}})

    sent = body["output_config"]["format"]["schema"]
    assert body["output_config"]["format"]["type"] == "json_schema"
    assert body["output_config"]["effort"] == "low"
    assert "system" not in body
    assert sent["additionalProperties"] is False
    assert "$schema" not in sent
    assert sent["$defs"]["row"] == {"type": "object", "additionalProperties": False}
    assert sent["properties"] == {
        "minimum": {"type": "integer", "description": "The least. {minimum: 1}"},
        "rows": {
            "type": "array",
            "items": {"$ref": "#/$defs/row"},
            "description": "{minItems: 2}",
        },
        "either": {
            "anyOf": [
                {"type": "null"},
                {"type": "object", "properties": {}, "additionalProperties": False},
            ]
        },
        "hue": {"type": "string", "description": "{format: color, default: red}"},
        "day": {"type": "string", "format": "date"},
    }
    assert schema["properties"]["minimum"]["minimum"] == 1


@pytest.mark.parametrize(
    "field",
    [
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"anyOf": [{"type": "object", "patternProperties": {"^x": {}}}]},
    ],
)
def test_a_schema_with_fields_of_any_name_is_told_in_words(field: dict[str, Any]) -> None:
    """The format has closed objects only: closing a table of any names would empty it (S2-03)."""
    schema = {"type": "object", "properties": {"counts": field}}

    body = body_of(json_mode=True, json_schema=schema)

    assert "output_config" not in body
    assert '"counts"' in body["system"]


def test_a_schema_that_a_model_does_not_take_is_told_in_words() -> None:
    """An older model gets the schema in the system prompt instead (S4-07)."""
    schema = {"type": "object", "properties": {"hue": {"type": "string"}}}

    body = body_of(json_mode=True, json_schema=schema, refused=frozenset({"output_config.format"}))

    assert "output_config" not in body
    assert '"hue"' in body["system"]


# The row of the catalogue


def test_the_row_of_the_catalogue_is_whole() -> None:
    """The row names a dialect that exists, its key and a default model with known prices."""
    rows = {row.name: row for row in shipped_providers()}
    row = rows["anthropic"]
    default = row.models[row.default_model or ""].capabilities

    assert list(rows).index("openai") < list(rows).index("anthropic") < list(rows).index("groq")
    assert dialect_named(row.dialect) is anthropic_messages
    assert row.api_key_vars == ("ANTHROPIC_API_KEY",)
    assert (default.max_context_window, default.max_output_tokens) == (1_000_000, 128_000)
    assert default.cached_input_cost_per_1k_tokens == 0.0001
    for profile in row.models.values():
        known = profile.capabilities
        assert profile.family == "claude"
        assert profile.replacement is None or profile.replacement in row.models
        current = profile.retired_on is None
        assert current == (profile.replacement is None)
        assert not current or known.input_cost_per_1k_tokens
        assert not (known.prefill and known.reasoning), "what thinks by itself takes no prefill"

"""The wire format of OpenAI and its relatives: data in, data out."""

from __future__ import annotations

import pytest

from llmport_magic.errors import ConfigError
from llmport_magic.llm.dialects import dialect_named, openai_chat
from llmport_magic.llm.messages import Message
from llmport_magic.llm.reply import Chunk
from llmport_magic.llm.wire import Call, ErrorDetails


def _call(**fields: object) -> Call:
    given = {"model": "m", "messages": (Message("system", "s"), Message("user", "u")), **fields}
    return Call(**given)  # type: ignore[arg-type]


def test_what_is_not_set_is_not_sent() -> None:
    """None leaves a field out of the request (S2-01, S4-11)."""
    request = openai_chat.build_request(_call())

    assert request.path == "chat/completions"
    assert request.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
    }


def test_everything_that_is_set_is_sent_and_extra_wins() -> None:
    """Options reach the body, a stream asks for its token counts, `extra` comes last (S4-22)."""
    body = openai_chat.build_request(
        _call(
            stream=True,
            max_tokens=5,
            temperature=0.0,
            seed=0,
            top_p=0.5,
            stop=("a", "b"),
            prefill="```",
            extra={"temperature": 1, "x": 2},
        )
    ).body

    assert body["stream_options"] == {"include_usage": True}
    assert body["messages"][-1] == {"role": "assistant", "content": "```", "prefix": True}
    assert (body["max_tokens"], body["seed"], body["top_p"]) == (5, 0, 0.5)
    assert (body["stop"], body["temperature"], body["x"]) == (["a", "b"], 1, 2)


def test_a_model_name_is_passed_to_the_letter() -> None:
    """Slashes and colons in a model's name are nobody's separators (S2-02)."""
    assert openai_chat.build_request(_call(model="v/m:free")).body["model"] == "v/m:free"


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("insufficient_system_resource", "error"),
        ("error", "error"),
        ("abort", "error"),
        ("model_length", "length"),
        ("MAX_TOKENS", "length"),
        ("eos", "stop"),
        ("end_turn", "stop"),
        ("repetition", "error"),
        ("tool_use", "tool_calls"),
        ("SAFETY", "content_filter"),
        ("content_filter: PROHIBITED_CONTENT", "content_filter"),
        ("refusal", "content_filter"),
        ("", None),
        (None, None),
    ],
)
def test_finish_reasons_are_normalised(raw: str | None, normal: str | None) -> None:
    """Every word that servers of this format use means one of ours (S4-10)."""
    assert openai_chat.finish_reason(raw) == normal


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 120,
                "prompt_tokens_details": {"cached_tokens": 64},
                "completion_tokens_details": {"reasoning_tokens": 12},
            },
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 120,
                "cached_tokens": 64,
                "reasoning_tokens": 12,
            },
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4},
            {"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 4},
        ),
        (
            {
                "prompt_tokens": 50,
                "completion_tokens": 30,
                "prompt_tokens_details": {"audio_tokens": 20, "cache_write_tokens": 8},
                "completion_tokens_details": {"audio_tokens": 25},
            },
            {
                "prompt_tokens": 50,
                "completion_tokens": 30,
                "cache_write_tokens": 8,
                "prompt_audio_tokens": 20,
                "completion_audio_tokens": 25,
            },
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 40,
                "completion_tokens_details": {"reasoning_tokens": 25},
            },
            {
                "prompt_tokens": 10,
                "completion_tokens": 30,
                "total_tokens": 40,
                "reasoning_tokens": 25,
            },
        ),
        ({"prompt_tokens": 9, "prompt_tokens_details": None}, {"prompt_tokens": 9}),
        ({"prompt_tokens": "9", "completion_tokens": True}, None),
        ({}, None),
        (None, None),
    ],
)
def test_usage_is_read_exactly(usage: object, expected: object) -> None:
    """Cached and reasoning tokens are counted, in each provider's own fields (S4-09)."""
    assert openai_chat.read_usage({"usage": usage}) == expected


def test_usage_of_groq_streams_is_found() -> None:
    """Groq's own field for the token counts of a stream is read (S4-09)."""
    groq = {"x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}}

    assert openai_chat.read_usage(groq) == {"prompt_tokens": 3, "completion_tokens": 4}


def test_what_a_gateway_says_the_answer_cost_is_kept() -> None:
    """OpenRouter's `cost` is read whole and in a stream, beside choices and alone (S4-09)."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.00014, "is_byok": False}
    choice = {"message": {"content": "a"}, "delta": {"content": "a"}, "finish_reason": "stop"}

    whole = openai_chat.read_reply({"choices": [choice], "usage": usage})
    beside = openai_chat.stream_reader().read({"choices": [choice], "usage": usage}, "")
    alone = openai_chat.stream_reader().read({"choices": [], "usage": usage}, "")

    for chunk in (whole, beside, alone):
        assert isinstance(chunk, Chunk)
        assert chunk.cost == 0.00014
        assert chunk.usage == {"prompt_tokens": 1, "completion_tokens": 2}
    free = {**usage, "cost": None}
    assert openai_chat.read_reply({"choices": [choice], "usage": free}).cost is None


def test_the_word_of_the_model_s_own_provider_is_kept() -> None:
    """OpenRouter's `native_finish_reason` says more than its `finish_reason` (S4-10)."""
    end = {"finish_reason": "stop", "native_finish_reason": "end_turn"}

    whole = openai_chat.read_reply({"choices": [{"message": {"content": "a"}, **end}]})
    last = openai_chat.stream_reader().read({"choices": [{"delta": {}, **end}]}, "")

    for chunk in (whole, last):
        assert isinstance(chunk, Chunk)
        assert (chunk.finish_reason, chunk.raw_finish_reason) == ("stop", "end_turn")


def test_only_the_first_of_several_answers_is_read() -> None:
    """Pieces of a second answer do not get into the first one."""
    first, other = (
        {"choices": [{"index": index, "delta": {"content": "a"}, "finish_reason": None}]}
        for index in (0, 1)
    )
    reader, numbered_from_one = openai_chat.stream_reader(), openai_chat.stream_reader()

    assert reader.read(first, "") is not None
    assert reader.read(other, "") is None
    assert numbered_from_one.read(other, "") is not None


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "a"}, "a"),
        ({"content": None}, ""),
        ({}, ""),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab"),
    ],
)
def test_the_text_of_an_answer_is_read_in_every_shape(message: dict, text: str) -> None:
    """Null, missing and listed contents are no crash (S0-19)."""
    chunk = openai_chat.read_reply({"choices": [{"message": message, "finish_reason": "stop"}]})

    assert chunk.text == text


def test_a_refusal_is_an_answer_that_was_filtered() -> None:
    """A refusal in its own field is shown and marked (S0-25)."""
    choice = {"message": {"content": None, "refusal": "I cannot."}, "finish_reason": "stop"}

    chunk = openai_chat.read_reply({"choices": [choice]})

    assert (chunk.text, chunk.finish_reason) == ("I cannot.", "content_filter")


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": None}, {"choices": ["x"]}])
def test_no_choice_is_no_answer(body: dict) -> None:
    """A body without a choice is refused by name, not by KeyError (S0-19)."""
    with pytest.raises(ValueError, match="choices"):
        openai_chat.read_reply(body)


@pytest.mark.parametrize(
    "event",
    [
        {"choices": []},
        {"choices": None},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {}}]},
        {"choices": [{"delta": {"role": "assistant", "content": None}}]},
        {"choices": [{}]},
        {},
    ],
)
def test_events_without_content_are_passed_over(event: dict) -> None:
    """The empty events that servers send are no crash and no content (S4-12)."""
    reader = openai_chat.stream_reader()

    assert reader.read(event, "") is None
    assert not reader.complete


def test_reasoning_is_not_the_answer() -> None:
    """What a model thinks is kept apart from what it says (S4-12)."""
    for name in ("reasoning_content", "reasoning"):
        chunk = openai_chat.stream_reader().read({"choices": [{"delta": {name: "hm"}}]}, "")
        assert chunk is not None
        assert (chunk.text, chunk.reasoning) == ("", "hm")


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": {"message": "m", "code": "c"}}, "m", "c"),
        ({"error": {"message": "m", "code": 402}}, "m", "402"),
        ({"error": "m"}, "m", ""),
        ({"object": "error", "message": "m", "code": 404}, "m", "404"),
        ({"detail": "m"}, "m", ""),
        ([{"error": {"message": "m", "type": "t"}}], "m", "t"),
        ({"error": {"message": "m", "metadata": {"raw": "upstream"}}}, "m: upstream", ""),
        (
            {"error": {"code": 403, "message": "m", "metadata": {"reasons": ["violence"]}}},
            "m: violence",
            "content_filter",
        ),
        ({"choices": [{"error": {"code": 502, "message": "m"}, "text": ""}]}, "m", "502"),
        ({"choices": [], "x_groq": {"error": "m"}}, "m", ""),
    ],
)
def test_failures_are_read_in_every_shape(body: object, message: str, code: str) -> None:
    """The provider's own words are found wherever its server puts them (S0-19, S3-15)."""
    details = openai_chat.read_error(body)

    assert details is not None
    assert (details.message, details.code) == (message, code)


@pytest.mark.parametrize(
    "body", [None, "x", [], {"choices": [{}]}, {"error": None, "choices": [1]}]
)
def test_an_answer_is_no_failure(body: object) -> None:
    """An answer with an empty error field is still an answer."""
    assert openai_chat.read_error(body) is None


_TOO_OLD = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."  # noqa: E501


@pytest.mark.parametrize(
    ("error", "parameter"),
    [
        (
            ErrorDetails(message=_TOO_OLD, param="max_tokens", code="unsupported_parameter"),
            "max_tokens",
        ),
        (ErrorDetails(message=_TOO_OLD), "max_tokens"),
        (
            ErrorDetails(
                message="Unsupported value: 'temperature' does not support 0.7 with this model.",
                param="temperature",
                code="unsupported_value",
            ),
            "temperature",
        ),
        (ErrorDetails(message="Unknown field: seed"), "seed"),
        (ErrorDetails(message="max_tokens is too large: 999999"), None),
        (ErrorDetails(message="temperature must be between 0 and 2", param="temperature"), None),
        (ErrorDetails(message="messages is not supported", param="messages"), None),
    ],
)
def test_a_refused_parameter_is_told_from_a_bad_value(
    error: ErrorDetails, parameter: str | None
) -> None:
    """Only a parameter that the model does not take is left out, never a wrong value (S4-07)."""
    body = {"model": "m", "messages": [], "max_tokens": 1, "temperature": 0.7, "seed": 1}

    assert openai_chat.refused_parameter(error, body) == parameter


def test_a_refused_limit_is_sent_under_its_new_name() -> None:
    """`max_tokens` becomes `max_completion_tokens`, and goes where that is refused, too (S4-07)."""
    call = _call(max_tokens=5, temperature=0.7)

    new = openai_chat.build_request(_call(max_tokens=5, refused=frozenset({"max_tokens"}))).body
    both = {"max_tokens", "max_completion_tokens", "temperature"}
    none = openai_chat.build_request(_call(max_tokens=5, refused=frozenset(both))).body

    assert openai_chat.build_request(call).body["max_tokens"] == 5
    assert new["max_completion_tokens"] == 5
    assert "max_tokens" not in new
    assert not both & none.keys()


def test_dialects_are_found_by_name() -> None:
    """A row's dialect is a module of that name, and a wrong name is helped (S2-24)."""
    assert dialect_named("openai_chat") is openai_chat
    with pytest.raises(ConfigError, match="openai_chat"):
        dialect_named("openai_chart")
    with pytest.raises(ConfigError):
        dialect_named("../secrets")

"""Answers in Anthropic's messages format, whole and in events: data in, data out."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmport_magic.llm.dialects import anthropic_messages as dialect
from llmport_magic.llm.reply import Chunk, ToolCallDelta

THOUGHT = {"type": "thinking", "thinking": "Six times seven.", "signature": "EqQB"}
HIDDEN = {"type": "redacted_thinking", "data": "EmwK"}


def message(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Write a whole message."""
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 3},
        **fields,
    }


def read(*events: dict[str, Any]) -> tuple[dialect.Reader, list[Chunk]]:
    """Read events with a new reader; give it and the chunks."""
    reader = dialect.stream_reader()
    return reader, [chunk for event in events if (chunk := reader.read(event, ""))]


def start(index: int, **block: Any) -> dict[str, Any]:
    """Begin a block."""
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **fields: Any) -> dict[str, Any]:
    """Bring a piece of a block."""
    return {"type": "content_block_delta", "index": index, "delta": fields}


def stop(index: int) -> dict[str, Any]:
    """End a block."""
    return {"type": "content_block_stop", "index": index}


# Whole


def test_a_whole_message_is_read() -> None:
    """Text, thoughts, calls, reason and usage are each in their place (S4-14)."""
    asked = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}}
    now = {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}}
    said = {"type": "text", "text": "Let me see. ", "citations": None}
    server = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}

    chunk = dialect.read_reply(
        message(
            THOUGHT,
            HIDDEN,
            said,
            server,
            {"type": "text", "text": "One moment."},
            asked,
            {"type": "invented_tomorrow"},
            now,
            stop_reason="tool_use",
        )
    )

    assert chunk.text == "Let me see. One moment."
    assert chunk.reasoning == "Six times seven."
    assert chunk.thinking == (THOUGHT, HIDDEN)
    assert chunk.tool_calls == (
        ToolCallDelta(0, "toolu_1", "weather", '{"city": "Köln"}'),
        ToolCallDelta(1, "toolu_2", "now", ""),
    )
    assert (chunk.finish_reason, chunk.raw_finish_reason) == ("tool_calls", "tool_use")
    assert (chunk.model, chunk.usage) == (
        "claude-x",
        {"prompt_tokens": 7, "completion_tokens": 3},
    )


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("refusal", "content_filter"),
        ("some_new_limit", "length"),
        ("some_new_word", "stop"),
    ],
)
def test_stop_reasons_are_normalised(raw: str, normal: str) -> None:
    """Every documented reason means one of ours, whole and streamed; the raw is kept (S4-10)."""
    whole = dialect.read_reply(message({"type": "text", "text": "x"}, stop_reason=raw))
    reader, (chunk,) = read({"type": "message_delta", "delta": {"stop_reason": raw}})

    assert (whole.finish_reason, whole.raw_finish_reason) == (normal, raw)
    assert (chunk.finish_reason, chunk.raw_finish_reason) == (normal, raw)
    assert reader.complete


def test_a_refusal_says_why() -> None:
    """A refusal without a word of answer gives the provider's explanation (S0-25)."""
    details = {"type": "refusal", "category": "cyber", "explanation": "This could do harm."}
    end = {"stop_reason": "refusal", "stop_details": details}

    whole = dialect.read_reply(message(**end))
    _, (streamed,) = read({"type": "message_delta", "delta": end})
    _, (said, late) = read(
        delta(0, type="text_delta", text="Well,"), {"type": "message_delta", "delta": end}
    )
    silent = dialect.read_reply(message(stop_reason="refusal", stop_details=None))

    assert (whole.text, whole.finish_reason) == ("This could do harm.", "content_filter")
    assert (streamed.text, streamed.finish_reason) == ("This could do harm.", "content_filter")
    assert (said.text, late.text, late.finish_reason) == ("Well,", "", "content_filter")
    assert (silent.text, silent.finish_reason) == ("", "content_filter")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "input_tokens": 10,
                "cache_read_input_tokens": 1000,
                "cache_creation_input_tokens": 200,
                "cache_creation": {"ephemeral_5m_input_tokens": 200},
                "output_tokens": 30,
                "output_tokens_details": {"thinking_tokens": 12},
                "service_tier": "standard",
            },
            {
                "prompt_tokens": 1210,
                "completion_tokens": 30,
                "cached_tokens": 1000,
                "cache_write_tokens": 200,
                "reasoning_tokens": 12,
            },
        ),
        (
            {"input_tokens": 9, "cache_read_input_tokens": None, "output_tokens": 1},
            {"prompt_tokens": 9, "completion_tokens": 1},
        ),
        ({"output_tokens": 4}, {"completion_tokens": 4}),
        ({"input_tokens": "9", "output_tokens": True}, None),
        ({"input_tokens": -1}, None),
        ({}, None),
    ],
)
def test_usage_is_read_exactly(usage: dict[str, Any], expected: object) -> None:
    """What is read from the cache and written to it is part of the prompt (S4-09)."""
    assert dialect.read_usage(usage) == expected


@pytest.mark.parametrize("body", [{}, {"content": None}, {"content": "x"}, {"type": "message"}])
def test_no_content_is_no_answer(body: dict[str, Any]) -> None:
    """A body without a list of blocks is refused by name, not by KeyError (S0-19)."""
    with pytest.raises(ValueError, match="content"):
        dialect.read_reply(body)


@pytest.mark.parametrize("block", [None, "x", 7, {}, {"type": "text"}, {"type": "text", "text": 7}])
def test_blocks_that_make_no_sense_are_passed_over(block: Any) -> None:
    """A block of a wrong shape is no crash (S0-19)."""
    chunk = dialect.read_reply(message(block, {"type": "text", "text": "a"}, usage=None))

    assert (chunk.text, chunk.usage) == ("a", None)


_WORDS = st.sampled_from(
    ["type", "index", "delta", "content_block", "message", "usage", "text", "thinking", "error"]
) | st.sampled_from(
    ["partial_json", "signature", "stop_reason", "stop_details", "content", "input", "id", "name"]
)
_KINDS = st.sampled_from(
    ["content_block_delta", "content_block_start", "content_block_stop", "message_start"]
) | st.sampled_from(
    ["message_delta", "message_stop", "text_delta", "input_json_delta", "thinking_delta", "text"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.floats(allow_nan=False) | _KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=12,
)
_EVENT = st.builds(
    lambda kind, rest: {**rest, "type": kind},
    _KINDS,
    st.dictionaries(_WORDS, _JSON, max_size=4),
)


@given(events=st.lists(_EVENT, max_size=6), body=_JSON)
@settings(max_examples=300, deadline=None)
def test_whatever_a_server_sends_reading_it_is_no_crash(events: list[Any], body: Any) -> None:
    """Wrong shapes are passed over, or are no answer; what is given has the right types (S0-19)."""
    _, chunks = read(*events)
    dialect.read_error(body)
    dialect.read_models(body)
    if isinstance(body, dict):
        with suppress(ValueError):
            chunks.append(dialect.read_reply(body))

    for chunk in chunks:
        assert isinstance(chunk.text, str)
        assert isinstance(chunk.reasoning, str)
        assert all(isinstance(call.arguments, str) for call in chunk.tool_calls)
        assert chunk.model is None or isinstance(chunk.model, str)


# In events


def test_fragments_find_their_call_by_the_number_of_the_block() -> None:
    """Blocks of other kinds lie between the calls, and fragments come mixed (S4-14)."""
    _, chunks = read(
        start(0, type="thinking", thinking="", signature=""),
        start(1, type="text", text=""),
        start(2, type="tool_use", id="toolu_1", name="a", input={}),
        start(3, type="server_tool_use", id="srvtoolu_1", name="web_search", input={}),
        delta(3, type="input_json_delta", partial_json='{"query": "x"}'),
        start(5, type="tool_use", id="toolu_2", name="b", input={}),
        delta(5, type="input_json_delta", partial_json=""),
        delta(2, type="input_json_delta", partial_json='{"x"'),
        delta(5, type="input_json_delta", partial_json="[1]"),
        delta(2, type="input_json_delta", partial_json=": 1}"),
        stop(2),
        stop(5),
    )

    deltas = [piece for chunk in chunks for piece in chunk.tool_calls]
    assert deltas == [
        ToolCallDelta(0, "toolu_1", "a"),
        ToolCallDelta(1, "toolu_2", "b"),
        ToolCallDelta(0, arguments='{"x"'),
        ToolCallDelta(1, arguments="[1]"),
        ToolCallDelta(0, arguments=": 1}"),
    ]


def test_arguments_that_come_at_once_are_kept() -> None:
    """Arguments in the block's beginning are not lost, and not said twice (S4-14)."""
    opening = start(0, type="tool_use", id="t", name="a", input={"x": "ü"})
    pieces = delta(0, type="input_json_delta", partial_json='{"x": "ü"}')

    for events in ((opening, stop(0)), (opening, pieces, stop(0))):
        _, chunks = read(*events)
        assert "".join(c.arguments for chunk in chunks for c in chunk.tool_calls) == '{"x": "ü"}'


def test_thoughts_are_whole_at_the_end_of_their_block() -> None:
    """Pieces are reasoning, never text; the block with its signature goes back as it came."""
    _, chunks = read(
        start(0, type="thinking", thinking="", signature=""),
        delta(0, type="thinking_delta", thinking="Six times "),
        delta(0, type="thinking_delta", thinking="seven."),
        delta(0, type="signature_delta", signature="EqQB"),
        stop(0),
        start(1, **HIDDEN),
        stop(1),
    )

    assert "".join(chunk.reasoning for chunk in chunks) == "Six times seven."
    assert "".join(chunk.text for chunk in chunks) == ""
    assert [block for chunk in chunks for block in chunk.thinking] == [THOUGHT, HIDDEN]


def test_counts_are_of_the_whole_answer_and_never_added_up() -> None:
    """Later counts take the place of the first, and what they leave out stays (S4-09)."""
    first = {"input_tokens": 25, "cache_read_input_tokens": 100, "output_tokens": 1}
    _, chunks = read(
        {"type": "message_start", "message": {"model": "claude-x", "usage": first}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 10}},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"input_tokens": 30, "output_tokens": 15, "cache_read_input_tokens": None},
        },
    )

    assert chunks[-1].usage == {
        "prompt_tokens": 130,
        "completion_tokens": 15,
        "cached_tokens": 100,
    }
    assert chunks[-1].model == "claude-x"


def test_a_count_that_never_came_is_not_made_up() -> None:
    """The first event's count of the answer, which is no total, is not given as one (S4-09)."""
    _, (chunk,) = read(
        {"type": "message_start", "message": {"usage": {"input_tokens": 25, "output_tokens": 1}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    )

    assert chunk.usage is None


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": "ping"},
        {"type": "invented_tomorrow", "delta": {"text": "x"}},
        {"type": "message_start"},
        {"type": "message_start", "message": None},
        {"type": "message_delta"},
        {"type": "message_delta", "delta": {"stop_reason": None}, "usage": None},
        {"type": "content_block_start"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tomorrow"}},
        {"type": "content_block_delta"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": None}},
        {"type": "content_block_delta", "index": 9, "delta": {"type": "input_json_delta"}},
        {"type": "content_block_delta", "index": 9, "delta": {"type": "thinking_delta"}},
        {"type": "content_block_delta", "index": [], "delta": {"type": []}},
        {"type": "content_block_start", "index": {}, "content_block": {"type": {}}},
        {"type": "content_block_stop", "index": []},
        {"type": "content_block_stop", "index": 0},
        {"type": ["ping"]},
    ],
)
def test_events_without_content_are_passed_over(event: dict[str, Any]) -> None:
    """Pings, new events and new blocks are no crash, no content and no end (S4-12)."""
    reader, chunks = read(event)

    assert chunks == []
    assert not reader.complete


def test_the_kind_of_an_event_may_stand_in_its_name() -> None:
    """An event whose data names no type is told by its name."""
    reader = dialect.stream_reader()

    chunk = reader.read(
        {"index": 0, "delta": {"type": "text_delta", "text": "a"}}, "content_block_delta"
    )

    assert chunk is not None
    assert chunk.text == "a"
    assert reader.read({}, "message_stop") is None
    assert reader.complete


def test_the_list_of_models_is_read() -> None:
    """The models endpoint gives names; anything else gives none."""
    page = {"data": [{"type": "model", "id": "claude-x"}, {"id": 7}, None], "has_more": False}

    assert dialect.read_models(page) == ("claude-x",)
    assert dialect.read_models({"data": None}) == ()
    assert dialect.read_models([]) == ()

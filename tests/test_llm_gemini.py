"""The wire format of Google's Gemini API: data in, data out.

The shapes are those of https://ai.google.dev/api/generate-content (read 2026-11-21).
"""

from __future__ import annotations

import pytest

from llmport_magic.errors import UsageError
from llmport_magic.llm.dialects import gemini_content
from llmport_magic.llm.messages import Image, Message, ToolCall, as_messages
from llmport_magic.llm.reply import Chunk, ToolCallDelta
from llmport_magic.llm.tools import Tool
from llmport_magic.llm.wire import Call, ErrorDetails

SCHEMA = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/n"}},
    "$defs": {"n": {"type": "integer"}},
    "additionalProperties": False,
}


def _call(*messages: Message, **fields: object) -> Call:
    given = {"model": "m", "messages": messages or (Message("user", "u"),), **fields}
    return Call(**given)  # type: ignore[arg-type]


def _body(*messages: Message, **fields: object) -> dict:
    return dict(gemini_content.build_request(_call(*messages, **fields)).body)


def _reply(*parts: dict, finish: str | None = "STOP", **fields: object) -> dict:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **fields}


# Requests


def test_what_is_not_set_is_not_sent() -> None:
    """A bare question is contents and nothing else; the key is for a header (S0-18)."""
    request = gemini_content.build_request(_call())

    assert request.path == "models/m:generateContent"
    assert request.body == {"contents": [{"role": "user", "parts": [{"text": "u"}]}]}
    assert (gemini_content.KEY_HEADER, gemini_content.KEY_PREFIX) == ("x-goog-api-key", "")


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-3.8-flash", "models/gemini-3.8-flash"),
        ("models/gemini-3.8-flash", "models/gemini-3.8-flash"),
        ("tunedModels/mine", "tunedModels/mine"),
        ("vendor/model:free", "models/vendor%2Fmodel%3Afree"),
        ("a b?c#d/../e", "models/a%20b%3Fc%23d%2F..%2Fe"),
    ],
)
def test_a_model_is_one_segment_of_the_path(model: str, path: str) -> None:
    """The name is written as one segment, whatever is in it; `models/` may stand before (S2-02)."""
    assert gemini_content.build_request(_call(model=model)).path == f"{path}:generateContent"
    streamed = gemini_content.build_request(_call(model=model, stream=True))
    assert streamed.path == f"{path}:streamGenerateContent?alt=sse"


def test_roles_become_those_of_the_api() -> None:
    """System texts go apart, `assistant` is `model`, and turns of one role are one (S0-18)."""
    body = _body(
        Message("system", "s1"),
        Message("user", "u1"),
        Message("user", "u2"),
        Message("assistant", "a"),
        Message("system", "s2"),
        Message("user", "u3"),
        prefill="start",
    )

    assert body["systemInstruction"] == {"parts": [{"text": "s1"}, {"text": "s2"}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "u1"}, {"text": "u2"}]},
        {"role": "model", "parts": [{"text": "a"}]},
        {"role": "user", "parts": [{"text": "u3"}]},
        {"role": "model", "parts": [{"text": "start"}]},
    ]


def test_options_reach_the_generation_config() -> None:
    """Each option has its name in that API; the user's own words come last (S4-11)."""
    body = _body(
        max_tokens=5,
        temperature=0.0,
        top_p=0.5,
        seed=0,
        stop=("a", "b"),
        options={"topK": 3, "thinkingConfig": {"thinkingLevel": "low"}},
        extra={"generationConfig": {"topK": 4}, "safetySettings": []},
    )

    assert body["generationConfig"] == {
        "maxOutputTokens": 5,
        "temperature": 0.0,
        "topP": 0.5,
        "seed": 0,
        "stopSequences": ["a", "b"],
        "topK": 4,
        "thinkingConfig": {"thinkingLevel": "low"},
    }
    assert body["safetySettings"] == []


def test_more_stop_texts_than_the_api_takes_are_refused() -> None:
    """Five stop texts are sent, a sixth is an error and is not dropped (S4-11)."""
    assert len(_body(stop=tuple("abcde"))["generationConfig"]["stopSequences"]) == 5
    with pytest.raises(UsageError, match="at most 5"):
        _body(stop=tuple("abcdef"))


def test_json_is_asked_for() -> None:
    """JSON mode and a schema are flags of that API; the schema goes as it is (S2-03)."""
    plain, with_schema = _body(json_mode=True), _body(json_mode=True, json_schema=SCHEMA)

    assert plain["generationConfig"] == {"responseMimeType": "application/json"}
    assert with_schema["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
    }


@pytest.mark.parametrize("refused", ["responseMimeType", "responseJsonSchema"])
def test_json_is_asked_for_in_words_where_the_flag_is_refused(refused: str) -> None:
    """A model without the flag, or one that has it not beside tools, is told in words (S2-03)."""
    body = _body(json_mode=True, json_schema=SCHEMA, refused=frozenset({refused}))

    assert '"additionalProperties": false' in body["systemInstruction"]["parts"][0]["text"]
    flags = body.get("generationConfig", {})
    assert "responseJsonSchema" not in flags
    assert ("responseMimeType" in flags) == (refused == "responseJsonSchema")


def test_pictures_stand_before_the_text() -> None:
    """Bytes go inline, an address as the address of a file with its own type."""
    images = (Image(data=b"\x00\x01"), Image(url="https://x.test/b.jpg?v=1"))

    parts = _body(Message("user", "what?", images=images))["contents"][0]["parts"]

    assert parts == [
        {"inlineData": {"mimeType": "image/png", "data": "AAE="}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x.test/b.jpg?v=1"}},
        {"text": "what?"},
    ]


# Tools


def test_tools_are_declared_with_the_whole_schema() -> None:
    """JSON schema goes where all of it is taken; no parameters are left unset (S4-14)."""
    body = _body(tools=(Tool(name="f", description="d", parameters=SCHEMA), Tool(name="g")))

    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": SCHEMA},
                {"name": "g"},
            ]
        }
    ]
    assert "toolConfig" not in body


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("f", {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_a_choice_of_tools_has_its_mode(choice: str, config: dict) -> None:
    """Each choice is a mode of that API, and a name limits it to one function (S4-14)."""
    body = _body(tools=(Tool(name="f"),), tool_choice=choice)

    assert body["toolConfig"] == {"functionCallingConfig": config}


def test_calls_and_results_go_back_as_they_came() -> None:
    """Ids and signatures go back, made-up ids do not; a result is always an object (S4-14)."""
    first = ToolCall(name="f", arguments={"a": 1}, id="x1", signature="c2ln")
    second = ToolCall(name="g", id="call_1")
    contents = _body(
        Message("user", "u"),
        Message("assistant", "", tool_calls=(first, second)),
        Message.tool_result(first, {"ok": True}),
        Message.tool_result(second, "plain"),
    )["contents"]

    assert contents[1] == {
        "role": "model",
        "parts": [
            {
                "functionCall": {"id": "x1", "name": "f", "args": {"a": 1}},
                "thoughtSignature": "c2ln",
            },
            {"functionCall": {"name": "g", "args": {}}},
        ],
    }
    assert contents[2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"id": "x1", "name": "f", "response": {"ok": True}}},
            {"functionResponse": {"name": "g", "response": {"output": "plain"}}},
        ],
    }


def test_a_result_without_a_name_gets_that_of_its_call() -> None:
    """A result in OpenAI's shape names only the call; the API wants the function (S4-14)."""
    asked = {"id": "c1", "function": {"name": "f", "arguments": "{}"}}
    messages = as_messages(
        [
            {"role": "assistant", "content": None, "tool_calls": [asked]},
            {"role": "tool", "tool_call_id": "c1", "content": "[1, 2]"},
        ]
    )

    result = _body(*messages)["contents"][1]["parts"][0]["functionResponse"]

    assert result == {"id": "c1", "name": "f", "response": {"output": "[1, 2]"}}


def test_history_of_another_model_is_signed_when_the_api_wants_it() -> None:
    """A refusal for a missing signature is answered with the documented stand-in (S4-07)."""
    said = (
        "Function call is missing a thought_signature in functionCall parts. This is required for "
        "tools to work correctly. Additional data, function call `default_api:seed`, position 2."
    )
    calls = (ToolCall(name="f", id="a"), ToolCall(name="g", id="b"))
    history = (Message("user", "u"), Message("assistant", "", tool_calls=calls))
    sent = _body(*history, seed=1)

    refused = gemini_content.refused_parameter(ErrorDetails(message=said), sent)
    again = _body(*history, refused=frozenset({"thoughtSignature"}))["contents"][1]["parts"]

    assert refused == "thoughtSignature"
    assert [part.get("thoughtSignature") for part in again] == [
        "skip_thought_signature_validator",
        None,
    ]


# Answers


def test_the_parts_of_an_answer_are_told_apart() -> None:
    """Several texts are one, thoughts are reasoning, calls are calls (S0-18, S4-14)."""
    chunk = gemini_content.read_reply(
        _reply(
            {"text": "hm", "thought": True},
            {"text": "a"},
            {"text": "b"},
            {"functionCall": {"name": "f", "args": {"é": 1}}, "thoughtSignature": "s"},
            {"functionCall": {"name": "g", "id": "x"}},
            {"executableCode": {"code": "1"}},
            modelVersion="models/m-1",
        )
    )

    assert (chunk.text, chunk.reasoning, chunk.model) == ("ab", "hm", "m-1")
    assert chunk.tool_calls == (
        ToolCallDelta(index=0, name="f", arguments='{"é": 1}', signature="s"),
        ToolCallDelta(index=1, id="x", name="g"),
    )


def test_calls_in_several_events_are_several_calls() -> None:
    """The API does not number calls: each is its own, in whichever event it comes (S4-14)."""
    reader = gemini_content.stream_reader()

    chunks = [
        reader.read(_reply({"functionCall": {"name": n, "args": {}}}, finish=None), "")
        for n in "fg"
    ]

    assert [c.tool_calls[0].index for c in chunks if isinstance(c, Chunk)] == [0, 1]


@pytest.mark.parametrize(
    "parts",
    [
        [{"text": "ab"}, {"text": "cd", "thoughtSignature": "s1"}],
        [{"text": "aba"}, {"text": "a", "thoughtSignature": "s1"}],
        [{"text": "ab", "thoughtSignature": "s1"}, {"text": "cd", "thoughtSignature": "s2"}],
        [{"text": "ab", "thoughtSignature": "s1"}, {"text": "cd"}],
        [{"text": "ab"}, {"text": "", "thoughtSignature": "s1"}],
        [{"text": "t", "thought": True, "thoughtSignature": "s0"}, {"text": "ab"}],
    ],
)
def test_a_signature_goes_back_on_the_part_that_it_stood_on(parts: list[dict]) -> None:
    """Signed texts are sent back as they came, from whole answers and from streams."""
    reader = gemini_content.stream_reader()
    whole = gemini_content.read_reply(_reply(*parts))
    read = [reader.read(_reply(part, finish=None), "") for part in parts]
    chunks = [chunk for chunk in read if isinstance(chunk, Chunk)]

    streamed = tuple(block for chunk in chunks for block in chunk.thinking)
    message = Message("assistant", whole.text, thinking=whole.thinking)

    assert streamed == whole.thinking
    assert _body(message)["contents"][0]["parts"] == parts


def test_a_signature_of_a_changed_text_is_dropped() -> None:
    """Where the text is not that of the answer any more, the text alone goes back."""
    blocks = (
        {"text": "cd", "thoughtSignature": "s", "at": 2},
        {"type": "thinking", "thinking": "of another provider", "signature": "x"},
    )

    body = _body(Message("assistant", "other", thinking=blocks))

    assert body["contents"][0]["parts"] == [{"text": "other"}]


_DOCUMENTED = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "ESCALATION": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "FINISH_REASON_UNSPECIFIED": "error",
    "OTHER": "error",
    "IMAGE_OTHER": "error",
    "NO_IMAGE": "error",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "MALFORMED_RESPONSE": "error",
    "SOMETHING_NEW": "error",
}


@pytest.mark.parametrize(("raw", "normal"), _DOCUMENTED.items())
def test_every_finish_reason_is_normalised(raw: str, normal: str) -> None:
    """Each documented word means one of ours and stays readable, also without parts (S4-10)."""
    chunk = gemini_content.read_reply({"candidates": [{"finishReason": raw}]})

    assert (chunk.text, chunk.finish_reason, chunk.raw_finish_reason) == ("", normal, raw)


@pytest.mark.parametrize(
    "body",
    [{}, {"candidates": []}, {"candidates": None}, {"candidates": [{"index": 1}]}],
)
def test_no_candidate_is_no_answer(body: dict) -> None:
    """A body without a candidate is refused by name, not by KeyError (S0-18)."""
    with pytest.raises(ValueError, match="candidates"):
        gemini_content.read_reply(body)


@pytest.mark.parametrize(
    "candidate",
    [{}, {"content": None}, {"content": {}}, {"content": {"parts": None}}, {"content": "x"}],
)
def test_a_candidate_without_parts_is_an_empty_answer(candidate: dict) -> None:
    """A model that spent its tokens on thoughts, or was stopped, sends no parts (S0-18)."""
    chunk = gemini_content.read_reply({"candidates": [{**candidate, "finishReason": "MAX_TOKENS"}]})

    assert (chunk.text, chunk.finish_reason) == ("", "length")

"""Token counts, failures and lists of models in the format of Google's Gemini API.

The shapes are those of https://ai.google.dev/api/generate-content and
https://ai.google.dev/gemini-api/docs/troubleshooting (read 2026-11-21).
"""

from __future__ import annotations

from typing import Any

import pytest

from llmport_magic.llm.capabilities import ModelFamily
from llmport_magic.llm.dialects import dialect_named, gemini_content
from llmport_magic.llm.registry import default_registry
from llmport_magic.llm.reply import Chunk
from llmport_magic.llm.wire import ErrorDetails


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 64,
                "toolUsePromptTokenCount": 7,
                "candidatesTokenCount": 20,
                "thoughtsTokenCount": 12,
                "totalTokenCount": 139,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 70},
                    {"modality": "AUDIO", "tokenCount": 30},
                ],
                "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 5}],
            },
            {
                "prompt_tokens": 107,
                "completion_tokens": 32,
                "total_tokens": 139,
                "cached_tokens": 64,
                "reasoning_tokens": 12,
                "prompt_audio_tokens": 30,
                "completion_audio_tokens": 5,
            },
        ),
        (
            {"promptTokenCount": 9, "thoughtsTokenCount": 4, "totalTokenCount": 13},
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "total_tokens": 13,
                "reasoning_tokens": 4,
            },
        ),
        (
            {"promptTokenCount": 9, "totalTokenCount": 9},
            {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9},
        ),
        ({"promptTokenCount": 9}, {"prompt_tokens": 9}),
        ({"promptTokenCount": "9", "candidatesTokenCount": True}, None),
        ({"candidatesTokenCount": 3, "promptTokensDetails": "x"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_usage_is_read_exactly(usage: object, expected: object) -> None:
    """Thoughts count with the answer, tools' results and cached tokens with the prompt (S4-09)."""
    assert gemini_content.read_usage({"usageMetadata": usage}) == expected


def test_the_counts_of_a_stream_are_those_of_its_last_event() -> None:
    """Each event counts the whole so far, and the last one alone is right (S4-09)."""
    reader = gemini_content.stream_reader()
    events = [
        {"usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}},
        {
            "usageMetadata": {
                "promptTokenCount": 9,
                "candidatesTokenCount": 2,
                "totalTokenCount": 11,
            }
        },
    ]

    chunks = [reader.read(event, "") for event in events]

    assert isinstance(chunks[-1], Chunk)
    assert chunks[-1].usage == {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    assert not reader.complete
    assert reader.read({"responseId": "r"}, "") is None


# Failures

_KEY = {
    "code": 400,
    "message": "API key not valid. Please pass a valid API key.",
    "status": "INVALID_ARGUMENT",
    "details": [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
        },
        {"@type": "type.googleapis.com/google.rpc.LocalizedMessage", "locale": "en-US"},
    ],
}
_QUOTA = {
    "code": 429,
    "message": "You exceeded your current quota.",
    "status": "RESOURCE_EXHAUSTED",
    "details": [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "57.238747106s"},
    ],
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}},
            ("overloaded", "UNAVAILABLE", 503, None),
        ),
        (
            [{"error": {"code": 500, "message": "m", "status": "INTERNAL"}}],
            ("m", "INTERNAL", 500, None),
        ),
        ({"error": _KEY}, (_KEY["message"], "API_KEY_INVALID", 400, None)),
        (
            {"error": {"code": 400, "message": "API key expired. Please renew the API key."}},
            ("API key expired. Please renew the API key.", "API_KEY_INVALID", 400, None),
        ),
        ({"error": _QUOTA}, (_QUOTA["message"], "RESOURCE_EXHAUSTED", 429, 57.238747106)),
        ({"error": {"status": "ABORTED", "details": ["x"]}}, ("ABORTED", "ABORTED", None, None)),
        ({"error": "m"}, ("m", "", None, None)),
        (
            {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},
            ("the prompt was blocked: PROHIBITED_CONTENT", "content_filter", None, None),
        ),
        (
            {
                "promptFeedback": {
                    "blockReason": "SAFETY",
                    "safetyRatings": [
                        {"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"},
                        {"category": "HARM_CATEGORY_HATE_SPEECH", "blocked": True},
                    ],
                }
            },
            (
                "the prompt was blocked: SAFETY, HARM_CATEGORY_HATE_SPEECH",
                "content_filter",
                None,
                None,
            ),
        ),
    ],
)
def test_failures_are_read(body: object, expected: tuple[Any, ...]) -> None:
    """The API's own words, its reason, its status and its wait are found (S0-18, S3-01)."""
    details = gemini_content.read_error(body)

    assert details is not None
    assert (details.message, details.code, details.status, details.retry_after) == expected


@pytest.mark.parametrize(
    "body",
    [
        None,
        "x",
        [],
        {},
        {"candidates": [{"finishReason": "SAFETY"}]},
        {"candidates": [{}], "promptFeedback": {"safetyRatings": []}},
        {"candidates": [{}], "promptFeedback": {"blockReason": "SAFETY"}},
    ],
)
def test_an_answer_is_no_failure(body: object) -> None:
    """Whatever has an answer is no failure, also one that was stopped for safety."""
    assert gemini_content.read_error(body) is None


_UNKNOWN = "Invalid JSON payload received. Unknown name \"{}\" at 'generation_config': Cannot find"
_SENT = {
    "systemInstruction": {"parts": []},
    "contents": [],
    "generationConfig": {
        "temperature": 1,
        "topK": 1,
        "seed": 1,
        "responseMimeType": "application/json",
        "responseJsonSchema": {},
        "thinkingConfig": {},
        "presencePenalty": 1,
        "mediaResolution": "x",
    },
}


@pytest.mark.parametrize(
    ("message", "parameter"),
    [
        ("Thinking budget is not supported for this model.", "thinkingConfig"),
        ("Thinking level is not supported for this model.", "thinkingConfig"),
        ("Budget 0 is invalid. This model only works in thinking mode.", "thinkingConfig"),
        ("Unable to submit request because Thinking can't be disabled.", "thinkingConfig"),
        ("Developer instruction is not enabled for models/gemma-3-27b-it", "systemInstruction"),
        ("JSON mode is not enabled for models/gemma-3-27b-it", "responseMimeType"),
        (
            "Function calling with a response mime type: 'application/json' is unsupported",
            "responseMimeType",
        ),
        (_UNKNOWN.format("responseJsonSchema"), "responseJsonSchema"),
        (_UNKNOWN.format("seed"), "seed"),
        ("generation_config.top_k is not supported by this model", "topK"),
        ("Penalty is not enabled for this model", "presencePenalty"),
        ("Media resolution is not enabled for this model", "mediaResolution"),
        ("Function calling is not enabled for this model", None),
        ("Invalid value at 'generation_config.seed' (TYPE_INT32), 9999999999", None),
        ("The thinking budget 5 is invalid. Please choose a value between 512 and 24576.", None),
        ("You can only set only one of thinking budget and thinking level.", None),
        ("* GenerateContentRequest.generation_config.response_schema: too deep", None),
        ("API key not valid. Please pass a valid API key.", None),
    ],
)
def test_a_refused_parameter_is_told_from_a_bad_value(message: str, parameter: str | None) -> None:
    """Only what the model does not take is left out, by whichever name it is called (S4-07)."""
    assert gemini_content.refused_parameter(ErrorDetails(message=message), _SENT) == parameter


def test_only_what_was_sent_is_refused() -> None:
    """A refusal of something that was not sent names no parameter."""
    said = ErrorDetails(message="Thinking level is not supported for this model.")

    assert gemini_content.refused_parameter(said, {"contents": []}) is None


# Models


def test_the_models_that_write_are_listed() -> None:
    """Names come without `models/`, and only of models that generate content (S4-13)."""
    listed = {
        "models": [
            {"name": "models/a", "supportedGenerationMethods": ["generateContent", "countTokens"]},
            {"name": "models/b", "supportedGenerationMethods": ["embedContent"]},
            {"name": "models/c", "supportedGenerationMethods": None},
            {"name": 1, "supportedGenerationMethods": ["generateContent"]},
            "x",
        ]
    }

    assert gemini_content.read_models(listed) == ("a",)
    assert gemini_content.read_models([]) == gemini_content.read_models({"models": "x"}) == ()


def test_the_row_of_the_catalogue() -> None:
    """The provider speaks this format, has both variables, and knows its models (S2-06, S0-20)."""
    row = default_registry().provider("gemini")

    assert dialect_named(row.dialect) is gemini_content
    assert row.api_key_vars == ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    assert row.base_url == "https://generativelanguage.googleapis.com/v1beta"
    for profile in row.models.values():
        known = profile.capabilities
        # The API continues no text of the caller.
        assert not known.prefill
        if profile.family == ModelFamily.GEMMA:
            continue
        assert profile.family == ModelFamily.GEMINI
        assert (known.input_cost_per_1k_tokens or 0) < (known.output_cost_per_1k_tokens or 0)
        if profile.retired_on is None and "robotics" not in profile.name:
            assert known.max_context_window == 1_048_576

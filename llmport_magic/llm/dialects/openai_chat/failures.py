"""Failures of the chat completions format, and what of a request a model refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmport_magic.llm.wire import ErrorDetails, mapping, string

# Parameters that some model refuses and the answer can do without; `max_tokens` has another name,
# a JSON schema can be said in words.
_NEGOTIABLE = (
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "stream_options",
)
_OF_MESSAGES = ("reasoning_content", "reasoning_details", "reasoning")
_REFUSAL = re.compile(
    r"unsupported|not support|unknown|unrecogni|unexpected|not (?:permitted|allowed)|extra (?:input"
    r"|field)|deprecated|only the default|additional propert|instead|unavailable",
    re.IGNORECASE,
)
# https://community.openai.com/t/1386454 (read 2026-11-21): GPT-5.6 and later reason unless they are
# told not to, and in this format take functions only then.
_NO_TOOLS_WHILE_REASONING = re.compile(r"function tools with reasoning_effort", re.IGNORECASE)
_BAD_SCHEMA = re.compile(r"invalid schema", re.IGNORECASE)
_OF_JSON = re.compile(r"response[_ ]format|json_schema|structured output", re.IGNORECASE)


def read_error(data: Any) -> ErrorDetails | None:
    """Read the failure out of a body or an event, in the shapes that servers of this format use."""
    if isinstance(data, list) and data:
        data = data[0]
    if not isinstance(data, Mapping):
        return None
    error = data.get("error") or _of_choice(data)
    if isinstance(error, str):
        return ErrorDetails(message=error, code=str(data.get("code") or ""))
    if not isinstance(error, Mapping):
        # vLLM and FastAPI servers put the message on top.
        if data.get("object") == "error" or (
            not data.get("choices") and ("detail" in data or "message" in data)
        ):
            error = data
        else:
            return None
    message = error.get("message") or error.get("detail") or error.get("type") or error
    code = error.get("code")
    # https://openrouter.ai/docs/api/reference/errors-and-debugging (read 2026-11-21): the metadata
    # holds the upstream's words, or why the moderation flagged the input.
    metadata = mapping(error.get("metadata"))
    raw, reasons = string(metadata.get("raw")), metadata.get("reasons")
    if isinstance(reasons, list) and reasons:
        raw = raw or ", ".join(map(str, reasons))
        code = "content_filter"
    return ErrorDetails(
        message=f"{message}: {raw}" if raw else str(message),
        code=str(code or error.get("type") or ""),
        param=string(error.get("param")),
        status=code if type(code) is int else None,
    )


def _of_choice(data: Mapping[str, Any]) -> Any:
    """Give the failure that stands in the choice, or why Groq stopped a stream early."""
    groq = mapping(data.get("x_groq")).get("error")
    choices = data.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return groq or mapping(first).get("error") or None


def refused_parameter(error: ErrorDetails, body: Mapping[str, Any]) -> str | None:
    """Name what the model does not take, where the failure says so.

    It is a parameter of `body`; `json_schema` or `response_format`; `reasoning_effort` for the
    reasoning beside tools; or a field of the messages.
    """
    if not _REFUSAL.search(f"{error.code} {error.message}"):
        return None
    if _NO_TOOLS_WHILE_REASONING.search(error.message):
        return "reasoning_effort"
    shape = body.get("response_format")
    if isinstance(shape, Mapping) and _OF_JSON.search(f"{error.param} {error.message}"):
        wanted = "json_schema" if shape.get("type") == "json_schema" else "response_format"
        return None if _BAD_SCHEMA.search(error.message) else wanted
    return _of_message(error, body) or _parameter(error, body)


def _parameter(error: ErrorDetails, body: Mapping[str, Any]) -> str | None:
    candidates = [name for name in _NEGOTIABLE if name in body]
    if error.param is not None:
        param = error.param.split(".")[0]
        return param if param in candidates else None
    named = [name for name in candidates if re.search(rf"\b{name}\b", error.message)]
    return named[0] if named else None


def _of_message(error: ErrorDetails, body: Mapping[str, Any]) -> str | None:
    said = f"{error.param} {error.message}"
    sent = {name for message in body.get("messages") or () for name in message}
    named = [n for n in _OF_MESSAGES if n in sent and re.search(rf"\b{n}\b", said)]
    return named[0] if named else None

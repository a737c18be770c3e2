"""Failures of the messages format, and what a model refuses.

Reference: https://platform.claude.com/docs/en/api/errors (read 2026-11-21). The wording of refusals
is what users report of the API; it names the field only inside the message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmport_magic.llm.dialects.anthropic_messages.writing import BOTH, FORCED, FORMAT, PREFILL
from llmport_magic.llm.wire import ErrorDetails, mapping, string

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_SAMPLING = ("temperature", "top_p", "top_k")
_REFUSAL = re.compile(
    r"not (?:\w+ )?support|unsupported|deprecated|extra inputs|may not be|cannot both be",
    re.IGNORECASE,
)
# The field as such or its `format`; a fault inside a schema is the schema's.
_NO_FORMAT = re.compile(r"output_config(?!\.(?:format\.|effort))|output.format|structured output")


def read_error(data: Any) -> ErrorDetails | None:
    """Read the failure out of a body or an event."""
    if not isinstance(data, Mapping):
        return None
    error = data.get("error")
    if isinstance(error, str) and error:
        return ErrorDetails(message=error)
    if not isinstance(error, Mapping):
        # A proxy in between may put its message on top.
        if "content" in data or not ("message" in data or "detail" in data):
            return None
        error = data
    kind = string(error.get("type")) or ""
    message = str(error.get("message") or error.get("detail") or kind or error)
    return ErrorDetails(
        message=message,
        code="content_filter" if "content filtering policy" in message else kind,
        status=_STATUS.get(kind),
        # This comes as a 400 that is about nothing in the request.
        advice="add credit to the account of the key" if "credit balance" in message else "",
    )


def refused_parameter(error: ErrorDetails, body: Mapping[str, Any]) -> str | None:
    """Name what the model refuses in `body`, where the failure says so and it can be done without.

    The failures name no field apart from the words of the message.
    """
    said = error.message
    if not _REFUSAL.search(said):
        return None
    if {"temperature", "top_p"} <= body.keys() and "cannot both" in said:
        return BOTH
    forced = mapping(body.get("tool_choice")).get("type") in ("any", "tool")
    if forced and "tool_choice" in said:
        return FORCED
    if "prefill" in said and body["messages"][-1]["role"] == "assistant":
        return PREFILL
    shaped = "format" in mapping(body.get("output_config"))
    if shaped and _NO_FORMAT.search(said):
        return FORMAT
    named = (name for name in _SAMPLING if name in body and re.search(rf"\b{name}\b", said))
    return next(named, None)

"""Failures of the generateContent format, and what of a request a model refuses.

The shape is https://cloud.google.com/apis/design/errors, the codes are
https://ai.google.dev/gemini-api/docs/troubleshooting (read 2026-11-21).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from llmport_magic.llm.wire import ErrorDetails, mapping, string

_BAD_KEY = re.compile(r"API key (?:not valid|expired|not found)", re.IGNORECASE)
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")
_REFUSAL = re.compile(
    r"unsupported|not support|not (?:enabled|available|allowed)|can't be|only works in"
    r"|unknown name|missing a thought_signature",
    re.IGNORECASE,
)
# Refusals call some parameters by other words than their names.
_WORDS = {
    "thinkingConfig": r"thinking",
    "systemInstruction": r"developer instruction|system[ _]?instruction",
    "responseMimeType": r"json mode|response[ _]?mime[ _]?type",
    "responseJsonSchema": r"response[ _]?(?:json[ _]?)?schema",
    "presencePenalty": r"penalty",
    "frequencyPenalty": r"penalty",
    "candidateCount": r"candidates|candidate[ _]?count",
    "thoughtSignature": r"thought_signature",
}
_CAPITAL = re.compile(r"(?=[A-Z])")


def read_error(data: Any) -> ErrorDetails | None:
    """Read a failure out of a body or an event; a body can be a list of one."""
    if isinstance(data, list) and data:
        data = data[0]
    data = mapping(data)
    error = data.get("error")
    if not isinstance(error, Mapping):
        return blocked(data) or (ErrorDetails(message=error) if string(error) else None)
    message = string(error.get("message")) or string(error.get("status")) or str(error)
    reason, wait = None, None
    for detail in _details(error):
        reason = reason or string(detail.get("reason"))
        delay = _SECONDS.fullmatch(string(detail.get("retryDelay")) or "")
        wait = float(delay[1]) if delay else wait
    if _BAD_KEY.search(message):
        # With the status 400, like anything else that is wrong with a request.
        reason = "API_KEY_INVALID"
    code = error.get("code")
    return ErrorDetails(
        message=message,
        code=reason or string(error.get("status")) or "",
        status=code if type(code) is int else None,
        retry_after=wait,
    )


def _details(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    details = error.get("details")
    yield from map(mapping, details if isinstance(details, list) else ())


def blocked(data: Mapping[str, Any]) -> ErrorDetails | None:
    """Read why a prompt got no answer; `None` where it was not blocked."""
    feedback = mapping(data.get("promptFeedback"))
    reason = string(feedback.get("blockReason"))
    if reason is None or data.get("candidates"):
        return None
    ratings = feedback.get("safetyRatings")
    named = [
        category
        for rating in map(mapping, ratings if isinstance(ratings, list) else ())
        if rating.get("blocked") and (category := string(rating.get("category")))
    ]
    why = string(feedback.get("blockReasonMessage")) or ", ".join([reason, *named])
    return ErrorDetails(message=f"the prompt was blocked: {why}", code="content_filter")


def refused_parameter(error: ErrorDetails, body: Mapping[str, Any]) -> str | None:
    """Name what the model does not take, where the failure says so.

    It is a field of `generationConfig`, or `systemInstruction`; or `thoughtSignature`, where a
    call in the history needs one and has none.
    """
    if not _REFUSAL.search(error.message):
        return None
    sent = ["thoughtSignature", *mapping(body.get("generationConfig"))]
    if "systemInstruction" in body:
        sent.append("systemInstruction")
    return next((name for name in sent if _pattern(name).search(error.message)), None)


def _pattern(name: str) -> re.Pattern[str]:
    # The API says `generation_config.top_k` of what was sent as `topK`.
    words = _WORDS.get(name) or r"\b" + r"[ _]?".join(_CAPITAL.split(name)) + r"\b"
    return re.compile(f"{words}|\\b{re.escape(name)}\\b", re.IGNORECASE)

"""Answers of the generateContent format, whole and streamed: both have the same shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llmport_magic.llm.dialects.gemini_content.failures import blocked
from llmport_magic.llm.reply import Chunk, ToolCallDelta
from llmport_magic.llm.wire import ErrorDetails, counts, mapping, string

# The last of the words are in https://github.com/googleapis/python-genai, 3.4.0 (read 2026-11-21).
_FINISH = {
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
    # Not a word of Google's: other servers of this format say it.
    "FUNCTION_CALL": "tool_calls",
}


def read_reply(data: Mapping[str, Any]) -> Chunk:
    """Read a whole answer.

    Raises:
        ValueError: it holds no answer.
    """
    if _candidate(data) is None:
        raise ValueError("the answer has no `candidates`")
    chunk = Reader().read(data, "")
    return chunk if isinstance(chunk, Chunk) else Chunk()


class Reader:
    """Reads the events of one stream: each has the shape of a whole answer."""

    def __init__(self) -> None:
        self._finished = False
        self._calls = 0
        self._length = 0

    @property
    def complete(self) -> bool:
        """Whether a finish reason has come: the API has no other sign of the end."""
        return self._finished

    def read(self, data: Mapping[str, Any], event: str) -> Chunk | ErrorDetails | None:
        """Read one event; `None` where it holds nothing of the answer."""
        failure = blocked(data)
        if failure is not None:
            return failure
        candidate = _candidate(data) or {}
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[ToolCallDelta] = []
        signed: list[Mapping[str, Any]] = []
        for part in _parts(candidate):
            asked = part.get("functionCall")
            if isinstance(asked, Mapping):
                calls.append(self._call(asked, part))
                continue
            text = string(part.get("text")) or ""
            if "thoughtSignature" in part:
                # With its place in the answer: it goes back on the same part.
                signed.append({**part, "at": self._length})
            if part.get("thought") is True:
                thoughts.append(text)
            else:
                texts.append(text)
                self._length += len(text)
        raw = string(candidate.get("finishReason"))
        self._finished = self._finished or raw is not None
        chunk = Chunk(
            text="".join(texts),
            reasoning="".join(thoughts),
            finish_reason=finish_reason(raw),
            raw_finish_reason=raw,
            usage=read_usage(data),
            model=(string(data.get("modelVersion")) or "").removeprefix("models/") or None,
            tool_calls=tuple(calls),
            thinking=tuple(signed),
        )
        return chunk if candidate or chunk.usage else None

    def _call(self, asked: Mapping[str, Any], part: Mapping[str, Any]) -> ToolCallDelta:
        """Read a call: it always comes whole."""
        self._calls += 1
        arguments = asked.get("args")
        return ToolCallDelta(
            index=self._calls - 1,
            id=string(asked.get("id")) or "",
            name=string(asked.get("name")) or "",
            arguments="" if arguments is None else json.dumps(arguments, ensure_ascii=False),
            signature=string(part.get("thoughtSignature")) or "",
        )


def stream_reader() -> Reader:
    """Make a reader for one stream."""
    return Reader()


def _candidate(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the first of the answers, where more were asked for."""
    candidates = _rows(data, "candidates")
    return next((candidate for candidate in candidates if not candidate.get("index")), None)


def _parts(candidate: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    # A blocked candidate has no `content`, and one that spent all its tokens on thoughts no parts.
    return _rows(candidate.get("content"), "parts")


def finish_reason(raw: str | None) -> str | None:
    """Normalise a finish reason.

    All but the known ones say that the answer did not end as it should: OTHER, a call that is
    malformed or was not allowed, a missing signature, and whatever comes to be added.
    """
    return None if raw is None else _FINISH.get(raw, "error")


def read_usage(data: Mapping[str, Any]) -> dict[str, int] | None:
    """Read the token counts; each event of a stream has them for the answer so far.

    `promptTokenCount` holds the cached tokens, but not those of the results of the API's own
    tools; `candidatesTokenCount` does not hold the thoughts; `totalTokenCount` holds all.
    """
    usage = mapping(data.get("usageMetadata"))
    given = counts({name: usage.get(name) for name in usage if name.endswith("TokenCount")})
    if "promptTokenCount" not in given:
        return None
    prompt = given["promptTokenCount"] + given.get("toolUsePromptTokenCount", 0)
    written = [given[n] for n in ("candidatesTokenCount", "thoughtsTokenCount") if n in given]
    total = given.get("totalTokenCount")
    answer = sum(written) if written or total is None else max(0, total - prompt)
    return counts(
        {
            "prompt_tokens": prompt,
            "completion_tokens": answer if written or total is not None else None,
            "total_tokens": total,
            "cached_tokens": given.get("cachedContentTokenCount"),
            "reasoning_tokens": given.get("thoughtsTokenCount"),
            "prompt_audio_tokens": _audio(usage, "promptTokensDetails"),
            "completion_audio_tokens": _audio(usage, "candidatesTokensDetails"),
        }
    )


def _audio(usage: Mapping[str, Any], name: str) -> int | None:
    rows = _rows(usage, name)
    found = [row.get("tokenCount") for row in rows if row.get("modality") == "AUDIO"]
    known = [n for n in found if type(n) is int]
    return sum(known) if known else None


def _listed(data: Any, name: str) -> list[Any]:
    values = mapping(data).get(name)
    return values if isinstance(values, list) else []


def _rows(data: Any, name: str) -> list[Mapping[str, Any]]:
    return [mapping(row) for row in _listed(data, name)]

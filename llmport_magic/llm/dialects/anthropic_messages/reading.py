"""Answers of the messages format, whole and in events.

References, read 2026-11-21: https://platform.claude.com/docs/en/build-with-claude/streaming and
https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from llmport_magic.llm.dialects.anthropic_messages.writing import is_thought
from llmport_magic.llm.reply import Chunk, ToolCallDelta
from llmport_magic.llm.wire import counts, kept, mapping, string

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    # A tool on the provider's side has reached its limit of rounds: the answer is not whole.
    "pause_turn": "length",
    "refusal": "content_filter",
}
_CUT_OFF = re.compile(r"length|max|limit|exceeded", re.IGNORECASE)
_INPUT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def read_reply(data: Mapping[str, Any]) -> Chunk:
    """Read a whole message.

    Raises:
        ValueError: it holds no answer.
    """
    content = data.get("content")
    if not isinstance(content, list):
        raise ValueError("the answer has no `content`")  # noqa: TRY004 - not of the wrong type: none
    blocks = [block for block in content if isinstance(block, Mapping)]
    text = "".join(string(b.get("text")) or "" for b in blocks if b.get("type") == "text")
    asked = [block for block in blocks if block.get("type") == "tool_use"]
    thoughts = tuple(dict(block) for block in blocks if is_thought(block))
    raw = string(data.get("stop_reason"))
    return Chunk(
        text=text or _refusal(data),
        reasoning="".join(string(block.get("thinking")) or "" for block in thoughts),
        finish_reason=finish_reason(raw) or ("tool_calls" if asked else "stop"),
        usage=read_usage(mapping(data.get("usage"))),
        raw_finish_reason=raw,
        model=string(data.get("model")),
        tool_calls=tuple(_opening(n, b, b.get("input")) for n, b in enumerate(asked)),
        thinking=thoughts,
    )


def _opening(index: int, block: Mapping[str, Any], arguments: Any = None) -> ToolCallDelta:
    return ToolCallDelta(
        index=index,
        id=string(block.get("id")) or "",
        name=string(block.get("name")) or "",
        arguments=json.dumps(arguments, ensure_ascii=False) if arguments else "",
    )


def _refusal(end: Mapping[str, Any]) -> str:
    """Give the words for a refusal, where the provider says some."""
    return string(mapping(end.get("stop_details")).get("explanation")) or ""


class _Text(msgspec.Struct, gc=False):
    type: Literal["text_delta"]
    text: str


class _Usual(msgspec.Struct, gc=False):
    """An event as nearly all of them are: a piece of the text."""

    type: Literal["content_block_delta"]
    delta: _Text
    error: None = None


_decode_usual = msgspec.json.Decoder(_Usual).decode


class Reader:
    """Reads the events of one stream.

    Blocks are numbered through the whole message; a call's number is its place among the calls.
    """

    def __init__(self) -> None:
        self._model: str | None = None
        self._usage: dict[str, Any] = {}
        self._calls: dict[int, int] = {}
        self._inputs: dict[int, Any] = {}
        self._thoughts: dict[int, dict[str, Any]] = {}
        self._said = False
        self._finished = False

    @property
    def complete(self) -> bool:
        """Whether a stop reason or the last event has come."""
        return self._finished

    def quick(self, data: bytes) -> Chunk | None:
        """Read an event that holds a piece of the text and nothing else; `None` for another."""
        try:
            text = _decode_usual(data).delta.text
        except (ValueError, RecursionError):
            return None
        if not text:
            return None
        self._said = True
        return Chunk.of_text(text, self._model)

    def read(self, data: Mapping[str, Any], event: str) -> Chunk | None:
        """Read one event; `None` where it holds nothing of the answer."""
        match data.get("type") or event:
            case "content_block_delta":
                return self._delta(_number(data), mapping(data.get("delta")))
            case "content_block_start":
                return self._start(_number(data), mapping(data.get("content_block")))
            case "content_block_stop":
                return self._stop(_number(data))
            case "message_start":
                # It is no content: the wait for the first word goes on.
                message = mapping(data.get("message"))
                self._model = string(message.get("model"))
                self._usage = dict(mapping(message.get("usage")))
            case "message_delta":
                return self._end(mapping(data.get("delta")), mapping(data.get("usage")))
            case "message_stop":
                self._finished = True
        return None

    def _delta(self, index: int, delta: Mapping[str, Any]) -> Chunk | None:
        kind = delta.get("type")
        if kind == "text_delta":
            return self._text(delta.get("text"))
        if kind == "input_json_delta" and index in self._calls:
            fragment = string(delta.get("partial_json"))
            if fragment is None:
                return None
            self._inputs.pop(index, None)
            call = ToolCallDelta(self._calls[index], arguments=fragment)
            return Chunk(tool_calls=(call,), model=self._model)
        if index in self._thoughts and kind in ("thinking_delta", "signature_delta"):
            name = kind.removesuffix("_delta")
            more = string(delta.get(name)) or ""
            thought = self._thoughts[index]
            thought[name] = (string(thought.get(name)) or "") + more
            if kind == "thinking_delta" and more:
                return Chunk(reasoning=more, model=self._model)
        return None

    def _text(self, text: Any) -> Chunk | None:
        if not isinstance(text, str) or not text:
            return None
        self._said = True
        return Chunk(text, model=self._model)

    def _start(self, index: int, block: Mapping[str, Any]) -> Chunk | None:
        kind = block.get("type")
        if kind == "text":
            return self._text(block.get("text"))
        if kind == "tool_use":
            self._calls[index] = number = len(self._calls)
            # Nearly always empty, the arguments come in pieces; some servers send them at once.
            self._inputs[index] = block.get("input")
            return Chunk(tool_calls=(_opening(number, block),), model=self._model)
        if is_thought(block):
            self._thoughts[index] = dict(block)
            begun = string(block.get("thinking"))
            return Chunk(reasoning=begun, model=self._model) if begun else None
        return None

    def _stop(self, index: int) -> Chunk | None:
        if index in self._thoughts:
            return Chunk(thinking=(self._thoughts.pop(index),), model=self._model)
        whole = self._inputs.pop(index, None)
        if whole:
            call = _opening(self._calls[index], {}, whole)
            return Chunk(tool_calls=(call,), model=self._model)
        return None

    def _end(self, delta: Mapping[str, Any], usage: Mapping[str, Any]) -> Chunk | None:
        # The counts are those of the whole answer so far, never to be added up.
        self._usage |= {name: count for name, count in usage.items() if count is not None}
        raw = string(delta.get("stop_reason"))
        self._finished = self._finished or raw is not None
        counted = read_usage(self._usage) if "output_tokens" in counts(usage) else None
        if raw is None and counted is None:
            return None
        return Chunk(
            text="" if self._said else _refusal(delta),
            finish_reason=finish_reason(raw),
            usage=counted,
            raw_finish_reason=raw,
            model=self._model,
        )


def _number(data: Mapping[str, Any]) -> int:
    index = data.get("index")
    return index if isinstance(index, int) else -1


def stream_reader() -> Reader:
    """Make a reader for one stream."""
    return Reader()


def finish_reason(raw: str | None) -> str | None:
    """Normalise a stop reason; a word that is not known yet is an end, or a cut by its name."""
    if not raw:
        return None
    return _FINISH.get(raw) or ("length" if _CUT_OFF.search(raw) else "stop")


def read_usage(usage: Mapping[str, Any]) -> dict[str, int] | None:
    """Read the token counts; what is read from and written to the cache is part of the prompt."""
    given = counts(usage)
    found: dict[str, int] = {}
    if "input_tokens" in given:
        found["prompt_tokens"] = sum(given.get(name, 0) for name in _INPUT)
    if "output_tokens" in given:
        found["completion_tokens"] = given["output_tokens"]
    details = counts(mapping(usage.get("output_tokens_details")))
    written = counts(mapping(usage.get("cache_creation")))
    parts = {
        "cached_tokens": given.get("cache_read_input_tokens"),
        "cache_write_tokens": given.get("cache_creation_input_tokens"),
        # Kept for an hour they cost more: https://platform.claude.com/docs/en/about-claude/pricing
        "cache_write_1h_tokens": written.get("ephemeral_1h_input_tokens"),
        "reasoning_tokens": details.get("thinking_tokens"),
    }
    return {**found, **kept(parts)} if found else None

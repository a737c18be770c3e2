"""Answers of the chat completions format, whole and streamed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from llmport_magic.llm.dialects.openai_chat.failures import read_error
from llmport_magic.llm.reply import Chunk, ToolCallDelta
from llmport_magic.llm.think_tag import ThinkTag, apart
from llmport_magic.llm.wire import ErrorDetails, counts, mapping, string

_FINISH = {
    # https://platform.openai.com/docs/api-reference/chat/object
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    # https://openrouter.ai/docs/api/reference/streaming
    "error": "error",
    # https://api-docs.deepseek.com/api/create-chat-completion
    "insufficient_system_resource": "error",
    # `vllm/v1/engine/__init__.py` in https://github.com/vllm-project/vllm (read 2026-11-21): ended
    # from outside, or for saying the same over and over.
    "abort": "error",
    "repetition": "error",
    # The words of Gemini, Claude and others that gateways pass through.
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "refusal": "content_filter",
    "tool_use": "tool_calls",
    "malformed_function_call": "error",
}
_CUT_OFF = re.compile(r"length|max|limit", re.IGNORECASE)
# https://openrouter.ai/docs/guides/best-practices/reasoning-tokens (read 2026-11-21)
_GROWING = ("text", "summary", "data")


def read_reply(data: Mapping[str, Any]) -> Chunk:
    """Read a whole chat completion.

    Raises:
        ValueError: it holds no answer.
    """
    choice = _first_choice(data)
    if choice is None:
        raise ValueError("the answer has no `choices`")
    message = _message(choice)
    text = _text(message.get("content"))
    finish = finish_reason(choice.get("finish_reason"))
    calls = _Calls().read(message)
    refusal = string(message.get("refusal"))
    if refusal and not text:
        text, finish = refusal, "content_filter"
    thoughts = _Thoughts()
    reasoning = thoughts.read(message)
    if not reasoning and "text" not in choice:
        text, reasoning = apart(text)
    return Chunk(
        text=text,
        reasoning=reasoning,
        finish_reason=finish or ("tool_calls" if calls else "stop"),
        raw_finish_reason=_raw_finish_reason(choice),
        usage=read_usage(data),
        model=string(data.get("model")),
        tool_calls=calls,
        thinking=thoughts.taken(),
        cost=_cost(data),
    )


class _Delta(msgspec.Struct, gc=False):
    content: str
    reasoning: None = None
    reasoning_content: None = None
    reasoning_details: None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta
    index: Literal[0] = 0
    finish_reason: None = None
    error: None = None


class _Usual(msgspec.Struct, gc=False):
    """An event as nearly all of them are: a piece of the text, and nothing else that counts."""

    choices: tuple[_Choice]
    model: str | None = None
    usage: None = None
    x_groq: None = None
    error: None = None


_decode_usual = msgspec.json.Decoder(_Usual).decode


class Reader:
    """Reads the `chat.completion.chunk` events of one stream; of several answers the first."""

    def __init__(self) -> None:
        self._index: Any = None
        self._finished = False
        self._refused = False
        self._calls = _Calls()
        self._thoughts = _Thoughts()
        self._tag: ThinkTag | None = ThinkTag()

    @property
    def complete(self) -> bool:
        """Whether a finish reason has come; some servers send no `[DONE]`."""
        return self._finished

    def quick(self, data: bytes) -> Chunk | None:
        """Read an event that holds a piece of the text and nothing else; `None` for another."""
        try:
            event = _decode_usual(data)
        except (ValueError, RecursionError):
            return None
        text = event.choices[0].delta.content
        if self._tag is not None and text:
            if self._tag.concerns(text):
                return None
            self._tag = None
        return Chunk.of_text(text, event.model or None) if text else None

    def read(self, data: Mapping[str, Any], event: str) -> Chunk | ErrorDetails | None:
        """Read one event; `None` where it holds nothing of the answer."""
        usage, cost = None, None
        if data.get("usage") is not None or "x_groq" in data:
            usage, cost = read_usage(data), _cost(data)
        choice = _first_choice(data)
        if "x_groq" in data or (choice is not None and choice.get("error")):
            failure = read_error(data)
            if failure is not None:
                return failure
        if choice is not None and self._index is None:
            self._index = choice.get("index")
        if choice is None or choice.get("index") != self._index:
            return Chunk(usage=usage, cost=cost) if usage else None
        delta = _message(choice)
        text = _text(delta.get("content"))
        finish = finish_reason(choice.get("finish_reason"))
        if text and len(delta) == 1 and finish is None and usage is None and self._tag is None:
            # Most events hold a piece of the text and nothing else.
            return Chunk(text, model=string(data.get("model")))
        reasoning = self._thoughts.read(delta)
        # The server tells thoughts apart itself, or the text is no answer but goes on.
        plain = bool(reasoning or "text" in choice)
        text, thought = self._split(text, last=finish is not None, plain=plain)
        reasoning += thought
        calls = self._calls.read(delta)
        if refusal := string(delta.get("refusal")):
            self._refused = True
            text += refusal
        if finish is not None:
            self._finished = True
            finish = "content_filter" if self._refused else finish
        thinking = self._thoughts.taken() if self._finished else ()
        if not (text or reasoning or calls or finish or usage or thinking):
            return None
        raw = _raw_finish_reason(choice) if finish else None
        model = string(data.get("model"))
        return Chunk(text, reasoning, finish, usage, raw, model, calls, thinking, cost)

    def _split(self, text: str, *, last: bool, plain: bool) -> tuple[str, str]:
        tag = self._tag
        if tag is None:
            return text, ""
        text, thought = tag.split(text, last=last, plain=plain)
        self._tag = None if tag.over else tag
        return text, thought


def stream_reader() -> Reader:
    """Make a reader for one stream."""
    return Reader()


class _Calls:
    """Tells the calls of one answer apart, whatever a server says of their numbers.

    The format numbers them by `index`. Some servers leave that out, or give every call the same
    one; then a new id, or a name, begins a new call.
    """

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}
        self._numbers: dict[int, int] = {}
        self._last = -1

    def read(self, message: Mapping[str, Any]) -> tuple[ToolCallDelta, ...]:
        asked = message.get("tool_calls")
        if isinstance(asked, list):
            return tuple(self._delta(call) for call in asked if isinstance(call, Mapping))
        # Deprecated, still sent by old servers: https://platform.openai.com/docs/api-reference/chat
        legacy = message.get("function_call")
        return (self._piece(0, "", legacy),) if isinstance(legacy, Mapping) else ()

    def _delta(self, call: Mapping[str, Any]) -> ToolCallDelta:
        # https://platform.openai.com/docs/guides/function-calling#custom-tools: a text, not JSON.
        function = mapping(call.get("function") or call.get("custom"))
        given = string(call.get("id")) or ""
        number = self._number(call.get("index"), given, function.get("name"))
        return self._piece(number, given, function)

    def _number(self, index: Any, given: str, name: Any) -> int:
        if type(index) is int:
            number = self._numbers.get(index, -1)
            known = self._ids.get(number)
            if number < 0:
                number = self._next() if index in self._ids else index
            elif given and name and known and known != given:
                number = self._next()
            self._numbers[index] = number
        elif given and given in self._ids.values():
            number = next(n for n, known in self._ids.items() if known == given)
        elif given or name or self._last < 0:
            number = self._next()
        else:
            number = self._last
        if not self._ids.get(number):
            self._ids[number] = given
        self._last = number
        return number

    def _next(self) -> int:
        return max(self._ids, default=-1) + 1

    def _piece(self, number: int, given: str, function: Mapping[str, Any]) -> ToolCallDelta:
        arguments = function.get("arguments", function.get("input"))
        if isinstance(arguments, Mapping):
            arguments = json.dumps(arguments)
        return ToolCallDelta(
            index=number,
            id=given,
            name=string(function.get("name")) or "",
            arguments=string(arguments) or "",
        )


class _Thoughts:
    """Gathers what the model thought, to be sent back as it came."""

    def __init__(self) -> None:
        self._text: dict[str, list[str]] = {}
        self._details: list[dict[str, Any]] = []

    def read(self, message: Mapping[str, Any]) -> str:
        """Take what a message or a delta holds, and give its text."""
        details = message.get("reasoning_details")
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, Mapping):
                self._add(detail)
        # DeepSeek and vLLM say `reasoning_content`, OpenRouter and Groq `reasoning`.
        for name in ("reasoning_content", "reasoning"):
            if text := _text(message.get(name)):
                self._text.setdefault(name, []).append(text)
                return text
        return ""

    def _add(self, detail: Mapping[str, Any]) -> None:
        for block in reversed(self._details):
            if _continues(block, detail, last=block is self._details[-1]):
                for name, value in detail.items():
                    if name in _GROWING and isinstance(value, str):
                        block[name] = f"{block.get(name) or ''}{value}"
                    elif value is not None:
                        block[name] = value
                return
        self._details.append(dict(detail))

    def taken(self) -> tuple[Mapping[str, Any], ...]:
        """Give the blocks that have come, once; the text where there are no blocks."""
        blocks: list[Mapping[str, Any]] = list(self._details)
        if not blocks:
            blocks = [{name: "".join(pieces)} for name, pieces in self._text.items()]
        self._details, self._text = [], {}
        return tuple(blocks)


def _continues(block: Mapping[str, Any], detail: Mapping[str, Any], *, last: bool) -> bool:
    same = all(block.get(name) == detail.get(name) for name in ("type", "index"))
    ids = {block.get("id"), detail.get("id")} - {None}
    if not same or len(ids) > 1:
        return False
    return detail.get("index") is not None or (last and "data" not in detail)


def finish_reason(raw: Any) -> str | None:
    """Normalise a finish reason; servers of this format use words of their own, too."""
    if not isinstance(raw, str) or not raw:
        return None
    known = _FINISH.get(raw.lower().partition(":")[0])
    return known or ("length" if _CUT_OFF.search(raw) else "stop")


def _raw_finish_reason(choice: Mapping[str, Any]) -> str | None:
    # https://openrouter.ai/announcements/standardized-finish-reasons: the model's own provider's.
    return string(choice.get("native_finish_reason")) or string(choice.get("finish_reason"))


def read_usage(data: Mapping[str, Any]) -> dict[str, int] | None:
    """Read the token counts, with their parts where they are given."""
    # https://console.groq.com/docs/api-reference: `x_groq`, in the last event of a stream.
    usage = mapping(data.get("usage")) or mapping(mapping(data.get("x_groq")).get("usage"))
    prompt = mapping(usage.get("prompt_tokens_details"))
    answer = mapping(usage.get("completion_tokens_details"))
    found = counts(
        {
            "prompt_tokens": usage.get("prompt_tokens"),
            "completion_tokens": usage.get("completion_tokens"),
            "total_tokens": usage.get("total_tokens"),
            # https://api-docs.deepseek.com/guides/kv_cache
            "cached_tokens": prompt.get("cached_tokens", usage.get("prompt_cache_hit_tokens")),
            # https://openrouter.ai/docs/use-cases/usage-accounting
            "cache_write_tokens": prompt.get("cache_write_tokens"),
            "prompt_audio_tokens": prompt.get("audio_tokens"),
            "reasoning_tokens": answer.get("reasoning_tokens"),
            "completion_audio_tokens": answer.get("audio_tokens"),
        }
    )
    if not {"prompt_tokens", "completion_tokens"} & found.keys():
        return None
    said, thought = found.get("completion_tokens", 0), found.get("reasoning_tokens", 0)
    if thought and found.get("total_tokens") == found.get("prompt_tokens", 0) + said + thought:
        # Some count the reasoning beside the answer, as Grok does: https://docs.cloud.google.com/
        # vertex-ai/generative-ai/docs/partner-models/grok/capabilities/reasoning
        found["completion_tokens"] = said + thought
    return found


def _cost(data: Mapping[str, Any]) -> float | None:
    # https://openrouter.ai/docs/use-cases/usage-accounting: in credits, of one dollar.
    cost = mapping(data.get("usage")).get("cost")
    if isinstance(cost, bool) or not isinstance(cost, (int, float)) or cost < 0:
        return None
    return float(cost)


def _first_choice(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = data.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return None


def _message(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the message or its piece; the plain completions format has only a text."""
    for name in ("delta", "message"):
        message = choice.get(name)
        if isinstance(message, dict):
            return message
    return {"content": choice.get("text")}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return ""

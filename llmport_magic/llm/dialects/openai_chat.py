"""The chat completions format of OpenAI, which most providers and local servers speak.

Reference: https://platform.openai.com/docs/api-reference/chat (read 2026-11-21).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmport_magic.llm.reply import Chunk
from llmport_magic.llm.wire import Call, ErrorDetails, WireRequest

KEY_HEADER = "authorization"
KEY_PREFIX = "Bearer "
FRAMING = "sse"
END_OF_STREAM: bytes | None = b"[DONE]"
MODELS_PATH = "models"
DEFAULT_PATH = "/v1"

_FINISH = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
    # vLLM, when the request was cut short; https://docs.vllm.ai
    "abort": "error",
    # https://api-docs.deepseek.com/api/create-chat-completion
    "insufficient_system_resource": "error",
}
_CUT_OFF = re.compile(r"length|max|limit", re.IGNORECASE)
# Parameters that some model refuses and the answer can do without; `max_tokens` has another name.
_NEGOTIABLE = (
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "stream_options",
)
_REFUSAL = re.compile(
    r"unsupported|not support|unknown|unrecogni|unexpected|not (?:permitted|allowed)|extra (?:input"
    r"|field)|deprecated|only the default|additional propert|instead",
    re.IGNORECASE,
)


def build_request(call: Call) -> WireRequest:
    """Write a chat completion request; what is `None` is left out."""
    messages: list[dict[str, Any]] = [message.to_dict() for message in call.messages]
    if call.prefill:
        # https://api-docs.deepseek.com/guides/chat_prefix_completion
        messages.append({"role": "assistant", "content": call.prefill, "prefix": True})
    limit = "max_completion_tokens" if "max_tokens" in call.refused else "max_tokens"
    body: dict[str, Any] = {
        "model": call.model,
        "messages": messages,
        limit: call.max_tokens,
        "temperature": call.temperature,
        "top_p": call.top_p,
        "seed": call.seed,
        "stop": list(call.stop) or None,
    }
    if call.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    kept = {
        name: value
        for name, value in body.items()
        if value is not None and name not in call.refused
    }
    return WireRequest(path="chat/completions", body={**kept, **call.extra})


def read_reply(data: Mapping[str, Any]) -> Chunk:
    """Read a whole chat completion.

    Raises:
        ValueError: it holds no answer.
    """
    choice = _first_choice(data)
    if choice is None:
        raise ValueError("the answer has no `choices`")
    message = choice.get("message")
    if not isinstance(message, Mapping):
        message = {"content": choice.get("text")}
    text, raw = _text(message.get("content")), choice.get("finish_reason")
    finish = finish_reason(raw) or ("tool_calls" if message.get("tool_calls") else "stop")
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal and not text:
        text, finish = refusal, "content_filter"
    return Chunk(
        text=text,
        reasoning=_reasoning(message),
        finish_reason=finish,
        raw_finish_reason=raw if isinstance(raw, str) else None,
        usage=read_usage(data),
        model=_string(data.get("model")),
    )


class Reader:
    """Reads the `chat.completion.chunk` events of one stream."""

    def __init__(self) -> None:
        self._finished = False

    @property
    def complete(self) -> bool:
        """Whether a finish reason has come; some servers send no `[DONE]`."""
        return self._finished

    def read(self, data: Mapping[str, Any], event: str) -> Chunk | None:  # noqa: ARG002
        """Read one event; `None` where it holds nothing of the answer."""
        counted = data.get("usage") is not None or "x_groq" in data
        usage = read_usage(data) if counted else None
        choice = _first_choice(data)
        if choice is None:
            return Chunk(usage=usage) if usage else None
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice.get("message")
        if not isinstance(delta, dict):
            delta = {"content": choice.get("text")}
        content = delta.get("content")
        text = content if type(content) is str else _text(content)
        if text and not choice.get("finish_reason") and not usage:
            return Chunk(text, _reasoning(delta), model=data.get("model"))
        reasoning = _reasoning(delta)
        raw = choice.get("finish_reason")
        finish = finish_reason(raw)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal and not text:
            text = refusal
        if finish is not None:
            self._finished = True
        elif not text and not reasoning and not usage:
            return None
        return Chunk(text, reasoning, finish, usage, raw if finish else None, data.get("model"))


def stream_reader() -> Reader:
    """Make a reader for one stream."""
    return Reader()


def read_error(data: Any) -> ErrorDetails | None:
    """Read the failure out of a body or an event, in the shapes that servers of this format use."""
    if isinstance(data, list) and data:
        data = data[0]
    if not isinstance(data, Mapping):
        return None
    error = data.get("error")
    if isinstance(error, str) and error:
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
    # https://openrouter.ai/docs/api-reference/errors: the upstream's words are in the metadata.
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    said = f"{message}: {raw}" if isinstance(raw, str) and raw else str(message)
    status = code if isinstance(code, int) else None
    return ErrorDetails(
        message=said,
        code=str(code or error.get("type") or ""),
        param=_string(error.get("param")),
        status=status,
    )


def refused_parameter(error: ErrorDetails, body: Mapping[str, Any]) -> str | None:
    """Name the parameter of `body` that the model does not take, where the failure says so."""
    if not _REFUSAL.search(f"{error.code} {error.message}"):
        return None
    candidates = [name for name in _NEGOTIABLE if name in body]
    if error.param is not None:
        param = error.param.split(".")[0]
        return param if param in candidates else None
    named = [name for name in candidates if re.search(rf"\b{name}\b", error.message)]
    return named[0] if named else None


def read_models(data: Any) -> tuple[str, ...]:
    """Read the answer of the models endpoint."""
    rows = data.get("data") if isinstance(data, Mapping) else None
    if not isinstance(rows, list):
        return ()
    return tuple(
        row["id"] for row in rows if isinstance(row, Mapping) and isinstance(row.get("id"), str)
    )


def finish_reason(raw: Any) -> str | None:
    """Normalise a finish reason; servers of this format use words of their own, too."""
    if not isinstance(raw, str) or not raw:
        return None
    known = _FINISH.get(raw.lower())
    return known or ("length" if _CUT_OFF.search(raw) else "stop")


def read_usage(data: Mapping[str, Any]) -> dict[str, int] | None:
    """Read the token counts, with cached and reasoning tokens where they are given."""
    usage = data.get("usage")
    if not isinstance(usage, dict):
        # https://console.groq.com/docs/api-reference: in the last event of a stream.
        groq = data.get("x_groq")
        usage = groq.get("usage") if isinstance(groq, dict) else None
        if not isinstance(usage, dict):
            return None
    counts = {
        name: usage.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    counts["cached_tokens"] = _detail(usage, "prompt_tokens_details", "cached_tokens")
    counts["reasoning_tokens"] = _detail(usage, "completion_tokens_details", "reasoning_tokens")
    if counts["cached_tokens"] is None:
        # https://api-docs.deepseek.com/guides/kv_cache
        counts["cached_tokens"] = usage.get("prompt_cache_hit_tokens")
    found = {
        name: value
        for name, value in counts.items()
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0
    }
    return found if "prompt_tokens" in found or "completion_tokens" in found else None


def _detail(usage: Mapping[str, Any], group: str, name: str) -> Any:
    details = usage.get(group)
    return details.get(name) if isinstance(details, dict) else None


def _first_choice(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = data.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return None


def _reasoning(message: Mapping[str, Any]) -> str:
    # DeepSeek and vLLM say `reasoning_content`, OpenRouter and Groq `reasoning`.
    given = message.get("reasoning_content") or message.get("reasoning")
    return _text(given) if given else ""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None

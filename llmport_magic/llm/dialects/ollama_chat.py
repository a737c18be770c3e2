"""The chat format of Ollama: its own endpoint, one JSON object a line, not OpenAI's.

Reference: https://github.com/ollama/ollama/blob/main/docs/api.md and
https://docs.ollama.com/openapi.yaml (read 2026-11-21).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from llmport_magic.errors import UsageError
from llmport_magic.llm.json_replies import instructed
from llmport_magic.llm.messages import LLMRole, Message
from llmport_magic.llm.reply import Chunk, ToolCallDelta
from llmport_magic.llm.think_tag import ThinkTag
from llmport_magic.llm.tools import Tool
from llmport_magic.llm.wire import (
    Call,
    ErrorDetails,
    WireRequest,
    counts,
    kept,
    mapping,
    sizes,
    string,
)

# Only the hosted service wants a key; https://docs.ollama.com/api/authentication
KEY_HEADER = "authorization"
KEY_PREFIX = "Bearer "
FRAMING = "ndjson"
END_OF_STREAM: bytes | None = None
MODELS_PATH = "api/tags"
DEFAULT_PATH = ""

# What stands beside `options` in a request, not in it.
_TOP_LEVEL = frozenset({"keep_alive", "think", "truncate", "shift", "logprobs", "top_logprobs"})
_FINISH = {"stop": "stop", "length": "length", "load": "stop", "unload": "stop"}
_MISSING = re.compile(r"model ['\"]?(?P<name>[^'\"\s]+)['\"]? not found", re.IGNORECASE)
_CANNOT_THINK = re.compile(r"does not support thinking", re.IGNORECASE)
_EMBEDDING_FAMILIES = frozenset({"bert", "nomic-bert", "nomic-bert-moe"})
_THINKING = "ollama_thinking"


def build_request(call: Call) -> WireRequest:
    """Write a chat request; what is `None` is left out, and 0 and -1 are not.

    Raises:
        UsageError: a picture is an address, or a tool is demanded: Ollama takes neither.
    """
    given = kept(call.options)
    extra = dict(call.extra)
    top = {name: given.pop(name) for name in list(given) if name in _TOP_LEVEL}
    sampling = {
        "num_predict": call.max_tokens,
        "temperature": call.temperature,
        "top_p": call.top_p,
        "seed": call.seed,
        "stop": list(call.stop) or None,
    }
    options = {**kept(sampling), **given, **(extra.pop("options", None) or {})}
    body: dict[str, Any] = {
        "model": call.model,
        "messages": _messages(call),
        # Without it Ollama streams.
        "stream": call.stream,
        "format": call.json_schema or ("json" if call.json_mode else None),
        "tools": _tools(call),
        "options": options or None,
        **top,
    }
    return WireRequest(path="api/chat", body={**kept(body, call.refused), **extra})


def _tools(call: Call) -> list[dict[str, Any]] | None:
    """Write the tools; https://docs.ollama.com/capabilities/tool-calling knows no choice."""
    if call.tool_choice not in ("", "auto", "none"):
        raise UsageError(
            f"Ollama cannot be told to call a tool (`tool_choice={call.tool_choice!r}`): leave it "
            "out and say it in the prompt"
        )
    if not call.tools or call.tool_choice == "none":
        return None
    return [_tool(tool) for tool in call.tools]


def _tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": function}


def _messages(call: Call) -> list[dict[str, Any]]:
    asked = {c.id: c.name for message in call.messages for c in message.tool_calls}
    # It must be said, too: https://github.com/ollama/ollama/blob/main/docs/api.md#json-mode
    given = instructed(call.messages, call.json_schema) if call.json_mode else call.messages
    messages = [_message(message, asked) for message in given]
    if call.prefill:
        # A last message of the assistant is continued.
        messages.append({"role": "assistant", "content": call.prefill})
    return messages


def _message(message: Message, asked: Mapping[str, str]) -> dict[str, Any]:
    written: dict[str, Any] = {"role": str(message.role), "content": message.content}
    if message.images:
        written["images"] = _images(message)
    thoughts = [b["text"] for b in message.thinking if b.get("type") == _THINKING]
    if thoughts:
        written["thinking"] = "".join(thoughts)
    if message.tool_calls:
        written["tool_calls"] = [
            {
                "type": "function",
                "id": call.id,
                "function": {
                    "index": index,
                    "name": call.name,
                    "arguments": dict(call.arguments),
                },
            }
            for index, call in enumerate(message.tool_calls)
        ]
    if message.role == LLMRole.TOOL:
        written["tool_name"] = message.name or asked.get(message.tool_call_id or "", "")
        written["tool_call_id"] = message.tool_call_id or ""
    return written


def _images(message: Message) -> list[str]:
    """Write the pictures; https://docs.ollama.com/capabilities/vision takes base64 only."""
    for image in message.images:
        if image.url:
            raise UsageError(
                "Ollama does not fetch pictures: send the bytes, with `Image.from_file(path)` or "
                "`Image(data=...)`"
            )
    return [image.base64 for image in message.images]


def read_reply(data: Mapping[str, Any]) -> Chunk:
    """Read a whole answer.

    Raises:
        ValueError: it holds no message.
    """
    chunk = Reader().read({**data, "done": True}, "")
    if chunk is None or not isinstance(data.get("message"), Mapping):
        raise ValueError("the answer has no `message`")
    return chunk


class Reader:
    """Reads the lines of one stream; the one that is `done` has the counts and the reason."""

    def __init__(self) -> None:
        self._finished = False
        self._calls = 0
        self._thoughts: list[str] = []
        self._tag: ThinkTag | None = ThinkTag()

    @property
    def complete(self) -> bool:
        """Whether the line that is `done` has come."""
        return self._finished

    def read(self, data: Mapping[str, Any], event: str) -> Chunk | None:
        """Read one line; `None` where it holds nothing of the answer."""
        message = mapping(data.get("message"))
        text = string(message.get("content")) or ""
        reasoning = string(message.get("thinking")) or ""
        calls = self._tool_calls(message.get("tool_calls"))
        if reasoning:
            self._thoughts.append(reasoning)
        if self._tag is not None:
            # One that tells thoughts apart itself has a field for them.
            last, plain = data.get("done") is True, bool(reasoning)
            text, thought = self._tag.split(text, last=last, plain=plain)
            reasoning += thought
            self._tag = None if self._tag.over else self._tag
        if data.get("done") is not True:
            if not text and not reasoning and not calls:
                return None
            return Chunk(text, reasoning, model=data.get("model"), tool_calls=calls)
        self._finished = True
        raw = string(data.get("done_reason"))
        thoughts = "".join(self._thoughts)
        return Chunk(
            text,
            reasoning,
            finish_reason(raw),
            read_usage(data),
            raw,
            string(data.get("model")),
            calls,
            ({"type": _THINKING, "text": thoughts},) if thoughts else (),
        )

    def _tool_calls(self, given: Any) -> tuple[ToolCallDelta, ...]:
        """Read the calls of one line, which are whole; their own index restarts in some models."""
        if not isinstance(given, list) or not given:
            return ()
        deltas = []
        for call in given:
            function = mapping(mapping(call).get("function"))
            if not function:
                continue
            arguments = function.get("arguments") or ""
            if not isinstance(arguments, str):
                arguments = json.dumps(arguments, ensure_ascii=False)
            deltas.append(
                ToolCallDelta(
                    index=self._calls,
                    id=string(call.get("id")) or "",
                    name=string(function.get("name")) or "",
                    arguments=arguments,
                )
            )
            self._calls += 1
        return tuple(deltas)


def stream_reader() -> Reader:
    """Make a reader for one stream."""
    return Reader()


def finish_reason(raw: str | None) -> str:
    """Normalise the reason of a line that is done; early versions gave none."""
    return _FINISH.get(raw or "", "stop")


def read_usage(data: Mapping[str, Any]) -> dict[str, int] | None:
    """Read the token counts; https://docs.ollama.com/api/usage.

    A server may leave out the count of a cached prompt
    (https://github.com/ollama/ollama/issues/2068); one that tells the cached part counts it in
    the prompt's, too (https://github.com/ollama/ollama/pull/17943).
    """
    found = counts(
        {
            "prompt_tokens": data.get("prompt_eval_count"),
            "completion_tokens": data.get("eval_count"),
            "cached_tokens": data.get("prompt_eval_cached_count"),
        }
    )
    return found or None


def read_error(data: Any) -> ErrorDetails | None:
    """Read `{"error": "..."}`, with any status and as a line of a stream.

    https://docs.ollama.com/api/errors
    """
    data = mapping(data)
    error = data.get("error")
    if isinstance(error, Mapping):
        # What stands before a hosted server may use the words of OpenAI.
        error = error.get("message") or json.dumps(dict(error))
    if not isinstance(error, str) or not error:
        return None
    status = data.get("status") or data.get("status_code")
    return ErrorDetails(
        message=error,
        status=status if type(status) is int else None,
        advice=_advice(error, data),
    )


def _advice(error: str, data: Mapping[str, Any]) -> str:
    missing = _MISSING.search(error)
    if missing:
        return f"run `ollama pull {missing['name']}`, or name one that `ollama list` shows"
    if data.get("signin_url"):
        # A model of the cloud, asked through the local server.
        return "run `ollama signin`"
    return ""


def refused_parameter(error: ErrorDetails, body: Mapping[str, Any]) -> str | None:
    """Name `think`, where the model cannot; other options that it does not know it ignores."""
    return "think" if "think" in body and _CANNOT_THINK.search(error.message) else None


def describe_requests(model: str) -> tuple[WireRequest, ...]:
    """Ask for the model: https://docs.ollama.com/api-reference/show-model-details."""
    return (WireRequest(path="api/show", body={"model": model}),)


def read_model(data: Any, model: str) -> Mapping[str, Any] | None:  # not named there
    """Read what `/api/show` says.

    The window is the model's; what the server makes of it is the option `num_ctx`. A model that
    can think does so unless it is told not to, and every model can be held to JSON.
    """
    row = mapping(data)
    abilities = row.get("capabilities")
    if not isinstance(row.get("details"), Mapping):
        return None
    told: dict[str, Any] = {"json_mode": True}
    if isinstance(abilities, list):
        if "completion" not in abilities:
            return None
        words = {"vision": "vision", "tools": "tools", "reasoning": "thinking"}
        told |= {ours: theirs in abilities for ours, theirs in words.items()}
    known = mapping(row.get("model_info"))
    window = known.get(f"{known.get('general.architecture')}.context_length")
    return told | sizes({"max_context_window": window})


def read_models(data: Any) -> tuple[str, ...]:
    """Read the answer of `/api/tags`; models that only embed are left out."""
    rows = mapping(data).get("models")
    return tuple(_names(rows)) if isinstance(rows, list) else ()


def _names(rows: list[Any]) -> Iterable[str]:
    for row in rows:
        model = mapping(row)
        name = string(model.get("model")) or string(model.get("name"))
        # Newer servers say what a model can do, older ones only of which family it is.
        abilities = model.get("capabilities")
        if isinstance(abilities, list) and abilities:
            chats = "completion" in abilities
        else:
            chats = mapping(model.get("details")).get("family") not in _EMBEDDING_FAMILIES
        if name and chats:
            yield name

"""Requests of the chat completions format."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llmport_magic.llm.json_replies import instructed
from llmport_magic.llm.messages import Message, ToolCall
from llmport_magic.llm.tools import Tool
from llmport_magic.llm.wire import Call, WireRequest, kept

# https://platform.openai.com/docs/guides/structured-outputs (read 2026-11-21): what `strict` has
# no room for.
_NOT_STRICT = frozenset(
    {"allOf", "not", "oneOf", "if", "then", "else", "dependentRequired", "dependentSchemas"}
    | {"patternProperties", "unevaluatedProperties"}
)


def build_request(call: Call) -> WireRequest:
    """Write a chat completion request; what is `None` is left out."""
    limit = "max_completion_tokens" if "max_tokens" in call.refused else "max_tokens"
    shape = _response_format(call)
    body: dict[str, Any] = {
        "model": call.model,
        "messages": _messages(call, shape),
        limit: call.max_tokens,
        "temperature": call.temperature,
        "top_p": call.top_p,
        "seed": call.seed,
        "stop": list(call.stop) or None,
        "tools": [_tool(tool) for tool in call.tools] or None,
        "tool_choice": _tool_choice(call),
        "response_format": shape,
    }
    if call.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    fields = kept(body, call.refused)
    if call.tools and "reasoning_effort" in call.refused:
        fields["reasoning_effort"] = "none"
    return WireRequest(path="chat/completions", body={**fields, **call.options, **call.extra})


def _messages(call: Call, shape: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    # https://api-docs.deepseek.com/guides/thinking_mode (read 2026-11-21): where there are tools,
    # what the model thought must be sent back; otherwise it is not looked at.
    looped = bool(call.tools) or any(message.tool_calls for message in call.messages)
    messages: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    for message in _worded(call, shape):
        if message.role != "tool" and shown:
            messages.append({"role": "user", "content": shown})
            shown = []
        messages.append(_message(message, call, looped=looped))
        if message.role == "tool":
            shown += _pictures(message)
    if shown:
        messages.append({"role": "user", "content": shown})
    if call.prefill:
        # https://api-docs.deepseek.com/guides/chat_prefix_completion
        messages.append({"role": "assistant", "content": call.prefill, "prefix": True})
    return messages


def _message(message: Message, call: Call, *, looped: bool) -> dict[str, Any]:
    if message.role == "tool":
        # A tool's message takes texts only: its pictures follow as the user's.
        number = message.tool_call_id or ""
        return {"role": "tool", "tool_call_id": number, "content": message.content}
    content = _content(message)
    written: dict[str, Any] = {"role": str(message.role), "content": content}
    if message.name is not None:
        written["name"] = message.name
    if message.tool_calls:
        # "Required unless tool_calls is specified": null where there is no text.
        written["content"] = content or None
        written["tool_calls"] = [_tool_call(asked) for asked in message.tool_calls]
    return written | kept(_thinking(message, looped=looped), call.refused)


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.content
    text = [{"type": "text", "text": message.content}] if message.content else []
    return _pictures(message) + text


def _pictures(message: Message) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": image.address}} for image in message.images]


def _tool_call(asked: ToolCall) -> dict[str, Any]:
    # vLLM fails on arguments that are no JSON (`_postprocess_messages` in
    # https://github.com/vllm-project/vllm); the tool's result says what was wrong with them.
    usable = asked.text.strip() and asked.error is None
    arguments = asked.text if usable else json.dumps(dict(asked.arguments))
    return {
        "id": asked.id,
        "type": "function",
        "function": {"name": asked.name, "arguments": arguments},
    }


def _thinking(message: Message, *, looped: bool) -> dict[str, Any]:
    """Give back what servers of this format want back; other formats' blocks are passed over."""
    # https://openrouter.ai/docs/guides/best-practices/reasoning-tokens (read 2026-11-21): the
    # blocks come back as they were, in their order.
    details = [
        block for block in message.thinking if str(block.get("type")).startswith("reasoning.")
    ]
    fields: dict[str, Any] = {"reasoning_details": details or None}
    for block in message.thinking if looped else ():
        fields |= {
            name: block[name] for name in ("reasoning_content", "reasoning") if name in block
        }
    return fields


def _tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description or None,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": kept(function)}


def _tool_choice(call: Call) -> str | dict[str, Any] | None:
    if not call.tools or not call.tool_choice:
        return None
    if call.tool_choice in ("auto", "none", "required"):
        return call.tool_choice
    return {"type": "function", "function": {"name": call.tool_choice}}


def _response_format(call: Call) -> dict[str, Any] | None:
    """Write the strongest wish for JSON that the model is not known to refuse."""
    schema = call.json_schema
    if schema is not None and "json_schema" not in call.refused:
        name = re.sub(r"[^a-zA-Z0-9_-]+", "_", str(schema.get("title") or ""))[:64] or "answer"
        wanted = {"name": name, "schema": schema, "strict": _strict(schema)}
        return {"type": "json_schema", "json_schema": wanted}
    if (call.json_mode or schema is not None) and "response_format" not in call.refused:
        return {"type": "json_object"}
    return None


def _worded(call: Call, shape: Mapping[str, Any] | None) -> Sequence[Message]:
    """Say in words what the request's fields do not say.

    OpenAI answers 400 to `json_object` unless some message has the word; DeepSeek and Groq ask
    for it, too: https://platform.openai.com/docs/guides/structured-outputs#json-mode.
    """
    said = shape is not None and shape["type"] == "json_schema"
    if said or not (call.json_mode or call.json_schema):
        return call.messages
    return instructed(call.messages, call.json_schema)


def _strict(schema: Any, *, root: bool = True) -> bool:
    """Whether `strict` takes a schema: every object is closed and needs all of its fields."""
    if isinstance(schema, list):
        return all(_strict(part, root=False) for part in schema)
    if not isinstance(schema, Mapping):
        return True
    if root and schema.get("type") != "object":
        return False
    if _NOT_STRICT & schema.keys():
        return False
    fields = schema.get("properties") or {}
    if schema.get("type") == "object" or fields:
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required") or ()) != set(fields):
            return False
    inner = [*fields.values(), *(schema.get("$defs") or schema.get("definitions") or {}).values()]
    inner += [schema.get("items"), *(schema.get("anyOf") or ())]
    return all(_strict(part, root=False) for part in inner)

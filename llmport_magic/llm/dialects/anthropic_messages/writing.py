"""Requests of the messages format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from llmport_magic.llm.json_replies import instructed
from llmport_magic.llm.messages import Image, LLMRole, Message
from llmport_magic.llm.tools import Tool
from llmport_magic.llm.wire import Call, WireRequest, kept, mapping

# The version of 2026-10-21 has no `temperature` and no `top_p` at all, which older models take:
# https://platform.claude.com/docs/en/api/migration-2026-10-21.
_HEADERS = MappingProxyType({"anthropic-version": "2023-06-01"})
# Every request must say how long the answer may be.
_MAX_TOKENS = 4096
_HOTTEST = 1.0
# The first turn must be the user's, and a model without prefill wants the last one to be, too.
_GO_ON = "Continue the conversation."

# Blocks of what a model thought, with the field that makes each what it is.
THOUGHTS = {"thinking": "thinking", "redacted_thinking": "data"}
# What a model may refuse that is no field of its own, as `Call.refused` names it.
BOTH = "temperature with top_p"
FORCED = "forced tool_choice"
FORMAT = "output_config.format"
PREFILL = "prefill"

# https://platform.claude.com/docs/en/build-with-claude/structured-outputs (read 2026-11-21): the
# words of JSON schema that the format checks. As in the vendor's SDKs, others are told in words.
_CHECKED = frozenset({"$ref", "type", "enum", "const", "title", "description", "required"})
_CHECKED_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_ILLEGAL_ID = re.compile(r"[^a-zA-Z0-9_-]")


def build_request(call: Call) -> WireRequest:
    """Write a request for a message; what is `None` is left out.

    `max_tokens` is the model's limit where the call sets none, 4,096 where that is not known, too.
    A temperature above 1 is sent as 1, the highest. There is no `seed` in this format.
    """
    options = dict(call.options)
    config = {**_format(call), **mapping(options.pop("output_config", None))}
    fields = {
        "model": call.model,
        "max_tokens": _longest(call),
        "system": _system(call) or None,
        "messages": _turns(call),
        "temperature": _temperature(call),
        "top_p": call.top_p,
        "stop_sequences": list(call.stop) or None,
        "tools": [_tool(tool) for tool in call.tools] or None,
        "tool_choice": _tool_choice(call),
        "output_config": config or None,
        "stream": call.stream or None,
        **options,
    }
    return WireRequest(
        path="messages", body={**kept(fields, call.refused), **call.extra}, headers=_HEADERS
    )


def _longest(call: Call) -> int:
    if call.max_tokens is not None:
        return call.max_tokens
    return call.output_limit or _MAX_TOKENS


def _temperature(call: Call) -> float | None:
    # https://platform.claude.com/docs/en/build-with-claude/extended-thinking: a model that is told
    # to think takes no other temperature than its own.
    thinking = mapping({**call.options, **call.extra}.get("thinking")).get("type")
    if call.temperature is None or thinking in ("enabled", "adaptive"):
        return None
    if call.top_p is not None and BOTH in call.refused:
        return None
    return min(call.temperature, _HOTTEST)


def _system(call: Call) -> str:
    given: Iterable[Message] = call.messages
    if call.json_mode and not _format(call):
        # There is no flag for JSON without a schema.
        given = instructed(given, call.json_schema)
    said = [message.content for message in given if message.role == LLMRole.SYSTEM]
    if call.tools and _forces(call) and FORCED in call.refused:
        what = "one of the tools" if call.tool_choice == "required" else f"`{call.tool_choice}`"
        said.append(f"Answer by calling {what}, not in words.")
    return "\n\n".join(text for text in said if text.strip())


def _turns(call: Call) -> list[dict[str, Any]]:
    """Write the conversation in turns that alternate, as the format wants them."""
    messages = _with_own_ids(call.messages)
    if call.prefill:
        messages.append(Message(LLMRole.ASSISTANT, call.prefill))
    turns: list[dict[str, Any]] = []
    for message in messages:
        blocks = [] if message.role == LLMRole.SYSTEM else _blocks(message)
        role = "assistant" if message.role == LLMRole.ASSISTANT else "user"
        if blocks and turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns or turns[0]["role"] == "assistant":
        turns.insert(0, _user(_GO_ON))
    last = turns[-1]["content"][-1]
    if turns[-1]["role"] == "assistant" and PREFILL in call.refused and not call.prefill:
        turns.append(_user(_GO_ON))
    elif turns[-1]["role"] == "assistant" and last["type"] == "text":
        # The text that the model goes on from may not end in white space.
        last["text"] = last["text"].rstrip()
    for turn in turns:
        # Results stand before anything else that the user says.
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return turns


def _with_own_ids(messages: Iterable[Message]) -> list[Message]:
    """Give each call of a conversation an id that is legal and its own.

    A conversation may have begun with another provider, whose ids have other characters, or whose
    calls are counted anew in each answer; the format refuses both.
    """
    times: Counter[str] = Counter()
    latest: dict[str, str] = {}
    given = []
    for message in messages:
        calls = []
        for call in message.tool_calls:
            legal = _ILLEGAL_ID.sub("_", call.id) or "call"
            times[legal] += 1
            latest[call.id] = legal if times[legal] == 1 else f"{legal}_{times[legal]}"
            calls.append(replace(call, id=latest[call.id]))
        answers = message.tool_call_id or ""
        answers = latest.get(answers, answers)
        given.append(replace(message, tool_calls=tuple(calls), tool_call_id=answers))
    return given


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def _blocks(message: Message) -> list[dict[str, Any]]:
    """Write what one message says; an empty text is refused, so it is left out."""
    blocks = [dict(block) for block in message.thinking if is_thought(block)]
    blocks += [_image(image) for image in message.images]
    if message.content.strip():
        blocks.append({"type": "text", "text": message.content})
    if message.role == LLMRole.TOOL:
        result = {"type": "tool_result", "tool_use_id": message.tool_call_id or ""}
        return [{**result, "content": blocks} if blocks else result]
    return blocks + [
        {
            "type": "tool_use",
            "id": call.id,
            "name": call.name,
            "input": dict(call.arguments),
        }
        for call in message.tool_calls
    ]


def is_thought(block: Mapping[str, Any]) -> bool:
    """Tell the blocks of this format from what other providers want back."""
    return THOUGHTS.get(str(block.get("type")), "?") in block


def _image(image: Image) -> dict[str, Any]:
    if image.url:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    source = {"type": "base64", "media_type": image.media_type, "data": image.base64}
    return {"type": "image", "source": source}


def _tool(tool: Tool) -> dict[str, Any]:
    schema = {"type": "object", **tool.parameters}
    return kept(
        {"name": tool.name, "description": tool.description or None, "input_schema": schema}
    )


def _forces(call: Call) -> bool:
    return call.tool_choice not in ("", "auto", "none")


def _tool_choice(call: Call) -> dict[str, Any] | None:
    if not call.tools or not call.tool_choice:
        return None
    if _forces(call) and FORCED in call.refused:
        return {"type": "auto"}
    kinds = {"auto": "auto", "none": "none", "required": "any"}
    kind = kinds.get(call.tool_choice)
    return {"type": kind} if kind else {"type": "tool", "name": call.tool_choice}


def _format(call: Call) -> dict[str, Any]:
    schema = call.json_schema
    if not schema or FORMAT in call.refused or _takes_any_field(schema):
        return {}
    return {"format": {"type": "json_schema", "schema": _closed(schema)}}


def _takes_any_field(schema: Any) -> bool:
    """Tell whether an object of a schema has fields of any name, which the format cannot say."""
    if isinstance(schema, Mapping):
        named = schema.get("additionalProperties") or schema.get("patternProperties")
        return bool(named) or any(map(_takes_any_field, schema.values()))
    return isinstance(schema, list) and any(map(_takes_any_field, schema))


def _closed(schema: Any) -> Any:
    """Give a schema as the format takes it: objects closed, what is not checked in words."""
    if not isinstance(schema, Mapping):
        return schema
    given: dict[str, Any] = {}
    told = []
    for word, value in schema.items():
        if word in ("properties", "$defs", "definitions"):
            given[word] = {name: _closed(part) for name, part in mapping(value).items()}
        elif word in ("anyOf", "allOf", "oneOf"):
            given[word.replace("one", "any")] = [_closed(part) for part in value]
        elif word == "items":
            given[word] = _closed(value)
        elif _is_checked(word, value):
            given[word] = value
        elif word not in ("$schema", "$id", "additionalProperties"):
            told.append(f"{word}: {value}")
    if told:
        words = f"{{{', '.join(told)}}}"
        given["description"] = " ".join(filter(None, (given.get("description"), words)))
    if given.get("type") == "object" or "properties" in given:
        given["additionalProperties"] = False
    return given


def _is_checked(word: str, value: Any) -> bool:
    if word == "minItems":
        return value in (0, 1)
    return word in _CHECKED or (word == "format" and value in _CHECKED_FORMATS)

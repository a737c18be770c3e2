"""Requests of the generateContent format."""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

from llmport_magic.errors import UsageError
from llmport_magic.llm.json_replies import instructed
from llmport_magic.llm.messages import LLMRole, Message, ToolCall
from llmport_magic.llm.wire import Call, WireRequest, kept

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_JSON_FLAGS = {"responseMimeType", "responseJsonSchema"}
_MOST_STOPS = 5
# What a call without an id is given here, so that its result can name it; the API never saw it.
_MADE_UP_ID = re.compile(r"call_\d+")
# For calls that another model asked for, or whose signature is lost:
# https://ai.google.dev/gemini-api/docs/thought-signatures (read 2026-11-21)
_NO_SIGNATURE = "skip_thought_signature_validator"


def build_request(call: Call) -> WireRequest:
    """Write a request; what is `None` is left out.

    Raises:
        UsageError: there are more stop texts than the API takes.
    """
    if len(call.stop) > _MOST_STOPS:
        raise UsageError(
            f"`{call.model}` takes at most {_MOST_STOPS} stop texts, not {len(call.stop)}: leave "
            "some out"
        )
    if call.json_mode and call.refused & _JSON_FLAGS:
        call = replace(call, messages=tuple(instructed(call.messages, call.json_schema)))
    collection, _, name = call.model.rpartition("/")
    if collection not in ("models", "tunedModels"):
        collection, name = "models", call.model
    action = "streamGenerateContent?alt=sse" if call.stream else "generateContent"
    body = {
        "systemInstruction": _instruction(call),
        "contents": _contents(call),
        "tools": [{"functionDeclarations": _declarations(call)}] if call.tools else None,
        "toolConfig": _tool_config(call.tool_choice),
        **call.extra,
        "generationConfig": _settings(call) or None,
    }
    return WireRequest(path=f"{collection}/{quote(name, safe='')}:{action}", body=kept(body))


def _settings(call: Call) -> dict[str, Any]:
    as_json = call.json_mode and "responseMimeType" not in call.refused
    settings = {
        "maxOutputTokens": call.max_tokens,
        "temperature": call.temperature,
        "topP": call.top_p,
        "seed": call.seed,
        "stopSequences": list(call.stop) or None,
        "responseMimeType": "application/json" if as_json else None,
        "responseJsonSchema": call.json_schema if as_json else None,
        **call.options,
        # As a whole it would take the place of all of these.
        **(call.extra.get("generationConfig") or {}),
    }
    return kept(settings, call.refused)


def _declarations(call: Call) -> list[dict[str, Any]]:
    return [
        kept(
            {
                "name": tool.name,
                "description": tool.description or None,
                # The older `parameters` takes a part of JSON schema and refuses the rest; an
                # object without properties is refused, too.
                "parametersJsonSchema": tool.parameters
                if tool.parameters.get("properties")
                else None,
            }
        )
        for tool in call.tools
    ]


def _tool_config(choice: str) -> dict[str, Any] | None:
    if not choice:
        return None
    if choice in _MODES:
        return {"functionCallingConfig": {"mode": _MODES[choice]}}
    return {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [choice]}}


def _instruction(call: Call) -> dict[str, Any] | None:
    if "systemInstruction" in call.refused:
        return None
    messages = (message for message in call.messages if message.role == LLMRole.SYSTEM)
    parts = [part for message in messages for part in _parts(message)]
    return {"parts": parts} if parts else None


def _contents(call: Call) -> list[dict[str, Any]]:
    """Write the turns: the API wants `user` and `model` in turn, and no other role."""
    messages = list(call.messages)
    if call.prefill:
        messages.append(Message(LLMRole.ASSISTANT, call.prefill))
    names = {asked.id: asked.name for message in messages for asked in message.tool_calls}
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = "user"
        if message.role == LLMRole.ASSISTANT:
            role = "model"
            parts = _answer(message, sign="thoughtSignature" in call.refused)
        elif message.role == LLMRole.TOOL:
            parts = [_result(message, names), *_pictures(message)]
        elif message.role == LLMRole.SYSTEM and "systemInstruction" not in call.refused:
            continue
        else:
            parts = _parts(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"] += parts
        else:
            turns.append({"role": role, "parts": parts})
    return turns


def _parts(message: Message) -> list[dict[str, Any]]:
    parts = _pictures(message)
    if message.content or not parts:
        parts.append({"text": message.content})
    return parts


def _pictures(message: Message) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for image in message.images:
        if image.url:
            # Any public https address: https://ai.google.dev/gemini-api/docs/file-input-methods
            kind, _ = mimetypes.guess_type(urlsplit(image.url).path)
            file = {"mimeType": kind or image.media_type, "fileUri": image.url}
            parts.append({"fileData": file})
        else:
            parts.append({"inlineData": {"mimeType": image.media_type, "data": image.base64}})
    return parts


def _answer(message: Message, *, sign: bool) -> list[dict[str, Any]]:
    """Write an answer as it came: a signature goes back on the part that it stood on."""
    # What other providers want back has no `thoughtSignature`.
    signed = [dict(block) for block in message.thinking if "thoughtSignature" in block]
    parts = [block for block in signed if block.get("thought")]
    content, done = message.content, 0
    for block in signed:
        text = str(block.get("text") or "")
        at = block.pop("at", len(content) - len(text))
        if block.get("thought") or at < done or content[at : at + len(text)] != text:
            continue
        if at > done:
            parts.append({"text": content[done:at]})
        parts.append(block)
        done = at + len(text)
    calls = [_call(asked) for asked in message.tool_calls]
    if sign and calls and not any("thoughtSignature" in part for part in calls):
        calls[0]["thoughtSignature"] = _NO_SIGNATURE
    if content[done:] or not (parts or calls):
        parts.append({"text": content[done:]})
    return parts + calls


def _call(asked: ToolCall) -> dict[str, Any]:
    function = {**_identity(asked.id), "name": asked.name, "args": dict(asked.arguments)}
    return kept({"functionCall": function, "thoughtSignature": asked.signature or None})


def _result(message: Message, names: Mapping[str, str]) -> dict[str, Any]:
    identity = message.tool_call_id or ""
    try:
        response = json.loads(message.content)
    except (ValueError, RecursionError):
        response = None
    if not isinstance(response, dict):
        # It must be an object: https://ai.google.dev/api/caching#FunctionResponse
        response = {"output": message.content}
    name = message.name or names.get(identity, "")
    return {"functionResponse": {**_identity(identity), "name": name, "response": response}}


def _identity(given: str) -> dict[str, str]:
    return {} if not given or _MADE_UP_ID.fullmatch(given) else {"id": given}

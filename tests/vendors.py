"""The formats of the vendors, as the loopback server writes them: one small class for each.

Each writes whole answers, streams, tool calls and errors in the words of one wire format, so that
one contract can be held against every dialect. What is written follows the documented shapes:
`whole` answers, `stream`s, `error`s, and a `broken_stream` that fails after some text; `FINISH`
has the reasons for an end and ours for them; `prompt_of` reads a request back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from asking import KEY, PATIENT, no_wait
from loopback import DONE, Loopback, Script, data, event, events, raw

from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy

PROMPT, COMPLETION = 7, 3
# The arguments that a model gives, and the pieces in which a stream brings them.
Call = tuple[str, str, dict[str, Any]]


class OpenAIChat:
    """Chat completions."""

    dialect = "openai_chat"
    root = "/v1"
    key_header = "authorization"

    def whole(
        self, text: str, *, finish: str = "stop", calls: Sequence[Call] = (), thought: str = ""
    ) -> Script:
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if thought:
            message["reasoning_content"] = thought
        if calls:
            message["tool_calls"] = [
                _openai_call(*call) | {"index": n} for n, call in enumerate(calls)
            ]
        choice = {"index": 0, "message": message, "finish_reason": finish}
        body = {"object": "chat.completion", "model": "m-1", "choices": [choice]}
        return _json({**body, "usage": self._usage()})

    def stream(
        self,
        *pieces: str,
        finish: str | None = "stop",
        calls: Sequence[Call] = (),
        thought: str = "",
    ) -> Script:
        steps = []
        if thought:
            steps.append(_delta({"reasoning_content": thought}))
        steps += [event(piece) for piece in pieces]
        for number, (id_, name, _) in enumerate(calls):
            opening = {"index": number, "id": id_, "function": {"name": name, "arguments": ""}}
            steps.append(_delta({"tool_calls": [opening]}))
        # The fragments of parallel calls come mixed.
        halves = [_halves(arguments) for _, _, arguments in calls]
        for half in (0, 1):
            for number, both in enumerate(halves):
                fragment = {"index": number, "function": {"arguments": both[half]}}
                steps.append(_delta({"tool_calls": [fragment]}))
        if finish is not None:
            steps += [event(finish=finish), data({"choices": [], "usage": self._usage()}), DONE]
        return events(*steps)

    def error(self, status: int, message: str, headers: dict[str, str] | None = None) -> Script:
        body = {"error": {"message": message, "type": "some_error", "param": None, "code": None}}
        return _json(body, status, headers)

    def broken_stream(self, text: str, message: str) -> Script:
        return events(event(text), data({"error": {"message": message, "code": 500}}))

    FINISH = {
        "stop": "stop",
        "length": "length",
        "tool_calls": "tool_calls",
        "function_call": "tool_calls",
        "content_filter": "content_filter",
    }

    def _usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": PROMPT,
            "completion_tokens": COMPLETION,
            "total_tokens": PROMPT + COMPLETION,
        }

    def prompt_of(self, body: Any) -> list[tuple[str, str]]:
        return [(message["role"], _said(message["content"])) for message in body["messages"]]


class AnthropicMessages:
    """Messages."""

    dialect = "anthropic_messages"
    root = "/v1"
    key_header = "x-api-key"

    def whole(
        self, text: str, *, finish: str = "end_turn", calls: Sequence[Call] = (), thought: str = ""
    ) -> Script:
        content: list[dict[str, Any]] = []
        if thought:
            content.append({"type": "thinking", "thinking": thought, "signature": "sig"})
        if text:
            content.append({"type": "text", "text": text})
        content += [
            {"type": "tool_use", "id": id_, "name": name, "input": arguments}
            for id_, name, arguments in calls
        ]
        usage = {"input_tokens": PROMPT, "output_tokens": COMPLETION}
        return _json(
            {
                "type": "message",
                "role": "assistant",
                "model": "m-1",
                "content": content,
                "stop_reason": "tool_use" if calls else finish,
                "usage": usage,
            }
        )

    def stream(
        self,
        *pieces: str,
        finish: str | None = "end_turn",
        calls: Sequence[Call] = (),
        thought: str = "",
    ) -> Script:
        usage = {"input_tokens": PROMPT, "output_tokens": 1}
        message = {"type": "message", "role": "assistant", "model": "m-1", "content": []}
        steps = [_typed("message_start", message={**message, "usage": usage}), _typed("ping")]
        blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        if thought:
            deltas = [
                {"type": "thinking_delta", "thinking": thought},
                {"type": "signature_delta", "signature": "sig"},
            ]
            blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
        if pieces:
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
            blocks.append(({"type": "text", "text": ""}, deltas))
        for id_, name, arguments in calls:
            opening = {"type": "tool_use", "id": id_, "name": name, "input": {}}
            deltas = [
                {"type": "input_json_delta", "partial_json": half} for half in _halves(arguments)
            ]
            blocks.append((opening, deltas))
        for index, (opening, deltas) in enumerate(blocks):
            steps.append(_typed("content_block_start", index=index, content_block=opening))
            steps += [_typed("content_block_delta", index=index, delta=delta) for delta in deltas]
            if finish is not None:
                steps.append(_typed("content_block_stop", index=index))
        if finish is not None:
            delta = {"stop_reason": "tool_use" if calls else finish, "stop_sequence": None}
            usage = {"output_tokens": COMPLETION}
            steps += [_typed("message_delta", delta=delta, usage=usage), _typed("message_stop")]
        return events(*steps)

    def error(self, status: int, message: str, headers: dict[str, str] | None = None) -> Script:
        body = {"type": "error", "error": {"type": "some_error", "message": message}}
        return _json(body, status, headers)

    def broken_stream(self, text: str, message: str) -> Script:
        whole = self.stream(text, finish=None)
        error = {"type": "overloaded_error", "message": message}
        return events(*whole.steps, _typed("error", error=error))

    FINISH = {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "pause_turn": "length",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "refusal": "content_filter",
    }

    def prompt_of(self, body: Any) -> list[tuple[str, str]]:
        system = [("system", _said(body["system"]))] if "system" in body else []
        return system + [
            (message["role"], _said(message["content"])) for message in body["messages"]
        ]


class GeminiContent:
    """generateContent and streamGenerateContent."""

    dialect = "gemini_content"
    root = "/v1beta"
    key_header = "x-goog-api-key"

    def whole(
        self, text: str, *, finish: str = "STOP", calls: Sequence[Call] = (), thought: str = ""
    ) -> Script:
        return _json(self._body(_gemini_parts([text], calls, thought), finish))

    def stream(
        self,
        *pieces: str,
        finish: str | None = "STOP",
        calls: Sequence[Call] = (),
        thought: str = "",
    ) -> Script:
        parts = _gemini_parts(pieces, calls, thought)
        bodies = [self._body([part], None) for part in parts]
        if finish is not None:
            bodies.append(self._body([{"text": ""}], finish))
        return events(*map(data, bodies))

    def _body(self, parts: list[Any], finish: str | None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
        body: dict[str, Any] = {"candidates": [candidate], "modelVersion": "m-1"}
        if finish is not None:
            candidate["finishReason"] = finish
            body["usageMetadata"] = {
                "promptTokenCount": PROMPT,
                "candidatesTokenCount": COMPLETION,
                "totalTokenCount": PROMPT + COMPLETION,
            }
        return body

    def error(self, status: int, message: str, headers: dict[str, str] | None = None) -> Script:
        body = {"error": {"code": status, "message": message, "status": "SOME_ERROR"}}
        return _json(body, status, headers)

    def broken_stream(self, text: str, message: str) -> Script:
        error = {"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}}
        return events(data(self._body([{"text": text}], None)), data(error))

    FINISH = {
        "STOP": "stop",
        "MAX_TOKENS": "length",
        "SAFETY": "content_filter",
        "RECITATION": "content_filter",
        "BLOCKLIST": "content_filter",
        "PROHIBITED_CONTENT": "content_filter",
        "SPII": "content_filter",
        "MALFORMED_FUNCTION_CALL": "error",
    }

    def prompt_of(self, body: Any) -> list[tuple[str, str]]:
        roles = {"user": "user", "model": "assistant"}
        given = body.get("systemInstruction")
        system = [("system", _said(given["parts"]))] if given else []
        return system + [(roles[turn["role"]], _said(turn["parts"])) for turn in body["contents"]]


class OllamaChat:
    """Ollama's own chat endpoint, one JSON object a line."""

    dialect = "ollama_chat"
    root = ""
    key_header = "authorization"

    def whole(
        self, text: str, *, finish: str = "stop", calls: Sequence[Call] = (), thought: str = ""
    ) -> Script:
        message = _ollama_message(text, calls, thought)
        return _json({"model": "m-1", "message": message, **self._end(finish)})

    def stream(
        self,
        *pieces: str,
        finish: str | None = "stop",
        calls: Sequence[Call] = (),
        thought: str = "",
    ) -> Script:
        messages = [_ollama_message("", (), thought)] if thought else []
        messages += [_ollama_message(piece, (), "") for piece in pieces]
        messages += [_ollama_message("", [call], "") for call in calls]
        steps = [_line({"model": "m-1", "message": each, "done": False}) for each in messages]
        if finish is not None:
            last = _ollama_message("", (), "")
            steps.append(_line({"model": "m-1", "message": last, **self._end(finish)}))
        return Script(steps, 200, {"content-type": "application/x-ndjson"}, chunked=True)

    def _end(self, finish: str) -> dict[str, Any]:
        counts = {"prompt_eval_count": PROMPT, "eval_count": COMPLETION}
        return {"done": True, "done_reason": finish, **counts}

    def error(self, status: int, message: str, headers: dict[str, str] | None = None) -> Script:
        return _json({"error": message}, status, headers)

    def broken_stream(self, text: str, message: str) -> Script:
        steps = [
            _line({"model": "m-1", "message": _ollama_message(text, (), ""), "done": False}),
            _line({"error": message}),
        ]
        return Script(steps, 200, {"content-type": "application/x-ndjson"}, chunked=True)

    FINISH = {"stop": "stop", "length": "length"}

    def prompt_of(self, body: Any) -> list[tuple[str, str]]:
        return [(message["role"], message["content"]) for message in body["messages"]]


VENDORS = (OpenAIChat(), AnthropicMessages(), GeminiContent(), OllamaChat())


def asking(server: Loopback, vendor: Any, **fields: Any) -> LLMProvider:
    """Make a connector that speaks the vendor's dialect to the server."""
    given: dict[str, Any] = {
        "base_url": server.url.removesuffix("/v1") + vendor.root,
        "model": "m",
        "dialect": vendor.dialect,
        "api_key": KEY,
        "api_key_vars": ("VENDOR_API_KEY",),
        "provider": "vendor",
        "retry": RetryPolicy(sleep=no_wait),
        "timeout_ms": 600_000,
        "limits": PATIENT,
    }
    return LLMProvider(LLMConfig(**{**given, **fields}))


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Script:
    return raw(json.dumps(body), status=status, headers=headers)


def _line(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode() + b"\n"


def _typed(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\n".encode() + data({"type": kind, **fields})


def _delta(delta: dict[str, Any]) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return data({"object": "chat.completion.chunk", "model": "m-1", "choices": [choice]})


def _halves(arguments: dict[str, Any]) -> tuple[str, str]:
    text = json.dumps(arguments)
    return text[: len(text) // 2], text[len(text) // 2 :]


def _openai_call(id_: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": id_, "type": "function", "function": function}


def _gemini_parts(pieces: Sequence[str], calls: Sequence[Call], thought: str) -> list[Any]:
    parts: list[Any] = [{"text": thought, "thought": True}] if thought else []
    parts += [{"text": piece} for piece in pieces if piece]
    return parts + [
        {"functionCall": {"id": id_, "name": name, "args": arguments}}
        for id_, name, arguments in calls
    ]


def _ollama_message(text: str, calls: Sequence[Call], thought: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if thought:
        message["thinking"] = thought
    if calls:
        message["tool_calls"] = [
            {"function": {"name": name, "arguments": arguments}} for _, name, arguments in calls
        ]
    return message


def _said(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())

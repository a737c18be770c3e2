"""The plain completions format of OpenAI: a text that the model continues, no conversation.

Reference: https://platform.openai.com/docs/api-reference/completions (read 2026-11-21). Replies,
stream events and errors have the shapes of the chat format, with `text` in the place of a message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmport_magic.errors import UsageError
from llmport_magic.llm.dialects.openai_chat import (
    DEFAULT_PATH,
    END_OF_STREAM,
    FRAMING,
    KEY_HEADER,
    KEY_PREFIX,
    MODELS_PATH,
    describe_requests,
    read_error,
    read_model,
    read_models,
    read_reply,
    refused_parameter,
    stream_reader,
)
from llmport_magic.llm.json_replies import instructed
from llmport_magic.llm.messages import Message
from llmport_magic.llm.wire import Call, WireRequest, kept

__all__ = [
    "DEFAULT_PATH",
    "END_OF_STREAM",
    "FRAMING",
    "KEY_HEADER",
    "KEY_PREFIX",
    "MODELS_PATH",
    "build_request",
    "describe_requests",
    "read_error",
    "read_model",
    "read_models",
    "read_reply",
    "refused_parameter",
    "stream_reader",
]


def build_request(call: Call) -> WireRequest:
    """Write a completion request; the text to continue is what all messages say, in order.

    Raises:
        UsageError: there are tools, for which the format has no words.
    """
    if call.tools:
        raise UsageError("the completions format knows no tools: ask a model that converses")
    messages: Iterable[Message] = call.messages
    if call.json_mode:
        messages = instructed(call.messages, call.json_schema)
    between = "\n\n" if call.json_mode else ""
    body: dict[str, Any] = {
        "model": call.model,
        "prompt": between.join(message.content for message in messages) + (call.prefill or ""),
        "max_tokens": call.max_tokens,
        "temperature": call.temperature,
        "top_p": call.top_p,
        "seed": call.seed,
        "stop": list(call.stop) or None,
    }
    if call.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    fields = {**kept(body, call.refused), **call.options, **call.extra}
    return WireRequest(path="completions", body=fields)

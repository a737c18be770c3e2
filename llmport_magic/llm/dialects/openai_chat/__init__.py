"""The chat completions format of OpenAI, which most providers and local servers speak.

`writing` makes requests, `reading` reads what comes back, `models` what is said of models.
Reference: https://platform.openai.com/docs/api-reference/chat (read 2026-11-21); what other
servers do otherwise is said where it is dealt with.
"""

from __future__ import annotations

from llmport_magic.llm.dialects.openai_chat.failures import read_error, refused_parameter
from llmport_magic.llm.dialects.openai_chat.models import (
    describe_requests,
    read_model,
    read_models,
)
from llmport_magic.llm.dialects.openai_chat.reading import (
    Reader,
    finish_reason,
    read_reply,
    read_usage,
    stream_reader,
)
from llmport_magic.llm.dialects.openai_chat.writing import build_request

__all__ = [
    "DEFAULT_PATH",
    "END_OF_STREAM",
    "FRAMING",
    "KEY_HEADER",
    "KEY_PREFIX",
    "MODELS_PATH",
    "Reader",
    "build_request",
    "describe_requests",
    "finish_reason",
    "read_error",
    "read_model",
    "read_models",
    "read_reply",
    "read_usage",
    "refused_parameter",
    "stream_reader",
]

KEY_HEADER = "authorization"
KEY_PREFIX = "Bearer "
FRAMING = "sse"
END_OF_STREAM: bytes | None = b"[DONE]"
MODELS_PATH = "models"
DEFAULT_PATH = "/v1"

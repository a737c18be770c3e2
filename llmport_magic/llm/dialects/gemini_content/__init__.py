"""The generateContent format of Google's Gemini API.

`writing` makes requests, `reading` reads what comes back, `models` what is said of models.
Reference: https://ai.google.dev/api/generate-content (read 2026-11-21); a fact from another page
is said where it is used. The key goes into a header: in a URL it would lie in logs.
"""

from __future__ import annotations

from llmport_magic.llm.dialects.gemini_content.failures import read_error, refused_parameter
from llmport_magic.llm.dialects.gemini_content.models import (
    describe_requests,
    read_model,
    read_models,
)
from llmport_magic.llm.dialects.gemini_content.reading import (
    Reader,
    finish_reason,
    read_reply,
    read_usage,
    stream_reader,
)
from llmport_magic.llm.dialects.gemini_content.writing import build_request

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

KEY_HEADER = "x-goog-api-key"
KEY_PREFIX = ""
FRAMING = "sse"
END_OF_STREAM: bytes | None = None
# A page holds 50 models unless it is told: https://ai.google.dev/api/models
MODELS_PATH = "models?pageSize=1000"
DEFAULT_PATH = "/v1beta"

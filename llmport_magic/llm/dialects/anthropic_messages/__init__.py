"""The messages format of Anthropic.

`writing` makes requests, `reading` reads what comes back, `models` what is said of models,
`failures` what went wrong. References, all read 2026-11-21:
https://platform.claude.com/docs/en/api/messages/create, the types of
https://github.com/anthropics/anthropic-sdk-python (`src/anthropic/types`), and what newer models
refuse: https://platform.claude.com/docs/en/models/opus-5-5/whats-new-opus-5-5.
"""

from __future__ import annotations

from llmport_magic.llm.dialects.anthropic_messages.failures import read_error, refused_parameter
from llmport_magic.llm.dialects.anthropic_messages.models import (
    describe_requests,
    read_model,
    read_models,
)
from llmport_magic.llm.dialects.anthropic_messages.reading import (
    Reader,
    finish_reason,
    read_reply,
    read_usage,
    stream_reader,
)
from llmport_magic.llm.dialects.anthropic_messages.writing import build_request

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

KEY_HEADER = "x-api-key"
KEY_PREFIX = ""
FRAMING = "sse"
# The last event, `message_stop`, is JSON like the others.
END_OF_STREAM: bytes | None = None
# https://platform.claude.com/docs/en/api/models/list: 20 a page unless told, 1,000 at most.
MODELS_PATH = "models?limit=1000"
DEFAULT_PATH = "/v1"

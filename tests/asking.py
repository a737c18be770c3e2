"""Connectors that ask the loopback server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.wire import Limits

if TYPE_CHECKING:
    from loopback import Loopback

# Nothing here is given up: what ends is ended by the test.
PATIENT = Limits(connect=60.0, first_byte=600.0, first_byte_reasoning=600.0, idle=600.0)
KEY = "test-key-0123456789abcdef"


async def no_wait(_: float) -> None:
    """Wait no time at all."""


def asking(server: Loopback, **fields: Any) -> LLMProvider:
    """Make a connector that asks the server, never waits before a retry and has much patience."""
    given: dict[str, Any] = {
        "base_url": server.url,
        "model": "m",
        "retry": RetryPolicy(sleep=no_wait),
        "timeout_ms": 600_000,
        "limits": PATIENT,
    }
    return LLMProvider(LLMConfig(**{**given, **fields}))


async def pieces_of(llm: LLMProvider, prompt: str = "q", **options: Any) -> list[str]:
    """Read a stream to its end."""
    return [text async for text in llm.stream(prompt, **options)]

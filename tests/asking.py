"""Connectors that ask the loopback server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy

if TYPE_CHECKING:
    from loopback import Loopback

KEY = "test-key-0123456789abcdef"


async def no_wait(_: float) -> None:
    """Wait no time at all."""


def asking(server: Loopback, **fields: Any) -> LLMProvider:
    """Make a connector that asks the server and never waits before a retry."""
    given: dict[str, Any] = {
        "base_url": server.url,
        "model": "m",
        "retry": RetryPolicy(sleep=no_wait),
    }
    return LLMProvider(LLMConfig(**{**given, **fields}))


async def pieces_of(llm: LLMProvider, **options: Any) -> list[str]:
    """Read a stream to its end."""
    return [text async for text in llm.stream("q", **options)]

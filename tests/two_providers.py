"""A chain of two: providers that ask two loopback servers, a router of them, and their tables."""

from __future__ import annotations

from typing import Any

import pytest
from asking import asking, no_wait
from loopback import Loopback

from llmport_magic.llm import transport
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.routing.router import LLMProviderFactory

KEY = "planted-key-0123456789abcdef"
# Taken before the fixture `own_registry` leaves nobody on the local port.
_ANSWERS = transport.answers

unwarned = pytest.mark.filterwarnings("ignore::llmport_magic.llm.routing.router.LLMFailoverWarning")


def real_answers(url: str, _: float) -> bool:
    """Ask whether a server answers, with the patience that a busy machine needs."""
    return _ANSWERS(url, 60.0)


def one(server: Loopback, **fields: Any) -> LLMProvider:
    """Make the first provider; it sends a request once unless it is told otherwise."""
    given = {"provider": "one", "model": "m-one", "retry": RetryPolicy(attempts=1, sleep=no_wait)}
    return asking(server, **{**given, **fields})


def two(server: Loopback, **fields: Any) -> LLMProvider:
    """Make the second provider."""
    return one(server, **{"provider": "two", "model": "m-two", **fields})


def both(server: Loopback, second: Loopback, **settings: Any) -> LLMProviderFactory:
    """Make a router of the two."""
    return LLMProviderFactory(connectors=[one(server), two(second)], **settings)


def asked(response: Any) -> list[tuple[str, int | None]]:
    """Give who was asked, and the status of what they answered."""
    return [(each["provider"], each["status"]) for each in response.metadata["attempts"]]


def at(server: Loopback, **more: Any) -> dict[str, Any]:
    """Give the table of a provider that the server stands for."""
    given = {"base_url": server.url, "api_key": KEY, "attempts": 1, "connect_timeout": 60.0}
    return {**given, **more}

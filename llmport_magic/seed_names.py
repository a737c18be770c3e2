"""What five earlier projects called the same things: aliases, and nothing else.

`docs/seed-names.md` lists every name of theirs with its equivalent here. A name is loaded when it
is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmport_magic.llm.connector import BaseLLMConnector as BaseLLMInterface
    from llmport_magic.llm.connector import BaseLLMConnector as LLMHandlerInterface
    from llmport_magic.llm.messages import Message as LLMMessage
    from llmport_magic.llm.mock import MockConnector as MockLLMHandler
    from llmport_magic.llm.provider_views import CONNECTOR_MAP as connector_map  # noqa: N811 - the seed's name

__all__ = [
    "BaseLLMInterface",
    "LLMHandlerInterface",
    "LLMMessage",
    "MockLLMHandler",
    "connector_map",
]

_OURS = {
    "BaseLLMInterface": "BaseLLMConnector",
    "LLMHandlerInterface": "BaseLLMConnector",
    "LLMMessage": "Message",
    "MockLLMHandler": "MockConnector",
    "connector_map": "CONNECTOR_MAP",
}


def __getattr__(name: str) -> Any:
    if name in _OURS:
        return getattr(import_module("llmport_magic.llm"), _OURS[name])
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`: see docs/seed-names.md")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Connectors to every model provider; usable without Jupyter.

    from llmport_magic.llm import LLMConfig, LLMProvider

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmport_magic.lazy import first_use

if TYPE_CHECKING:
    from llmport_magic.llm.agent import CognitiveAgent, CognitiveConfig, CognitiveResult
    from llmport_magic.llm.capabilities import (
        LLMCapabilities,
        LLMProfile,
        ModelFamily,
        Provider,
        ProviderState,
        ProviderType,
    )
    from llmport_magic.llm.cloud_run import OLLAMA_CLOUD_RUN_MODELS_PY
    from llmport_magic.llm.connector import BaseLLMConnector
    from llmport_magic.llm.cost import estimate_cost
    from llmport_magic.llm.factory import create_llm_handler, create_llm_interface
    from llmport_magic.llm.limits import RateLimits
    from llmport_magic.llm.messages import Image, LLMMessage, LLMRole, Message, ToolCall
    from llmport_magic.llm.mock import MockConnector
    from llmport_magic.llm.project_config import ProjectConfig, load_project_config
    from llmport_magic.llm.provider import LLMConfig, LLMProvider
    from llmport_magic.llm.registry import (
        CONNECTOR_MAP,
        PROVIDER_CONFIG,
        LLMRegistry,
        register_provider,
    )
    from llmport_magic.llm.reply import Chunk, LLMResponse
    from llmport_magic.llm.routing.router import (
        LLMFailoverWarning,
        LLMProviderFactory,
        create_llm_factory,
    )
    from llmport_magic.llm.streams import ResponseStream
    from llmport_magic.llm.tools import Tool, ToolBox, ToolFailure
    from llmport_magic.llm.transport import LLMConnectionError, LLMStatusError, LLMTimeoutError

__all__ = [
    "CONNECTOR_MAP",
    "OLLAMA_CLOUD_RUN_MODELS_PY",
    "PROVIDER_CONFIG",
    "BaseLLMConnector",
    "Chunk",
    "CognitiveAgent",
    "CognitiveConfig",
    "CognitiveResult",
    "Image",
    "LLMCapabilities",
    "LLMConfig",
    "LLMConnectionError",
    "LLMFailoverWarning",
    "LLMMessage",
    "LLMProfile",
    "LLMProvider",
    "LLMProviderFactory",
    "LLMRegistry",
    "LLMResponse",
    "LLMRole",
    "LLMStatusError",
    "LLMTimeoutError",
    "Message",
    "MockConnector",
    "ModelFamily",
    "ProjectConfig",
    "Provider",
    "ProviderState",
    "ProviderType",
    "RateLimits",
    "ResponseStream",
    "Tool",
    "ToolBox",
    "ToolCall",
    "ToolFailure",
    "create_llm_factory",
    "create_llm_handler",
    "create_llm_interface",
    "estimate_cost",
    "load_project_config",
    "register_provider",
]

_HOMES = {
    "agent": ("CognitiveAgent", "CognitiveConfig", "CognitiveResult"),
    "capabilities": (
        "LLMCapabilities",
        "LLMProfile",
        "ModelFamily",
        "Provider",
        "ProviderState",
        "ProviderType",
    ),
    "cloud_run": ("OLLAMA_CLOUD_RUN_MODELS_PY",),
    "connector": ("BaseLLMConnector",),
    "cost": ("estimate_cost",),
    "factory": ("create_llm_handler", "create_llm_interface"),
    "limits": ("RateLimits",),
    "messages": ("Image", "LLMMessage", "LLMRole", "Message", "ToolCall"),
    "mock": ("MockConnector",),
    "project_config": ("ProjectConfig", "load_project_config"),
    "provider": ("LLMConfig", "LLMProvider"),
    "registry": ("CONNECTOR_MAP", "LLMRegistry", "PROVIDER_CONFIG", "register_provider"),
    "reply": ("Chunk", "LLMResponse"),
    "routing.router": ("LLMFailoverWarning", "LLMProviderFactory", "create_llm_factory"),
    "streams": ("ResponseStream",),
    "tools": ("Tool", "ToolBox", "ToolFailure"),
    "transport": ("LLMConnectionError", "LLMStatusError", "LLMTimeoutError"),
}


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

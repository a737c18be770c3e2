"""What the examples of the connector layer's document stand on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from asking import KEY
from loopback import Loopback, Script, raw

from llmport_magic.llm import ToolBox
from llmport_magic.llm.registry import default_registry

PRESETS = ("deepseek", "openai", "local")


@contextmanager
def presets_at(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the presets of the document lead to the server, with keys that are set."""
    registry = default_registry()
    rows = [registry.provider(name) for name in PRESETS]
    for row in rows:
        registry.register_provider(replace(row, base_url=server.url), replace=True)
        for variable in row.api_key_vars:
            monkeypatch.setenv(variable, KEY)
    try:
        yield
    finally:
        for row in rows:
            registry.register_provider(row, replace=True)


class Agent:
    """Stands for Loom's agent: all that the examples use of it is its `ctx`."""

    def __init__(self) -> None:
        self.ctx = ToolBox()


def asks_for_a_search() -> Script:
    """Answer with a call of `web:search`, under the name that was sent."""
    call = {
        "id": "call_7",
        "type": "function",
        "function": {"name": "web_search", "arguments": '{"query": "AI frameworks"}'},
    }
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return raw(json.dumps({"model": "m", "choices": [choice]}))


SEARCH = {
    "name": "web:search",
    "description": "Search the web",
    "parameters": {
        "type": "object",
        "properties": {"query": {"type": "string"}},
        "required": ["query"],
    },
}


def search(query: str) -> str:
    """Search the web."""
    return f"found: {query}"

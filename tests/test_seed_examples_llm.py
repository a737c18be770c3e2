"""The examples of the connector layer's own document, run as they are written there.

Only the imports are ours, and the addresses lead to a server on this machine.
"""

# ruff: noqa: T201 - the document prints

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from asking import KEY
from loopback import Loopback, reply, streamed
from seed_llm import Agent, asks_for_a_search, presets_at, search

from llmport_magic.llm import (
    LLMConfig,
    LLMProvider,
    LLMResponse,
    Message,
    ToolBox,
    load_project_config,
)
from llmport_magic.llm.registry import default_registry


@pytest.fixture
def presets(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the presets of the document lead to the server."""
    with presets_at(server, monkeypatch):
        yield


@pytest.fixture
def llm(server: Loopback) -> LLMProvider:
    """Give the connector that the examples call `llm`."""
    config = LLMConfig(base_url=server.url, model="m", timeout_ms=600_000)
    return LLMProvider(None, config)


# Key components


@pytest.mark.usefixtures("presets")
async def test_a_preset_answers(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    """The first example: a preset by its name, asked with mappings (S4-03, S4-05)."""
    server.script(reply("Models got better."))
    agent = Agent()

    # Use pre-configured provider
    llm = LLMProvider.from_name(agent.ctx, "deepseek")

    # Call LLM
    response = await llm.call(
        messages=[
            {"role": "system", "content": "You are a research assistant."},
            {"role": "user", "content": "Summarize recent AI advances"},
        ]
    )
    print(response.content)

    assert capsys.readouterr().out == "Models got better.\n"
    assert isinstance(llm, LLMProvider)
    assert llm.ctx is agent.ctx
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert server.requests[0].json["messages"] == [
        {"role": "system", "content": "You are a research assistant."},
        {"role": "user", "content": "Summarize recent AI advances"},
    ]


def test_a_configuration_is_made() -> None:
    """LLMConfig takes the document's fields, and its defaults are the document's (S4-07)."""
    config = LLMConfig(
        base_url="https://api.deepseek.com/v1",
        model="deepseek-chat",
        api_key="sk-...",
        temperature=0.7,
        max_tokens=4096,
        timeout_ms=30000,
    )

    assert "sk-..." not in repr(config)
    assert replace(config, api_key=None) == LLMConfig(
        base_url="https://api.deepseek.com/v1", model="deepseek-chat"
    )


def test_messages_and_responses_are_made() -> None:
    """Message and LLMResponse need nothing more than the document gives them (S4-08)."""
    # Request message
    msg = Message(role="user", content="Hello!")

    # Response
    response = LLMResponse(
        content="Hi there!",
        finish_reason="stop",
        usage={"prompt_tokens": 10, "completion_tokens": 5},
    )

    assert msg.to_dict() == {"role": "user", "content": "Hello!"}
    assert response.usage["total_tokens"] == 15


@pytest.mark.parametrize(
    ("name", "url", "model", "variables"),
    [
        # The document's model was switched off in July 2026: the catalogue's own is asked.
        ("deepseek", "https://api.deepseek.com/v1", None, "DEEPSEEK_API_KEY"),
        ("openai", "https://api.openai.com/v1", "gpt-4o-mini", "OPENAI_API_KEY"),
        ("local", "http://localhost:8000/v1", "qwen2.5-0.5b-instruct", None),
    ],
)
def test_the_presets_are_the_documents(
    name: str, url: str, model: str | None, variables: str | None
) -> None:
    """Address, model and variable of each preset are those of the table (S4-03, S4-34)."""
    llm = LLMProvider.from_name(None, name)

    assert isinstance(llm, LLMProvider)
    expected = model or default_registry().provider(name).default_model
    assert (llm.config.base_url, llm.model_name_for_api) == (url, expected)
    if variables is None:
        assert not llm.config.key_required
    else:
        assert variables in llm.config.api_key_vars
    with pytest.raises(ValueError, match="known: openai"):
        LLMProvider.from_name(None, "nobody's")


# Usage patterns


async def test_simple_chat_and_system_prompts(server: Loopback, llm: LLMProvider) -> None:
    """A plain call, and one with a system prompt (S4-05, S4-11)."""
    server.script(reply("A runtime."), reply("Spooky."))

    response = await llm.call(messages=[{"role": "user", "content": "What is Loom?"}])
    assert response.content == "A runtime."
    response = await llm.call(
        messages=[
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Explain quantum computing"},
        ]
    )

    assert response.content == "Spooky."
    assert [m["role"] for m in server.requests[1].json["messages"]] == ["system", "user"]


async def test_streaming(
    server: Loopback, llm: LLMProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chunks are text, and are printed as they come (S4-12)."""
    server.script(streamed("Roses ", "are\u2028", "red\n"))

    async for chunk in llm.stream(messages=[{"role": "user", "content": "Write a poem"}]):
        print(chunk, end="", flush=True)

    assert capsys.readouterr().out == "Roses are\u2028red\n"


async def test_streaming_starts_immediately(server: Loopback, llm: LLMProvider) -> None:
    """The first chunk is here before the last one is sent (S4-32)."""
    shown = threading.Event()
    server.script(streamed("first", shown, "last"))
    arrivals = []

    async for chunk in llm.stream(messages=[{"role": "user", "content": "q"}]):
        arrivals.append((chunk, shown.is_set()))
        shown.set()

    assert arrivals == [("first", False), ("last", True)]


SEARCH = {
    "name": "web:search",
    "description": "Search the web",
    "parameters": {
        "type": "object",
        "properties": {"query": {"type": "string"}},
        "required": ["query"],
    },
}


async def test_tool_use(server: Loopback, llm: LLMProvider) -> None:
    """A call of a tool whose name no provider takes comes back under that name (S4-14, S4-15)."""
    server.script(asks_for_a_search())
    ctx = ToolBox()
    ctx.add(search, name="web:search")
    results = []

    response = await llm.call(
        messages=[{"role": "user", "content": "Which frameworks are there?"}], tools=[SEARCH]
    )

    if response.tool_calls:
        for call in response.tool_calls:
            result = await ctx.tool(call.name, payload=call.arguments)
            results.append(result)

    assert results == ["found: AI frameworks"]
    assert response.tool_calls[0].id == "call_7"
    assert response.finish_reason == "tool_calls"
    assert server.requests[0].json["tools"][0]["function"]["name"] == "web_search"


# Configuration from loom.toml


async def test_configuration_from_loom_toml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document's file is read, and gives its connector (S4-16, S4-17)."""
    shutil.copy(Path(__file__).parent / "fixtures" / "loom.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    ctx = None

    config = load_project_config("loom.toml")
    llm = LLMProvider.from_config(ctx, "deepseek", config)

    assert llm.model_name_for_api == "deepseek-chat"


# Custom provider


async def test_a_custom_provider(server: Loopback) -> None:
    """Any address, model, key and numbers, and headers and fields of one's own (S4-22)."""
    server.script(reply("mine"))
    ctx = object()

    config = LLMConfig(
        base_url=server.url,
        model="my-model-v1",
        api_key="custom-key",
        temperature=0.8,
        max_tokens=4096,
        headers={"X-Team": "blue"},
        extra={"top_k": 5},
    )

    llm = LLMProvider(ctx, config)

    assert (await llm.call("q")).content == "mine"
    assert llm.ctx is ctx
    request = server.requests[0]
    assert (request.headers["authorization"], request.headers["x-team"]) == (
        "Bearer custom-key",
        "blue",
    )
    assert request.json == {
        "model": "my-model-v1",
        "messages": [{"role": "user", "content": "q"}],
        "temperature": 0.8,
        "max_tokens": 4096,
        "top_k": 5,
    }

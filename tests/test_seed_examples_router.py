"""The router's examples out of the document it was made for, run as they are written there.

Only the imports are ours, and the addresses lead to servers on this machine.
"""

# ruff: noqa: T201 - the document prints

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback, failure, raw
from vendors import AnthropicMessages, OllamaChat, OpenAIChat

from llmport_magic.errors import LLMError
from llmport_magic.llm import (
    LLMMessage,
    LLMProviderFactory,
    LLMRole,
    create_llm_factory,
)
from llmport_magic.llm.capabilities import ProviderType
from llmport_magic.llm.registry import default_registry

PAGE = Path(__file__).resolve().parents[1] / "docs" / "router.md"
KEY = "planted-key-0123456789abcdef"
FORMATS = {"openai": OpenAIChat(), "anthropic": AnthropicMessages(), "ollama": OllamaChat()}

pytestmark = [
    pytest.mark.usefixtures("own_registry"),
    pytest.mark.filterwarnings("ignore:.* of .*:DeprecationWarning"),
]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, own_registry: None) -> Iterator[dict[str, Loopback]]:
    """Serve as OpenAI, Anthropic and Ollama, with the keys of the first two in the environment."""
    with Loopback() as openai, Loopback() as anthropic, Loopback() as ollama:
        running = {"openai": openai, "anthropic": anthropic, "ollama": ollama}
        registry = default_registry()
        for name, server in running.items():
            root = server.url.removesuffix("/v1") + FORMATS[name].root
            row = replace(registry.provider(name), base_url=root)
            registry.register_provider(row, replace=True)
            server.always(FORMATS[name].whole(f"I am {name}"))
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        yield running


MESSAGES = [
    LLMMessage(role=LLMRole.SYSTEM, content="You are an expert in active inference"),
    LLMMessage(role=LLMRole.USER, content="Design a multi-agent system"),
]


async def test_the_quick_start_finds_who_answers(servers: dict[str, Loopback]) -> None:
    """`create_llm_factory()` without anything takes the first whose key is there (S3-02)."""
    factory = create_llm_factory()

    assert factory.primary == "openai"
    assert str(await factory.generate("q")) == "I am openai"


async def test_the_configuration_of_the_document(servers: dict[str, Loopback]) -> None:
    """The dictionary is taken as it is written; each table is for its provider (S3-03)."""
    config = {
        "provider": "auto",
        "openai": {
            "model": "gpt-4o",
            "temperature": 0.3,
            "max_retries": 3,
        },
        "anthropic": {
            "model": "claude-3-5-sonnet-20241022",
            "temperature": 0.2,
        },
        "ollama": {
            "model": "llama3.2",
            "base_url": "http://localhost:11434",
        },
    }

    factory = LLMProviderFactory(config)

    servers["openai"].always(failure(404, "no such model"))
    with pytest.warns(UserWarning, match="`openai` failed .*: `anthropic` answers"):
        response = await factory.generate("q")
    assert response.provider == "anthropic"
    (first,) = servers["openai"].requests
    (last,) = servers["anthropic"].requests
    assert (first.json["model"], first.json["temperature"]) == ("gpt-4o", 0.3)
    assert (last.json["model"], last.json["temperature"]) == ("claude-3-5-sonnet-20241022", 0.2)


async def test_max_retries_are_retries(servers: dict[str, Loopback]) -> None:
    """`max_retries: 3` is four requests at most (S3-03, S3-07)."""
    servers["openai"].always(failure(503, headers={"retry-after": "0"}))
    factory = LLMProviderFactory({"openai": {"max_retries": 3}})
    with pytest.warns(UserWarning, match="openai"):
        await factory.generate("q")

    assert len(servers["openai"].requests) == 4


async def test_custom_messages(servers: dict[str, Loopback]) -> None:
    """A list of messages with roles is asked as it stands (S3-12)."""
    factory = create_llm_factory()
    messages = [
        LLMMessage(
            role=LLMRole.SYSTEM,
            content="You are an expert in active inference",
        ),
        LLMMessage(
            role=LLMRole.USER,
            content="Design a multi-agent system",
        ),
    ]

    response = await factory.generate(messages)

    assert response.content == "I am openai"
    sent = servers["openai"].requests[0].json["messages"]
    assert [(each["role"], each["content"]) for each in sent] == [
        ("system", "You are an expert in active inference"),
        ("user", "Design a multi-agent system"),
    ]


async def test_a_specific_provider_is_forced(servers: dict[str, Loopback]) -> None:
    """`provider_type=ProviderType.ANTHROPIC` asks Anthropic and nobody else (S3-06)."""
    factory = create_llm_factory()
    messages = MESSAGES

    response = await factory.generate(
        messages,
        provider_type=ProviderType.ANTHROPIC,
    )

    assert response.provider == "anthropic"
    assert servers["openai"].requests == []
    servers["anthropic"].always(FORMATS["anthropic"].error(529, "busy"))
    with pytest.raises(LLMError) as caught:
        await factory.generate(messages, provider_type="anthropic", timeout_ms=200)
    assert caught.value.provider == "anthropic"
    assert servers["openai"].requests == []


async def test_ollama_with_its_parameters(servers: dict[str, Loopback]) -> None:
    """The layers on the GPU and the window of the document's table reach Ollama (S3-03)."""
    config = {
        "ollama": {
            "num_gpu": -1,  # Use all GPU layers
            "num_ctx": 8192,  # Larger context window
        }
    }
    factory = LLMProviderFactory(config)

    await factory.generate("q", provider_type="ollama", model="llama3.2")

    options = servers["ollama"].requests[-1].json["options"]
    assert (options["num_gpu"], options["num_ctx"]) == (-1, 8192)


async def test_the_health_loop(
    servers: dict[str, Loopback],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The loop prints every provider, one that cannot be asked among them (S3-08, S3-10)."""
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    servers["openai"].always(raw('{"data": [{"id": "gpt-4o"}]}'))
    factory = LLMProviderFactory({"provider": "openai", "fallback": ["anthropic", "ollama"]})

    health = await factory.health_check()

    for provider, status in health["providers"].items():
        print(f"{provider}: {status['success_rate']:.1f}% success rate")

    assert capsys.readouterr().out.splitlines() == [
        "openai: 100.0% success rate",
        "anthropic: 100.0% success rate",
        "ollama: 100.0% success rate",
    ]
    assert health["primary_provider"] == "openai"
    assert health["fallback_chain"] == ["ollama"]
    assert health["providers"]["anthropic"]["status"] == "unconfigured"
    assert health["providers"]["anthropic"]["requests"] == 0


async def test_errors_are_handled(
    servers: dict[str, Loopback], capsys: pytest.CaptureFixture[str]
) -> None:
    """One `except LLMError` sees every failure of a chain, in one line (S3-15)."""
    for name in ("openai", "anthropic"):
        servers[name].always(FORMATS[name].error(401, "bad key"))
    factory = LLMProviderFactory({"fallback": ["anthropic"]})
    prompt: Any = "q"

    try:
        await factory.generate(prompt)
    except LLMError as e:
        # Handle LLM-specific errors
        print(f"LLM Error: {e}")

    said = capsys.readouterr().out
    assert said.startswith("LLM Error: no provider answered: `openai` answered 401")
    assert "`anthropic` answered 401" in said
    assert said.count("\n") == 1


def test_the_chain_can_be_printed(
    servers: dict[str, Loopback], capsys: pytest.CaptureFixture[str]
) -> None:
    """The fallback chain of a factory can be looked at (S3-51)."""
    factory = create_llm_factory()
    print(factory.primary, factory.fallback_chain, factory)

    said = capsys.readouterr().out
    assert (
        said
        == "openai ('anthropic',) LLMProviderFactory(openai -> anthropic -> local? -> ollama?)\n"
    )


async def test_the_page_about_the_router_runs(
    servers: dict[str, Loopback], capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks of our own page run one after the other, and print what it says (S3-51)."""
    scope: dict[str, Any] = {}
    blocks = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    # Its last block looks at everybody; a list of models is all that they are asked for.
    for block in blocks:
        outcome = eval(compile(block, str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), scope)
        if inspect.isawaitable(outcome):
            await outcome

    said = capsys.readouterr().out.splitlines()
    assert len(blocks) == 4
    assert said[0] == "LLMProviderFactory(openai -> anthropic -> local? -> ollama?)"
    assert said[1].startswith("I am openai openai [{'provider': 'openai'")
    assert said[2:] == [
        f"{name}: 100.0% success rate" for name in ("openai", "anthropic", "local", "ollama")
    ]

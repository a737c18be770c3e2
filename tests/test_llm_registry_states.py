"""Providers of a registry: registered, initialised, and meant by a family's name."""

from __future__ import annotations

import ast
import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from asking import KEY
from loopback import Loopback, reply
from provider_mine import OTHER

import llmport_magic
from llmport_magic.errors import ConfigError, MissingKeyError
from llmport_magic.llm import (
    LLMRegistry,
    ModelFamily,
    ProviderState,
    ProviderType,
    create_llm_handler,
)
from llmport_magic.llm.models import Models
from llmport_magic.llm.registry import connector_for, default_registry, register_provider
from llmport_magic.settings import resolve

pytestmark = pytest.mark.usefixtures("own_registry")


# The seed's own lines


def test_the_seeds_initialisation() -> None:
    """The seed's two ways to initialise work on a registry without a manager (S1-03, S1-10)."""
    registry = LLMRegistry.create_default()
    assert not registry.is_provider_initialized("anthropic")

    registry.initialize_provider(provider_name="anthropic", api_key="sk-ant-...")
    registry.initialize_provider("openai", "key")

    assert registry.is_provider_initialized("anthropic")
    assert registry.provider_state("openai") is ProviderState.INITIALIZED


def test_the_seeds_manager_and_switch() -> None:
    """The seed's `create_default` with both of its arguments works (S1-06)."""
    credential_manager = {"anthropic": KEY}

    registry = LLMRegistry.create_default(
        auto_update_capabilities=True, credential_manager=credential_manager
    )
    registry.initialize_provider("anthropic")

    assert registry.auto_update_capabilities
    assert registry.is_provider_initialized("anthropic")


# States


def test_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider is initialised when somebody did so and its key is still found (S1-10)."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    registry = LLMRegistry.create_default()

    # A key in the environment is not enough, and nobody initialised it.
    assert registry.provider_state("openai") is ProviderState.REGISTERED
    registry.initialize_provider("openai")
    assert registry.provider_state("openai") is ProviderState.INITIALIZED
    monkeypatch.delenv("OPENAI_API_KEY")
    assert registry.provider_state("openai") is ProviderState.REGISTERED
    monkeypatch.setenv("OPENAI_API_KEY", OTHER)
    assert registry.provider_state("openai") is ProviderState.INITIALIZED
    registry.deinitialize_provider("openai")
    assert registry.provider_state("openai") is ProviderState.REGISTERED


def test_an_unknown_provider() -> None:
    """An unknown provider is not initialised, and an error with all names elsewhere (S1-04)."""
    registry = LLMRegistry.create_default()

    assert registry.is_provider_initialized("nobody") is False
    for act in (registry.provider_state, registry.deinitialize_provider):
        with pytest.raises(ConfigError, match=r"unknown provider `nobody`.*openai.*anthropic"):
            act("nobody")
    with pytest.raises(ConfigError, match=r"unknown provider `nobody`.*openai.*anthropic"):
        registry.initialize_provider("nobody", KEY)


@pytest.mark.parametrize("empty", ["", "  ", "\n\t"])
def test_an_empty_key_is_refused(empty: str) -> None:
    """An empty key is an error, and changes nothing (S1-04)."""
    registry = LLMRegistry.create_default()

    with pytest.raises(ValueError, match=r"`anthropic` is empty"):
        registry.initialize_provider("anthropic", empty)
    with pytest.raises(ValueError, match="a text, not `bytes`"):
        registry.initialize_provider("anthropic", b"key")  # type: ignore[arg-type]

    assert not registry.is_provider_initialized("anthropic")


@pytest.mark.parametrize("name", ["ollama", "local", "mock", "embedded"])
def test_providers_without_a_key(name: str) -> None:
    """A provider that needs no key is initialised without one (S1-04)."""
    registry = LLMRegistry.create_default()
    assert not registry.is_provider_initialized(name)

    registry.initialize_provider(name, api_key=None)

    assert registry.is_provider_initialized(name)


def test_a_missing_key_says_both_ways() -> None:
    """Without any key the error names the variable and the call (S1-18, S1-26)."""
    registry = LLMRegistry.create_default()

    with pytest.raises(MissingKeyError, match=r"`ANTHROPIC_API_KEY`.*initialize_provider\(") as at:
        registry.initialize_provider("anthropic")
    with pytest.raises(MissingKeyError, match=r"`OPENAI_API_KEY`.*`initialize_provider\(\"openai"):
        connector_for(resolve(provider="openai"), registry)

    assert at.value.provider == "anthropic"
    assert not registry.is_provider_initialized("anthropic")


def test_initialize_from_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """On demand, providers with a key in the environment are initialised, and no others (S1-10)."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("LLMPORT_LLM__GEMINI__API_KEY", OTHER)

    registry = LLMRegistry.create_default(initialize_from_env=True)

    ready = [r.name for r in registry.providers() if registry.is_provider_initialized(r.name)]
    assert sorted(ready) == ["gemini", "groq"]


# Families in the place of names


@pytest.mark.parametrize(
    ("family", "vendor"),
    [
        (ModelFamily.CLAUDE, "anthropic"),
        (ModelFamily.GPT, "openai"),
        (ModelFamily.GEMINI, "gemini"),
        (ModelFamily.DEEPSEEK, "deepseek"),
    ],
)
def test_a_family_is_its_vendor(family: ModelFamily, vendor: str) -> None:
    """A family of models stands for the vendor that makes them (S1-31)."""
    registry = LLMRegistry.create_default()

    registry.initialize_provider(family, KEY)

    assert registry.is_provider_initialized(vendor)
    assert registry.provider_state(family) is ProviderState.INITIALIZED
    assert registry.provider(family).name == vendor
    assert {model.provider for model in registry.list_models(family)} == {vendor}
    registry.deinitialize_provider(family)
    assert not registry.is_provider_initialized(vendor)


def test_a_family_means_its_vendor_elsewhere() -> None:
    """Where a connector is made, a family and a provider's member are names, too (S1-31)."""
    llm = asyncio.run(create_llm_handler(ModelFamily.CLAUDE, api_key=KEY))
    member = asyncio.run(create_llm_handler(ProviderType.GROQ, api_key=KEY))

    assert llm.provider_name == "anthropic"
    assert member.provider_name == "groq"


@pytest.mark.parametrize("family", [ModelFamily.LLAMA, ModelFamily.QWEN, ModelFamily.CUSTOM])
def test_a_family_of_several_vendors(family: ModelFamily) -> None:
    """A family that many serve is an error that lists the providers (S1-31)."""
    registry = LLMRegistry.create_default()

    with pytest.raises(ConfigError, match=rf"family `{family}`: name one of .*groq.*ollama"):
        registry.initialize_provider(family, KEY)


def test_a_providers_own_name_goes_first() -> None:
    """A provider that somebody calls `claude` goes before the family of that name (S1-31)."""
    registry = LLMRegistry.create_default()
    registry.register_provider("claude", base_url="https://proxy.example/v1")

    assert registry.provider("claude").base_url == "https://proxy.example/v1"
    assert registry.provider(ModelFamily.CLAUDE).name == "anthropic"


# One registry


def test_there_is_one_registry() -> None:
    """Providers and models are kept in one class and one object of it (S1-01)."""
    package = Path(llmport_magic.__file__).parent
    classes, makers = [], []
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                methods = {getattr(part, "name", "") for part in node.body}
                if methods & {"register_provider", "initialize_provider", "providers"}:
                    classes.append(node.name)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "LLMRegistry",
                "LLMRegistry.create_default",
            ):
                makers.append(path.name)

    # The second is the first one's base, with what answers for models; it keeps nothing.
    assert sorted(classes) == ["LLMRegistry", "Models"]
    assert issubclass(LLMRegistry, Models)
    assert makers == ["registry.py"]
    assert default_registry() is default_registry()
    assert default_registry().find_model("gpt-4o") is not None


def test_a_record_is_all_that_a_provider_needs(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that is registered at run time is made by the factory as it is (S2-24)."""
    server.always(reply("hi"))
    monkeypatch.setenv("NEW_API_KEY", KEY)
    with pytest.raises(ConfigError, match="unknown provider"):
        asyncio.run(create_llm_handler("newcomer", "m"))

    register_provider("newcomer", base_url=server.url, api_key_vars=["NEW_API_KEY"])
    llm = asyncio.run(create_llm_handler("newcomer", "m"))

    assert llm.call_llm("q") == "hi"
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


# Threads


def test_fifty_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty threads register, initialise, read and take away, and nothing is lost (S1-27)."""
    monkeypatch.setenv("SHARED_KEY", KEY)
    registry = LLMRegistry.create_default()
    barrier, failures = threading.Barrier(50), []

    def work(number: int) -> None:
        name = f"p{number}"
        try:
            barrier.wait(60)
            registry.register_provider(
                name, base_url=f"https://{name}.example/v1", api_key_vars=["SHARED_KEY"]
            )
            key = f"key-of-{name}-0123456789" if number % 2 else None
            registry.initialize_provider(name, key)
            for _ in range(5):
                assert registry.is_provider_initialized(name)
                assert name in {row.name for row in registry.providers()}
            if number % 5 == 0:
                registry.unregister_provider(name)
            else:
                llm: Any = connector_for(resolve(provider=name, model="m"), registry)
                assert llm.provider_name == name
        except Exception as error:  # noqa: BLE001 - any failure counts
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    left = {row.name for row in registry.providers() if row.name.startswith("p")}
    assert left == {f"p{number}" for number in range(50) if number % 5}
    assert all(registry.is_provider_initialized(name) for name in left)

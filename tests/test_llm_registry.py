"""Providers and models: the catalogue, what they can do and cost."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from loopback import Loopback, reply
from warned import no_warning

from llmport_magic.errors import ConfigError
from llmport_magic.llm.capabilities import (
    LLMCapabilities,
    LLMProfile,
    ModelFamily,
    Provider,
    ProviderType,
    RangeConfig,
)
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.cost import cost_of_usage, estimate_cost, estimate_tokens
from llmport_magic.llm.dialects import dialect_named
from llmport_magic.llm.mock import MockConnector
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.registry import (
    CONNECTOR_MAP,
    LLMRegistry,
    capabilities_of,
    connector_for,
    default_registry,
    provider_rows,
)
from llmport_magic.settings import resolve

KEY = "planted-key-0123456789abcdef"
OTHER = "another-key-fedcba9876543210"


pytestmark = pytest.mark.usefixtures("own_registry")


# The catalogue


def test_every_row_of_the_catalogue_can_be_used() -> None:
    """Each shipped provider has a dialect or a class, and its default model is listed (S0-20)."""
    for row in default_registry().providers():
        if row.connector is None:
            assert dialect_named(row.dialect)
            assert row.base_url.startswith(("https://", "http://localhost"))
        else:
            assert issubclass(CONNECTOR_MAP[row.name], BaseLLMConnector)
        if row.default_model is not None:
            assert row.default_model in row.models
            assert row.models[row.default_model].retired_on is None
        for profile in row.models.values():
            assert profile.provider == row.name
            assert profile.replacement is None or profile.replacement in row.models


@pytest.mark.parametrize(
    ("name", "url", "model", "variable"),
    [
        ("deepseek", "https://api.deepseek.com/v1", "deepseek-flash", "DEEPSEEK_API_KEY"),
        ("openai", "https://api.openai.com/v1", "gpt-4o-mini", "OPENAI_API_KEY"),
        ("local", "http://localhost:8000/v1", "qwen2.5-0.5b-instruct", None),
    ],
)
def test_the_presets(name: str, url: str, model: str, variable: str | None) -> None:
    """The seeds' presets work with and without a context, and need no key to be made (S4-03)."""
    context = object()

    llm = LLMProvider.from_name(context, name)

    assert isinstance(llm, LLMProvider)
    assert llm.ctx is context
    assert (llm.config.base_url, llm.model_name_for_api) == (url, model)
    assert llm.config.api_key_vars == ((variable,) if variable else ())
    assert LLMProvider.from_name(name).provider_name == name
    with pytest.raises(ValueError, match="deepseek"):
        LLMProvider.from_name(None, "deepsek")


def test_an_unknown_provider_is_helped() -> None:
    """A misspelt provider gets the nearest name and the list (S0-15)."""
    with pytest.raises(ConfigError, match=r"did you mean `openai`.*groq"):
        connector_for(resolve(provider="opnai"))


def test_a_missing_key_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key the error says which variable to set; an empty one is no key (S0-12, S0-13)."""
    monkeypatch.setenv("OPENROUTER_API_KEY", " ")

    with pytest.raises(ConfigError, match="`OPENROUTER_API_KEY`"):
        connector_for(resolve(provider="openrouter"))


# Capabilities and cost


def test_capabilities_are_checked_values() -> None:
    """Capabilities, profiles and providers cannot be changed or be nonsense (S1-25)."""
    for wrong in ({"max_context_window": 0}, {"input_cost_per_1k_tokens": -1}, {"size": "big"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            LLMCapabilities(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="between"):
        RangeConfig(minimum=0, maximum=1, default=2)
    with pytest.raises(FrozenInstanceError):
        LLMCapabilities().vision = True  # type: ignore[misc]
    for value in (LLMProfile(name="m", provider="p"), Provider(name="p")):
        with pytest.raises(FrozenInstanceError):
            value.name = "x"  # type: ignore[misc]
    assert ModelFamily.CLAUDE == "claude"
    assert f"{ProviderType.OPENAI}" == "openai"


def test_models_are_found_by_what_they_can_do() -> None:
    """Filters are exact, typos are refused, an unknown price is never cheap (S1-13)."""
    registry = LLMRegistry.create_default()
    price = {"input_cost_per_1k_tokens": 1e-9, "output_cost_per_1k_tokens": 1e-9}
    register = {
        "base_url": "https://x.example/v1",
        "models": {
            "free?": {"capabilities": {"vision": True}},
            "blind": {"capabilities": {**price, "input_cost_per_1k_tokens": 0}},
            "cheap": {"capabilities": {"vision": True, **price}},
        },
    }
    registry.register_provider("x", **register)

    seeing = registry.find_models(vision=True)
    assert "free?" in [p.name for p in seeing]
    assert all(p.capabilities.vision for p in seeing)
    assert registry.get_models_by_capability("vision") == seeing
    assert "free?" not in [p.name for p in registry.find_models(max_cost=100)]
    wide = registry.find_models(min_context_window=500_000)
    assert all((p.capabilities.max_context_window or 0) >= 500_000 for p in wide)
    cheapest = registry.find_cheapest_model_with_capabilities("vision")
    assert cheapest is not None
    assert cheapest.name == "cheap"
    with pytest.raises(ValueError, match="did you mean `vision`"):
        registry.find_models(visoin=True)
    assert registry.find_cheapest_model_with_capabilities(min_context_window=10**9) is None


def test_models_are_listed_by_provider_and_family() -> None:
    """A model is found by its name, with the date of a snapshot too, and by family (S1-11)."""
    registry = LLMRegistry.create_default()

    assert {p.family for p in registry.list_models(family="llama")} == {ModelFamily.LLAMA}
    assert {p.provider for p in registry.list_models(provider="groq")} == {"groq"}
    dated = registry.find_model("gpt-4o-mini-2024-07-18")
    assert dated is not None
    assert dated.name == "gpt-4o-mini"
    assert registry.find_model("no-such-model") is None


def test_cost_is_the_price_or_unknown() -> None:
    """Prices are those of the catalogue, cached tokens have their own, unknown is None (S4-28)."""
    assert estimate_cost(2000, 1000, "gpt-4o-mini") == pytest.approx(0.0009)
    assert estimate_cost(2000, 1000, "no-such-model") is None
    assert estimate_cost(2000, 1000) is None
    mini = capabilities_of("openai", "gpt-4o-mini")
    usage = {"prompt_tokens": 2000, "completion_tokens": 1000, "cached_tokens": 1000}
    assert cost_of_usage(usage, mini) == pytest.approx(0.00015 + 0.000075 + 0.0006)
    assert cost_of_usage(usage, LLMCapabilities()) is None
    assert (estimate_tokens(""), estimate_tokens("abc"), estimate_tokens("ü" * 4)) == (0, 1, 2)


def test_rows_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists show each provider's models, if it can be asked, and what is missing (S3-51)."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    rows = {row.name: row for row in provider_rows()}

    assert rows["openai"].available
    assert "gpt-4o-mini" in rows["openai"].models
    assert rows["groq"].hint == "set GROQ_API_KEY"
    assert not rows["local"].available
    assert "http://localhost:8000/v1" in rows["local"].hint
    assert not rows["embedded"].available
    assert KEY not in repr(rows)


# The mock


async def test_the_mock_gives_its_script() -> None:
    """Answers, errors, functions and whole responses come in turn; calls are recorded (S4-29)."""
    mock = MockConnector(
        ["abc", ValueError("no"), lambda given: given[0].content.upper()], chunk_size=2
    )

    assert [text async for text in mock.stream("q", temperature=0)] == ["ab", "c"]
    with pytest.raises(ValueError, match="no"):
        await mock.complete("q")
    assert (await mock.complete("shout")).content == "SHOUT"
    with pytest.raises(Exception, match="no answer left"):
        await mock.complete("q")
    assert [call.messages[0].content for call in mock.calls] == ["q", "q", "shout", "q"]
    assert mock.calls[0].options == {"temperature": 0}
    assert (await MockConnector("x").complete("q")).provider == "mock"


async def test_the_mock_without_a_script_is_deterministic() -> None:
    """Without a script the mock writes the same module for the same prompt (S3-17)."""
    first = await MockConnector().complete("a b c")
    second = await MockConnector().complete("a b c")
    space: dict[str, Any] = {}

    with no_warning():
        exec(first.content, space)
    assert first.content == second.content
    assert space["words"]() == 3


def test_configs_of_connectors_do_not_mix(server: Loopback) -> None:
    """Two live connectors keep their own key, model and headers (S4-02)."""
    server.always(reply())
    one = LLMProvider(LLMConfig(server.url, "one", api_key=KEY, headers={"X-A": "1"}))
    two = LLMProvider(LLMConfig(server.url, "two", api_key=OTHER))
    for llm in (one, two, one):
        llm.call_llm("q")

    assert [r.json["model"] for r in server.requests] == ["one", "two", "one"]
    assert [r.headers["authorization"][-5:] for r in server.requests] == ["bcdef", "43210", "bcdef"]
    assert [r.headers.get("x-a") for r in server.requests] == ["1", None, "1"]

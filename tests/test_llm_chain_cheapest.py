"""The cheapest model that can do what is needed is asked first."""

from __future__ import annotations

from typing import Any

import pytest
from loopback import Loopback, reply
from two_providers import at, unwarned

from llmport_magic.errors import UsageError
from llmport_magic.llm.capabilities import LLMCapabilities, LLMProfile
from llmport_magic.llm.cost import cost_of_usage
from llmport_magic.llm.mock import MockConnector
from llmport_magic.llm.registry import default_registry, register_provider
from llmport_magic.llm.retirement import has_ended
from llmport_magic.llm.routing.router import LLMProviderFactory

pytestmark = [pytest.mark.usefixtures("own_registry"), unwarned]


def _priced(name: str, price: float | None, **can: Any) -> LLMProfile:
    known = LLMCapabilities(
        max_context_window=8_000,
        input_cost_per_1k_tokens=price,
        output_cost_per_1k_tokens=price,
        **can,
    )
    return LLMProfile(name=name, provider="", capabilities=known)


def _shops(**shops: tuple[MockConnector, list[LLMProfile]]) -> LLMProviderFactory:
    for name, (mock, profiles) in shops.items():
        own = {
            p.name: LLMProfile(name=p.name, provider=name, capabilities=p.capabilities)
            for p in profiles
        }
        register_provider(name, connector=mock, models=own, default_model="usual", order=1)
    return LLMProviderFactory({"provider": next(iter(shops)), "fallback": list(shops)})


async def test_the_cheapest_that_can_is_asked() -> None:
    """The cheapest model that can do what is needed is asked; unknown is not cheap (S3-53)."""
    one, two = MockConnector(["1", "2", "3"]), MockConnector(["a", "b", "c"])
    factory = _shops(
        one=(one, [_priced("big", 5.0, tools=True, json_mode=True), _priced("free", None)]),
        two=(two, [_priced("small", 0.1), _priced("mid", 1.0, json_mode=True)]),
    )

    response = await factory.generate("q", prefer="cheap")
    assert response.metadata["attempts"][0]["model"] == "small"
    assert two.calls[0].options["model"] == "small"
    response = await factory.generate("q", prefer="cheap", tools=[_tool])
    assert response.metadata["attempts"][0]["model"] == "big"
    await factory.generate("q " * 40_000, prefer="cheap")
    assert one.calls[-1].options.get("model") is None
    with pytest.raises(UsageError, match="cheap"):
        await factory.generate("q", prefer="best")


async def test_the_next_cheapest_follows() -> None:
    """Where the cheapest fails the next is asked, and those of unknown price come last (S3-53)."""
    one = MockConnector(["last"])
    two = MockConnector([ConnectionError("down")])
    three = MockConnector([ConnectionError("down")])
    factory = _shops(
        one=(one, [_priced("unknown", None)]),
        two=(two, [_priced("dear", 2.0)]),
        three=(three, [_priced("cheap", 1.0)]),
    )
    response = await factory.generate("q", prefer="cheap")

    found = [(each["provider"], each["model"]) for each in response.metadata["attempts"]]
    assert found == [("three", "cheap"), ("two", "dear"), ("one", "mock")]


async def test_a_model_that_has_ended_is_not_cheap() -> None:
    """A retired model is not chosen, however cheap it was (S3-53)."""
    mock = MockConnector(["x"])
    gone = LLMProfile(
        name="gone",
        provider="shop",
        capabilities=_priced("gone", 0.01).capabilities,
        retired_on="2020-01-01",
    )
    kept = LLMProfile(name="kept", provider="shop", capabilities=_priced("kept", 1.0).capabilities)
    register_provider("shop", connector=mock, models={"gone": gone, "kept": kept})
    await LLMProviderFactory({"provider": "shop"}).generate("q", prefer="cheap")

    assert mock.calls[0].options["model"] == "kept"


def _tool(place: str) -> str:
    """Say the weather of a place."""
    return place


async def test_the_real_catalogue_has_a_cheapest(server: Loopback, second: Loopback) -> None:
    """With the shipped prices the model that is asked costs the least of all that fit (S3-53)."""
    server.always(reply())
    second.always(reply())
    factory = LLMProviderFactory({"openai": at(server), "groq": at(second)})
    await factory.generate("q", prefer="cheap")

    (sent,) = [*server.requests, *second.requests]
    asked = ("openai" if server.requests else "groq", sent.json["model"])
    # `q` is one token, and an answer whose length nobody limits is taken to have a thousand.
    usage = {"prompt_tokens": 1, "completion_tokens": 1_000}
    prices = {
        (profile.provider, profile.name): cost_of_usage(usage, profile.capabilities)
        for profile in default_registry().find_models(min_context_window=1_001)
        if profile.provider in {"openai", "groq"} and not has_ended(profile)
    }
    known = [dollars for dollars in prices.values() if dollars is not None]
    assert len(known) > 1
    assert prices[asked] == min(known) < max(known)

"""Models in the registry: registered, found, checked before they are used, and their families."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import yaml
from warned import no_warning

from llmport_magic.errors import ConfigError
from llmport_magic.llm import retirement
from llmport_magic.llm.capabilities import (
    FieldError,
    LLMCapabilities,
    LLMProfile,
    ModelFamily,
    Provider,
    RangeConfig,
)
from llmport_magic.llm.cost import cost_of_usage
from llmport_magic.llm.registry import LLMRegistry
from llmport_magic.settings import configure

KEY = "planted-key-0123456789abcdef"
URL = "https://x.example/v1"

# The models that the seeds name.
NAMED = {
    "openai": ("gpt-4", "gpt-4-turbo", "gpt-4o", "gpt-3.5-turbo", "gpt-4o-mini"),
    "anthropic": (
        "claude-3-opus",
        "claude-3-opus-20240229",
        "claude-3-sonnet",
        "claude-3-haiku",
        "claude-3-5-sonnet-20241022",
    ),
}

pytestmark = pytest.mark.usefixtures("own_registry")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> LLMRegistry:
    """Give a registry of the catalogue, on the day of its check."""
    monkeypatch.setattr(retirement, "_today", lambda: date(2026, 11, 21))
    return LLMRegistry.create_default()


# Registered and found


def test_a_registered_model_is_found(registry: LLMRegistry) -> None:
    """A model is added to its provider, once, and replaced only where that is said (S1-11)."""
    given = LLMProfile(name="claude-mine", provider="Anthropic", aliases=("mine",), family="claude")  # type: ignore[arg-type]

    added = registry.register_model(given)

    assert added.provider == "anthropic"
    assert registry.find_model("mine", "anthropic") is added
    assert added in registry.list_models("anthropic", "claude")
    assert registry.find_model("claude-sonnet-5-5", "anthropic") is not None
    with pytest.raises(ConfigError, match=r"`claude-mine` of `anthropic` is registered.*replace"):
        registry.register_model(given)
    registry.register_model(replace(given, aliases=("other",)), replace=True)
    assert registry.find_model("mine") is None
    assert registry.find_model("other") is not None
    with pytest.raises(ConfigError, match="did you mean `anthropic`"):
        registry.register_model(replace(given, provider="antropic"))


def test_registering_from_many_threads_loses_nothing(registry: LLMRegistry) -> None:
    """Fifty threads register and read at once, and every model is there (S1-27)."""
    before, failures = len(registry.provider("groq").models), []

    def work(number: int) -> None:
        try:
            registry.register_model(LLMProfile(name=f"m-{number}", provider="groq"))
            assert registry.find_model(f"m-{number}", "groq") is not None
            registry.find_models(vision=True)
        except Exception as error:  # noqa: BLE001 - it is looked at below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(registry.provider("groq").models) == before + 50


def test_the_seeds_models_are_there(registry: LLMRegistry) -> None:
    """Every model that the seeds name is known, with its end and a replacement (S1-11)."""
    for provider, names in NAMED.items():
        for name in names:
            profile = registry.get_model(name, provider)
            assert profile.retired_on is not None, name
            assert registry.get_model(str(profile.replacement), provider).retired_on is None
    opus = registry.get_model("claude-3-opus")
    assert (opus.provider, opus.capabilities.max_context_window) == ("anthropic", 200_000)
    assert registry.get_model("claude-3-opus-latest").name == "claude-3-opus"


def test_a_model_says_if_it_can_be_asked(registry: LLMRegistry) -> None:
    """Before its provider is initialised a model is there, and marked; or an error (S1-12)."""
    assert registry.get_model("claude-sonnet-5-5").available is False
    with pytest.raises(ConfigError, match=r"initialize_provider\(\"anthropic\", api_key\)`"):
        registry.get_model("claude-sonnet-5-5", require_initialized=True)

    registry.initialize_provider("anthropic", KEY)

    assert registry.get_model("claude-sonnet-5-5").available is True
    registry.get_model("claude-sonnet-5-5", require_initialized=True)
    with pytest.raises(
        ConfigError, match=r"unknown model `claude-sonet-5-5`: did you mean `claude"
    ):
        registry.get_model("claude-sonet-5-5")


def test_who_is_initialised_goes_first(registry: LLMRegistry) -> None:
    """Of two providers with the same model the one that can be asked is meant (S1-18)."""
    for name in ("first", "second"):
        registry.register_provider(name, base_url=URL, api_key_vars=("X_KEY",), models={"both": {}})

    assert registry.get_model("both").provider == "first"
    registry.initialize_provider("second", KEY)

    assert registry.get_model("both", require_initialized=True).provider == "second"
    assert registry.get_model("both", "first").available is False


# Validated


def test_a_model_is_validated(registry: LLMRegistry) -> None:
    """Unknown, not initialised, ending and ended models are told apart, aliases known (S1-14)."""
    assert registry.validate_model("claude-opus-55") == (
        False,
        "unknown model `claude-opus-55`: did you mean `claude-opus-5-5`?",
    )
    ok, message = registry.validate_model("claude-opus-5-5")
    assert not ok
    assert "initialize_provider" in message

    registry.initialize_provider("anthropic", KEY)
    registry.initialize_provider("openai", KEY)

    assert registry.validate_model("claude-opus-5-5") == (True, "")
    assert registry.validate_model("gpt-5.6") == (
        True,
        "`gpt-5.6` is another name of `gpt-5.6-sol`",
    )
    assert registry.validate_model("gpt-4o-mini") == (
        True,
        "`gpt-4o-mini` of `openai` ends on 2027-01-14: use `gpt-6-luna`",
    )
    ok, message = registry.validate_model("claude-3-opus-latest")
    assert not ok
    assert "ended on 2026-01-05: use `claude-opus-5-5`" in message
    assert "is another name of `claude-3-opus`" in message


def test_the_day_decides(registry: LLMRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is valid up to the day before its provider ends it, and no longer (S1-15)."""
    registry.initialize_provider("openai", KEY)
    told = {}
    for day in (date(2027, 1, 13), date(2027, 1, 14)):
        monkeypatch.setattr(retirement, "_today", lambda day=day: day)
        told[day.day] = registry.validate_model("gpt-4o")

    assert told[13] == (True, "`gpt-4o` of `openai` ends on 2027-01-14: use `gpt-6-luna`")
    assert told[14] == (False, "`gpt-4o` of `openai` ended on 2027-01-14: use `gpt-6-luna`")


# Queried


def _priced(price: float | None, **flags: bool) -> dict[str, Any]:
    costs = {"input_cost_per_1k_tokens": price, "output_cost_per_1k_tokens": price}
    return {"capabilities": {**costs, **flags}}


def test_queries_are_strict() -> None:
    """A capability that does not exist, and a value that is none, are errors (S1-13)."""
    registry = LLMRegistry.create_default()
    with pytest.raises(ValueError, match="unknown capability `supports_vision`"):
        registry.find_models(supports_vision=True)
    with pytest.raises(ValueError, match="unknown capability `max_context_window`"):
        registry.get_models_by_capability("max_context_window")
    with pytest.raises(ValueError, match="`vision` is true or false"):
        registry.find_models(vision="yes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="did you mean `tools`"):
        registry.find_cheapest_model_with_capabilities("tool")


def test_the_cheapest_is_always_the_same() -> None:
    """Ties go by name, then provider, whatever the order; unknown is not free (S1-13)."""
    rows = [("y", "b"), ("x", "b"), ("z", "c")]
    for order in (rows, rows[::-1]):
        registry = LLMRegistry()
        for provider, model in order:
            models = {model: _priced(0.001, tools=True), "free?": _priced(None, tools=True)}
            registry.register_provider(provider, base_url=URL, models=models)
        found = registry.find_cheapest_model_with_capabilities("tools")
        assert found is not None
        assert (found.name, found.provider) == ("b", "x")
        assert {p.name for p in registry.find_models(max_cost=1)} == {"b", "c"}


def test_the_price_of_a_call_by_hand() -> None:
    """2,000 tokens in and 500 out at 0.003 and 0.015 dollars for 1,000 cost 1.35 cents (S1-30)."""
    registry = LLMRegistry()
    able = {"input_cost_per_1k_tokens": 0.003, "output_cost_per_1k_tokens": 0.015}
    registry.register_provider("x", base_url=URL, models={"m": {"capabilities": able}})
    usage = {"prompt_tokens": 2000, "completion_tokens": 500, "total_tokens": 2500}

    profile = registry.find_model("m")

    assert profile is not None
    assert cost_of_usage(usage, profile.capabilities) == pytest.approx(0.0135)


# How a provider is asked


def test_the_api_configuration_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Address, format, headers without secrets and limits, by provider or model (S1-08, S1-07)."""
    registry = LLMRegistry.create_default()
    registry.register_provider(
        "mine",
        base_url=URL,
        headers={"x-team": "a", "x-api-key": KEY},
        rate_limits={"requests_per_minute": 60},
        models={"m-1": {}},
    )

    told = registry.get_api_config("m-1")

    assert told == registry.get_api_config("mine")
    assert told["base_url"] == URL
    assert (told["provider"], told["dialect"]) == ("mine", "openai_chat")
    assert told["headers"] == {"x-team": "a", "x-api-key": "********"}
    assert told["rate_limits"] == {"requests_per_minute": 60, "tokens_per_minute": None}
    monkeypatch.setenv("LLMPORT_LLM__MINE__BASE_URL", "https://y.example/v1")
    configure(provider="mine", tokens_per_minute=9_000, headers={"x-auth-token": KEY})
    now = registry.get_api_config("mine")
    assert KEY not in repr(now)
    assert now["headers"]["x-auth-token"] == "********"
    assert now["base_url"] == "https://y.example/v1"
    assert now["rate_limits"]["tokens_per_minute"] == 9_000
    with pytest.raises(ConfigError, match="unknown provider"):
        registry.get_api_config("nothing-of-that-name")


# Types


def test_a_family_is_its_text() -> None:
    """Families equal their texts, are written as such, and come from any spelling (S1-24)."""
    assert ModelFamily.from_name("Claude") is ModelFamily.CLAUDE
    assert ModelFamily.from_name(ModelFamily.GPT) is ModelFamily.GPT
    with pytest.warns(UserWarning, match="`gtp`.*did you mean `gpt`"):
        assert ModelFamily.from_name("gtp") is ModelFamily.CUSTOM
    with no_warning():
        assert ModelFamily.from_name("custom") is ModelFamily.CUSTOM
    assert json.loads(json.dumps({"family": ModelFamily.QWEN})) == {"family": "qwen"}
    assert yaml.safe_load(f"family: {ModelFamily.QWEN}") == {"family": "qwen"}
    assert LLMProfile(name="m", provider="p", family="gpt").family is ModelFamily.GPT  # type: ignore[arg-type]
    registry = LLMRegistry.create_default()
    assert registry.list_models(family="GPT") == registry.list_models(family=ModelFamily.GPT)


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-9", "gpt"),
        ("o4-mini", "gpt"),
        ("meta-llama/llama-9-70b", "llama"),
        ("qwen2.5-coder:7b", "qwen"),
        ("mixtral:8x7b", "mistral"),
        ("openai/omni", "custom"),
        ("custom-one", "custom"),
        ("phi-5", "custom"),
    ],
)
def test_a_family_is_told_by_the_models_name(model: str, family: str) -> None:
    """The words of a model's name tell its family, where they do (S1-17)."""
    assert ModelFamily.of_model(model) == family


@pytest.mark.parametrize(
    ("kind", "fields", "name"),
    [
        (LLMCapabilities, {"max_context_window": 0}, "max_context_window"),
        (LLMCapabilities, {"max_output_tokens": -5}, "max_output_tokens"),
        (LLMCapabilities, {"max_context_window": "128k"}, "max_context_window"),
        (LLMCapabilities, {"max_context_window": True}, "max_context_window"),
        (LLMCapabilities, {"vision": "yes"}, "vision"),
        (LLMCapabilities, {"refuses": "temperature"}, "refuses"),
        (LLMCapabilities, {"input_cost_per_1k_tokens": float("nan")}, "input_cost_per_1k_tokens"),
        (LLMCapabilities, {"size": "medium"}, "size"),
        (LLMProfile, {"name": "", "provider": "p"}, "name"),
        (LLMProfile, {"name": "m", "provider": "p", "aliases": "one"}, "aliases"),
        (LLMProfile, {"name": "m", "provider": "p", "retired_on": "soon"}, "retired_on"),
        (LLMProfile, {"name": "m", "provider": "p", "capabilities": {}}, "capabilities"),
        (Provider, {"name": "not a name"}, "name"),
        (Provider, {"name": "p", "base_url": "example.com/v1"}, "base_url"),
        (Provider, {"name": "p", "base_url": "https://[half/v1"}, "base_url"),
        (Provider, {"name": "p", "base_url": "https://me:pw@host/v1"}, "base_url"),
        (Provider, {"name": "p", "requests_per_minute": 0}, "requests_per_minute"),
        (RangeConfig, {"minimum": "0", "maximum": 1, "default": 1}, "minimum"),
    ],
)
def test_values_are_checked(kind: Any, fields: dict[str, Any], name: str) -> None:
    """What a field cannot hold is refused by the field's name (S1-25)."""
    with pytest.raises(FieldError) as caught:
        kind(**fields)

    assert caught.value.field == name


def test_a_range_holds_its_default() -> None:
    """A default outside its bounds is refused, one on a bound is not (S1-25)."""
    assert RangeConfig(minimum=0, maximum=2, default=2).default == 2
    with pytest.raises(ValueError, match="between"):
        RangeConfig(minimum=0, maximum=1, default=2)

"""The variables of one provider: key, model and URL, by the provider's name in the middle."""

from __future__ import annotations

import pytest
from loopback import Loopback, reply

from llmport_magic.errors import ConfigError
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.registry import (
    choose_provider,
    connector_for,
    default_model,
    default_registry,
)
from llmport_magic.secrets import key_variables
from llmport_magic.settings import resolve

KEY = "planted-key-0123456789abcdef"
PREFIXES = ("LLMPORT", "MINDX")


pytestmark = pytest.mark.usefixtures("own_registry")


@pytest.mark.parametrize(
    ("provider", "variable"),
    [("gemini", "GEMINI_API_KEY"), ("gemini", "GOOGLE_API_KEY"), ("groq", "GROQ_API_KEY")],
)
def test_the_vendors_own_variable_holds_the_key(
    provider: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gemini and Groq are chosen by the variables that their vendors name (S2-06)."""
    monkeypatch.setenv(variable, KEY)

    assert choose_provider(resolve()) == (provider, f"{variable} is set")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("provider", ["gemini", "groq", "openai", "deepseek", "my-own"])
async def test_the_key_of_any_provider_is_read_as_written(
    provider: str, prefix: str, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`MINDX_LLM__GEMINI__API_KEY` and its like hold the key, of every provider (S2-06)."""
    if provider == "my-own":
        default_registry().register_provider(
            provider, base_url=server.url, api_key_vars=["MY_OWN_API_KEY"], default_model="m"
        )
    middle = provider.upper().replace("-", "_")
    monkeypatch.setenv(f"{prefix}_LLM__{middle}__API_KEY", KEY)
    monkeypatch.setenv(f"{prefix}_LLM__{middle}__BASE_URL", server.url)
    monkeypatch.setenv(f"{prefix}_LLM__{middle}__MODEL", "another")
    server.always(reply())

    assert choose_provider(resolve())[0] == provider
    assert default_model(provider) == "another"
    connectors = [connector_for(resolve(provider=provider)), LLMProvider.from_name(provider)]
    for connector in connectors:
        if provider != "gemini":
            await connector.call("q")
        assert connector.model_name_for_api == "another"
        assert isinstance(connector, LLMProvider)
        assert connector.config.base_url == server.url
        assert connector._key() is not None

    assert all(request.headers["authorization"].endswith(KEY) for request in server.requests)


def test_the_packages_own_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said for this package alone comes before what all programs read (S0-11, S2-06)."""
    names = key_variables("gemini", ("GEMINI_API_KEY", "GOOGLE_API_KEY"))
    assert names == (
        "LLMPORT_LLM__GEMINI__API_KEY",
        "MINDX_LLM__GEMINI__API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
    )
    for name in reversed(names):
        monkeypatch.setenv(name, f"{KEY}-{names.index(name)}")
        llm = LLMProvider.from_name("gemini")
        assert isinstance(llm, LLMProvider)
        key = llm._key().secret
        assert key is not None
        assert key.reveal() == f"{KEY}-{names.index(name)}"


def test_an_argument_wins_over_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model and a URL that are given are used, whatever the variables hold (S0-11)."""
    monkeypatch.setenv("LLMPORT_LLM__GROQ__MODEL", "another")
    monkeypatch.setenv("LLMPORT_LLM__GROQ__BASE_URL", "https://elsewhere.test/v1")

    llm = LLMProvider.from_name("groq", model="m", base_url="https://here.test/v1")

    assert isinstance(llm, LLMProvider)
    assert (llm.config.model, llm.config.base_url) == ("m", "https://here.test/v1")


def test_a_missing_key_names_only_the_vendors_variables() -> None:
    """What to set is said in one line, not in every spelling there is (S0-13)."""
    with pytest.raises(ConfigError, match="`GEMINI_API_KEY` or `GOOGLE_API_KEY`") as caught:
        connector_for(resolve(provider="gemini"))

    assert "__" not in str(caught.value)

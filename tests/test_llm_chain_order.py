"""Who the router asks, and in which order: keys, the environment, `provider` and `fallback`."""

from __future__ import annotations

import pytest
from loopback import Loopback, reply
from two_providers import KEY, at, real_answers, unwarned

from llmport_magic.errors import ConfigError
from llmport_magic.llm import embedded
from llmport_magic.llm.registry import LLMRegistry
from llmport_magic.llm.routing.router import LLMProviderFactory, create_llm_factory
from llmport_magic.settings import configure

pytestmark = [pytest.mark.usefixtures("own_registry"), unwarned]


@pytest.mark.parametrize(
    ("keys", "chain"),
    [
        ([], []),
        (["OPENAI_API_KEY"], ["openai"]),
        (["ANTHROPIC_API_KEY", "OPENAI_API_KEY"], ["openai", "anthropic"]),
        (["GROQ_API_KEY", "ANTHROPIC_API_KEY"], ["anthropic", "groq"]),
        (["GROQ_API_KEY", "GOOGLE_API_KEY"], ["gemini", "groq"]),
    ],
)
@pytest.mark.parametrize("here", [False, True])
@pytest.mark.parametrize("installed", [False, True])
def test_auto_takes_all_that_can_be_asked(
    monkeypatch: pytest.MonkeyPatch,
    keys: list[str],
    chain: list[str],
    here: bool,
    installed: bool,
) -> None:
    """OpenAI, Anthropic, others with a key, local servers, embedded; never the mock (S3-02)."""
    for key in keys:
        monkeypatch.setenv(key, KEY)
    monkeypatch.setattr("llmport_magic.llm.transport.answers", lambda *_: here)
    monkeypatch.setattr(embedded, "installed", lambda *_: installed)
    factory = create_llm_factory()

    expected = [
        *chain,
        *(["local", "ollama"] if here else []),
        *(["embedded"] if installed else []),
    ]
    assert factory.primary == (expected[0] if expected else None)
    assert factory.fallback_chain == tuple(expected[1:])


def test_making_one_asks_nobody(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network at construction, nor before a local server is needed (S3-02)."""
    monkeypatch.setattr("llmport_magic.llm.transport.answers", real_answers)
    factory = LLMProviderFactory({"ollama": at(server), "openai": at(server)})

    assert server.accepts == 0
    server.always(reply())
    assert factory.call_llm("q") == "hello"
    assert [request.path for request in server.requests] == ["/v1/chat/completions"]


async def test_nobody_says_what_to_do() -> None:
    """Without a key, a server or a model the ways on are named, and the mock is not one (S3-02)."""
    factory = create_llm_factory()
    with pytest.raises(ConfigError, match=r"OPENAI_API_KEY.*model install") as caught:
        await factory.generate("q")

    assert "mock" not in str(caught.value)
    assert repr(factory).startswith("LLMProviderFactory(")
    assert (await factory.health_check())["primary_provider"] is None


def test_the_mock_is_only_asked_where_it_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in no chain but by `provider`, `fallback` or a table of its own (S3-02)."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    assert "mock" not in (create_llm_factory().fallback_chain)
    assert create_llm_factory(fallback=["mock"]).fallback_chain == ("mock",)
    assert create_llm_factory({"mock": {}}).fallback_chain == ("mock",)
    named = create_llm_factory({"provider": "mock"})
    assert (named.primary, named.fallback_chain) == ("mock", ())


@pytest.mark.parametrize("variable", ["LLM_PROVIDER", "LLMPORT_PROVIDER"])
@pytest.mark.parametrize("name", ["auto", "openai", "anthropic", "ollama", "mock", "Anthropic"])
def test_the_environment_names_the_first(
    monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    """LLM_PROVIDER says who is asked first, and the config wins over it (S3-04)."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv(variable, name)

    assert create_llm_factory().primary == ("openai" if name == "auto" else name.lower())
    assert create_llm_factory({"provider": "openai"}).primary == "openai"
    assert create_llm_factory({"provider": "auto"}).primary == "openai"


def test_unknown_names_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that nobody knows is an error with the nearest name (S3-04)."""
    for wrong in ({"provider": "antropic"}, {"fallback": ["antropic"]}):
        with pytest.raises(ConfigError, match="did you mean `anthropic`"):
            create_llm_factory(wrong)
    monkeypatch.setenv("LLM_PROVIDER", "antropic")
    with pytest.raises(ConfigError, match="did you mean `anthropic`"):
        create_llm_factory()


def test_fallback_says_who_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting `fallback` is the chain after the first; an empty one turns it off (S3-02)."""
    for name in ("OPENAI", "ANTHROPIC", "GROQ"):
        monkeypatch.setenv(f"{name}_API_KEY", KEY)

    factory = create_llm_factory(fallback=["groq", "ollama"])
    assert (factory.primary, factory.fallback_chain) == ("openai", ("groq", "ollama"))
    factory = create_llm_factory({"provider": "groq", "fallback": ["openai", "groq"]})
    assert (factory.primary, factory.fallback_chain) == ("groq", ("openai",))
    assert create_llm_factory({"fallback": []}).fallback_chain == ()
    assert create_llm_factory({"provider": "groq"}).fallback_chain == ("openai", "anthropic")


def test_what_was_asked_here_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local provider that is named is not followed by one elsewhere, but where listed (S3-05)."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(embedded, "installed", lambda *_: True)

    assert create_llm_factory({"provider": "ollama"}).fallback_chain == ("embedded",)
    assert create_llm_factory({"base_url": "http://localhost:1/v1"}).fallback_chain == ("embedded",)
    listed = create_llm_factory({"provider": "ollama", "fallback": ["openai"]})
    assert listed.fallback_chain == ("openai",)
    table = {"provider": "ollama", "openai": {"model": "gpt-4o"}}
    assert create_llm_factory(table).fallback_chain == ("embedded",)


async def test_a_key_that_comes_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key set after the factory was made, and `configure()`, take effect (S0-14)."""
    factory = create_llm_factory()
    assert factory.primary is None
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    assert factory.primary == "anthropic"
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    configure(provider="groq")
    assert factory.primary == "groq"
    assert (await factory.get_provider()).provider_name == "groq"


async def test_a_model_that_is_not_installed_is_not_healthy() -> None:
    """The embedded model without its weights is unconfigured, with what installs it (S3-10)."""
    health = await create_llm_factory({"provider": "embedded"}).health_check()

    assert health["providers"]["embedded"]["status"] == "unconfigured"
    assert "model install" in health["providers"]["embedded"]["error"]
    assert health["primary_provider"] is None


def test_another_registry_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Providers and keys are looked up in the registry that is given."""
    registry = LLMRegistry.create_default(credential_manager={"deepseek": KEY})

    assert create_llm_factory(registry=registry).primary == "deepseek"
    assert create_llm_factory().primary is None

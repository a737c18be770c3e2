"""Who the router asks: keys, settings, the seed's dictionary, and what each provider is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from loopback import Loopback, failure, raw, reply

from llmport_magic.errors import ConfigError, LLMFailoverError, LLMStatusError, UsageError
from llmport_magic.llm import embedded, selection, transport
from llmport_magic.llm.capabilities import LLMCapabilities, LLMProfile, ProviderType
from llmport_magic.llm.mock import MockConnector
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.registry import LLMRegistry, default_registry, register_provider
from llmport_magic.llm.routing.router import LLMProviderFactory, create_llm_factory
from llmport_magic.settings import configure

pytestmark = [
    pytest.mark.usefixtures("own_registry"),
    pytest.mark.filterwarnings("ignore::llmport_magic.llm.routing.router.LLMFailoverWarning"),
]

KEY = "planted-key-0123456789abcdef"
OTHER = "another-key-fedcba9876543210"
REAL_ANSWERS = transport.answers


@pytest.fixture
def second() -> Iterator[Loopback]:
    """Serve as another provider."""
    with Loopback() as running:
        yield running


def at(server: Loopback, **more: Any) -> dict[str, Any]:
    """Give the table of a provider that the server stands for."""
    return {"base_url": server.url, "api_key": KEY, "attempts": 1, **more}


# Who, in which order


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
    monkeypatch.setattr("llmport_magic.llm.transport.answers", REAL_ANSWERS)
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


# What each is told


async def test_each_table_is_for_its_provider(server: Loopback, second: Loopback) -> None:
    """Model, temperature and attempts of one provider go to no other (S3-03)."""
    server.always(failure(500))
    second.always(reply())
    factory = LLMProviderFactory(
        {
            "provider": "auto",
            "openai": at(server, model="gpt-4o", temperature=0.3, max_retries=1, backoff=0)
            | {"attempts": None},
            "groq": at(second, model="llama-x", temperature=0.2),
        }
    )
    response = await factory.generate("q")

    assert [each["sends"] for each in response.metadata["attempts"]] == [2, 1]
    assert {(r.json["model"], r.json["temperature"]) for r in server.requests} == {("gpt-4o", 0.3)}
    assert (second.requests[0].json["model"], second.requests[0].json["temperature"]) == (
        "llama-x",
        0.2,
    )
    await factory.generate("q", temperature=0.9)
    assert second.requests[-1].json["temperature"] == 0.9


async def test_what_is_set_for_the_first_stays_there(server: Loopback, second: Loopback) -> None:
    """A model, key or URL beside `provider` is for that provider only (S3-03, S0-12)."""
    server.always(failure(500))
    second.always(reply())
    configure(provider="openai", model="gpt-4o", base_url=server.url, api_key=KEY, attempts=1)
    factory = LLMProviderFactory(
        fallback=["groq"], llm={"groq": {"base_url": second.url, "api_key": OTHER}}
    )
    response = await factory.generate("q")

    assert response.provider == "groq"
    sent = second.requests[0]
    assert sent.json["model"] == default_registry().provider("groq").default_model
    assert sent.headers["authorization"] == f"Bearer {OTHER}"
    assert server.requests[0].json["model"] == "gpt-4o"


async def test_a_model_goes_to_whoever_has_it(server: Loopback, second: Loopback) -> None:
    """A model that a call or a setting names goes first to the provider that has it (S3-03)."""
    server.always(reply())
    second.always(reply())
    model = next(iter(default_registry().provider("groq").models))
    tables = {"openai": at(server, model="gpt-4o"), "groq": at(second)}
    await LLMProviderFactory(tables).generate("q", model=model)
    await LLMProviderFactory({**tables, "model": model}).generate("q")

    assert [each.json["model"] for each in second.requests] == [model, model]
    assert server.requests == []
    second.always(failure(500))
    response = await LLMProviderFactory(tables).generate("q", model=model)
    assert response.provider == "openai"
    await LLMProviderFactory({**tables, "model": model}).generate("q")
    assert [each.json["model"] for each in server.requests] == ["gpt-4o", "gpt-4o"]


async def test_ollama_gets_its_own_parameters(server: Loopback) -> None:
    """num_gpu and num_ctx of the seed's table reach the server as options (S3-03)."""
    answer = (
        '{"model": "llama3.2", "message": {"role": "assistant", "content": "hi"}, "done": true}'
    )
    server.always(raw(answer))
    url = server.url.removesuffix("/v1")
    factory = LLMProviderFactory(
        {
            "provider": "ollama",
            "ollama": {"model": "llama3.2", "base_url": url, "num_gpu": -1, "num_ctx": 8192},
        }
    )
    response = await factory.generate("q")

    assert response.content == "hi"
    sent = server.requests[0]
    assert sent.path == "/api/chat"
    assert sent.json["model"] == "llama3.2"
    assert (sent.json["options"]["num_gpu"], sent.json["options"]["num_ctx"]) == (-1, 8192)


def test_unknown_keys_are_warned_of() -> None:
    """A key that nobody knows is left out with a hint, at the top and in a table (S3-03)."""
    with pytest.warns(UserWarning, match="`opnai`.*did you mean `openai`"):
        LLMProviderFactory({"opnai": {"model": "x"}})
    with pytest.warns(UserWarning, match="`modle` of `openai`.*did you mean `model`"):
        LLMProviderFactory({"openai": {"modle": "x"}})
    with pytest.warns(UserWarning, match="`num_ctxx` of `ollama`.*did you mean `num_ctx`"):
        LLMProviderFactory({"ollama": {"num_ctxx": 1}})
    with pytest.raises(ConfigError, match="temperature"):
        LLMProviderFactory({"openai": {"temperature": "hot"}})
    with pytest.raises(ConfigError, match="table"):
        LLMProviderFactory({"openai": "gpt-4o"})


async def test_a_forced_provider_need_not_be_in_the_chain(
    server: Loopback, second: Loopback
) -> None:
    """`provider_type` asks that one, by member or text; a missing key is its own error (S3-06)."""
    server.always(reply())
    second.always(failure(500))
    factory = LLMProviderFactory(
        {"provider": "openai", "openai": at(server), "groq": at(second), "fallback": []}
    )
    with pytest.raises(LLMStatusError) as caught:
        await factory.generate("q", provider_type="groq")
    assert caught.value.provider == "groq"
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY"):
        await factory.generate("q", provider_type=ProviderType.ANTHROPIC)
    with pytest.raises(ConfigError, match="did you mean `groq`"):
        await factory.generate("q", provider_type="grok")
    assert server.requests == []
    assert isinstance(await factory.get_provider(ProviderType.OPENAI), LLMProvider)


async def test_a_local_server_is_looked_for_when_it_is_needed(
    server: Loopback, second: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked where it answers, and passed over without a word where it does not (S3-02)."""
    monkeypatch.setattr("llmport_magic.llm.transport.answers", REAL_ANSWERS)
    server.always(failure(500))
    factory = LLMProviderFactory({"openai": at(server), "local": {"base_url": second.url}})
    second.always(failure(500))
    with pytest.raises(LLMStatusError):
        await factory.generate("q")
    assert [request.path for request in second.requests] == ["/v1/models"]

    selection._probed.clear()
    second.always(
        lambda request: raw('{"data": [{"id": "m"}]}') if "models" in request.path else reply("me")
    )
    response = await factory.generate("q")
    assert (response.content, response.provider) == ("me", "local")


async def test_all_without_a_key_are_named() -> None:
    """Where every provider that is listed lacks its key, one line names each variable (S3-51)."""
    factory = LLMProviderFactory({"provider": "openai", "fallback": ["anthropic"]})
    with pytest.raises(ConfigError, match=r"OPENAI_API_KEY.*ANTHROPIC_API_KEY") as caught:
        await factory.generate("q")

    assert "\n" not in str(caught.value)


async def test_the_time_of_one_is_not_the_time_of_all(server: Loopback, second: Loopback) -> None:
    """A short deadline in one provider's table leaves the others theirs (S3-05)."""
    from loopback import HANG, Script

    server.always(Script((HANG,), silent=True))
    second.always(reply("there"))
    factory = LLMProviderFactory(
        {"provider": "openai", "openai": at(server, timeout_ms=300), "groq": at(second)}
    )

    assert (await factory.generate("q")).content == "there"


# The cheapest


def _priced(name: str, price: float | None, **can: Any) -> LLMProfile:
    known = LLMCapabilities(
        max_context_window=8_000,
        input_cost_per_1k_tokens=price,
        output_cost_per_1k_tokens=price,
        **can,
    )
    return LLMProfile(name=name, provider="", capabilities=known)


def _models(*profiles: LLMProfile) -> dict[str, Any]:
    return {profile.name: profile for profile in profiles}


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
    registry = default_registry()
    chosen = registry.find_model(sent.json["model"])
    assert chosen is not None
    assert chosen.capabilities.input_cost_per_1k_tokens is not None
    default = registry.find_model(registry.provider("openai").default_model or "")
    assert default is not None
    assert chosen.capabilities.input_cost_per_1k_tokens <= (
        default.capabilities.input_cost_per_1k_tokens or 0
    )


async def test_errors_hold_no_key(server: Loopback, second: Loopback) -> None:
    """No key is in the error of a chain, its repr or what was recorded (X-07)."""
    for each in (server, second):
        each.always(failure(401, f"no such key: {KEY}"))
    factory = LLMProviderFactory({"openai": at(server), "groq": at(second)})
    with pytest.raises(LLMFailoverError) as caught:
        await factory.generate("q")
    health = await factory.health_check()

    for text in (str(caught.value), repr(caught.value.attempts_made), repr(factory), str(health)):
        assert KEY not in text

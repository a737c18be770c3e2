"""What each provider of a chain is told: settings, the seed's dictionary, a model's place."""

from __future__ import annotations

import pytest
from loopback import Loopback, failure, raw, reply
from two_providers import KEY, at, real_answers, unwarned

from llmport_magic.errors import ConfigError, LLMFailoverError, LLMStatusError
from llmport_magic.llm import selection
from llmport_magic.llm.capabilities import ProviderType
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.registry import default_registry
from llmport_magic.llm.routing.router import LLMProviderFactory
from llmport_magic.settings import configure

pytestmark = [pytest.mark.usefixtures("own_registry"), unwarned]

OTHER = "another-key-fedcba9876543210"


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
    configure(provider="openai", model="gpt-4o", **at(server))
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
    monkeypatch.setattr("llmport_magic.llm.transport.answers", real_answers)
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

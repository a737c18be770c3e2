"""Who is asked for a specification: which provider and model, with what options and budget."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asking import asking
from awaiting import soon
from drafts import GOOD, WRONG_SHAPE, good
from loopback import Loopback, failure, reply
from two_providers import both, one, two, unwarned

from llmport_magic.errors import ConfigError, GMNOutputError, LLMContextError, LLMStatusError
from llmport_magic.gmn import generate, parse, refine
from llmport_magic.gmn.writing.generation import connector_of
from llmport_magic.llm import LLMProviderFactory, MockConnector
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.registry import register_provider
from llmport_magic.settings import Rank, for_task, resolve

# -- who is asked --------------------------------------------------------------------------------


@unwarned
def test_the_next_provider_writes_it(server: Loopback, second: Loopback) -> None:
    """Where the first provider is down the second one writes the specification (S3-21)."""
    server.always(failure(500))
    second.script(reply(WRONG_SHAPE), reply(GOOD))

    assert generate("a lamp", connector=both(server, second)) == good()
    assert len(second.requests) == 2


@unwarned
@pytest.mark.usefixtures("own_registry")
def test_the_setting_says_who_is_next(server: Loopback, second: Loopback) -> None:
    """Where the provider is down those of the setting `fallback` are asked (S3-21)."""
    server.always(failure(500))
    second.always(reply(GOOD))
    register_provider("one", connector=one(server))
    register_provider("two", connector=two(second))

    assert generate("a lamp", provider="one", fallback=["two"]) == good()
    with pytest.raises(LLMStatusError):
        generate("a lamp", provider="one")


@unwarned
async def test_one_provider_can_be_forced(server: Loopback, second: Loopback) -> None:
    """`provider_type` asks that one only, and its own error counts (S3-20)."""
    server.always(failure(500))
    second.always(reply(GOOD))
    router = both(server, second)

    assert parse(await router.generate_gmn("a lamp", provider_type="two")) == good()
    assert server.requests == []
    with pytest.raises(LLMStatusError):
        await router.generate_gmn("a lamp", provider_type="one")
    assert len(second.requests) == 1


@pytest.mark.usefixtures("own_registry")
def test_the_settings_say_who_is_asked() -> None:
    """Without a connector the settings count; the mock answers where it is named."""
    spec = generate("an explorer in a 3x3 grid", provider="mock")

    assert spec.factors[0].size == 9
    assert refine(spec, "add memory", provider="mock").factors[1].name == "memory"


@pytest.mark.usefixtures("own_registry")
def test_frozen_asks_nobody(server: Loopback) -> None:
    """With `mode = frozen` no model is asked, and it is said by whose word."""
    with pytest.raises(ConfigError, match=r"`mode = frozen` \(set by argument\): no model"):
        generate("a lamp", provider="local", base_url=server.url, mode="frozen")
    assert server.requests == []


# -- models of their own -------------------------------------------------------------------------


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize(
    ("models", "model"),
    [
        ({"gmn": "ft:gmn-1"}, "ft:gmn-1"),
        ({"gmn": {"provider": "mock", "model": "ft:gmn-2"}}, "ft:gmn-2"),
        ({"code": "coder"}, "mock"),
        ({}, "mock"),
    ],
)
def test_a_model_for_specifications(models: dict[str, Any], model: str) -> None:
    """`models.gmn` is asked for specifications, and by nobody else (S3-63)."""
    settings = resolve(config={"provider": "mock", "models": models})

    assert connector_of(settings).model_name_for_api == model


@pytest.mark.usefixtures("own_registry")
def test_a_model_for_modules() -> None:
    """`models.code` is asked for modules, and a model that is named more strongly wins (S3-63)."""
    from llmport_magic import bridge
    from llmport_magic.answering import who_answers
    from llmport_magic.settings import configure

    configure(provider="mock", models={"code": "coder", "gmn": "writer"})
    asked = {
        task: bridge.run(who_answers(resolve(), task))[2].model_name_for_api
        for task in ("code", "gmn")
    }

    assert asked == {"code": "coder", "gmn": "writer"}
    assert for_task(resolve(model="mine"), "gmn").model == "mine"
    assert for_task(resolve(), "gmn").source("model").startswith("`models.gmn` in configure()")
    assert for_task(resolve(), "gmn").ranks["model"] == Rank.CONFIGURED


def test_a_model_named_more_strongly_stays_with_its_provider() -> None:
    """Of a table in `models` nothing counts where a model or a provider is an argument (S3-63)."""
    from llmport_magic.settings import configure

    configure(provider="mock", models={"gmn": {"provider": "groq", "model": "writer"}})
    found = [
        for_task(resolve(**given), "gmn") for given in ({}, {"model": "a"}, {"provider": "openai"})
    ]

    assert [(each.provider, each.model) for each in found] == [
        ("groq", "writer"),
        ("mock", "a"),
        ("openai", None),
    ]


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ({"gnm": "x"}, "is for gmn and code, not `gnm`"),
        ({"gmn": 3}, "`models.gmn` .* is the name of a model"),
        ({"gmn": {"modell": "x"}}, "is the name of a model, or a table with `provider`"),
        ({"gmn": ""}, "is the name of a model"),
    ],
)
def test_a_bad_table_of_models_is_told(models: dict[str, Any], told: str) -> None:
    """A slip in `models` is an error with its place (S3-63)."""
    with pytest.raises(ValueError, match=told):
        resolve(models=models)


def test_models_come_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """`LLMPORT_MODELS` holds the table as JSON (S3-63)."""
    monkeypatch.setenv("LLMPORT_MODELS", '{"gmn": "writer"}')

    assert for_task(resolve(), "gmn").model == "writer"


# -- how many at once, and how much --------------------------------------------------------------


async def test_all_are_asked_before_the_first_has_answered() -> None:
    """Specifications that are asked for together are on their way together (S3-13)."""
    wishes = [f"a team of {n} robots" for n in range(2, 7)]
    silent = MockConnector(delay=3_600)
    asked = [asyncio.ensure_future(silent.generate_gmn(wish)) for wish in wishes]
    await soon(lambda: len(silent.calls) == 5)
    for each in asked:
        each.cancel()

    mock = MockConnector()
    texts = await asyncio.gather(*(mock.generate_gmn(wish) for wish in wishes))
    assert len(set(texts)) == 5
    assert all(parse(text) for text in texts)


async def test_how_many_at_once_can_be_set(server: Loopback) -> None:
    """`pool_size` is the most that are on their way at a time (S3-13)."""
    from llmport_magic.llm.wire import Limits

    server.always(reply(GOOD))
    connector = asking(server, limits=Limits(pool_size=2))
    await asyncio.gather(*(connector.generate_gmn(f"lamp {n}") for n in range(6)))

    assert len(server.requests) == 6
    assert server.accepts <= 2


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ({"tries": 2}, "none of 2 answers is a valid specification"),
        (
            {"budget_tokens": 5},
            r"the answer is not .*stopped after 1 of 3 tries: `budget_tokens` = 5",
        ),
        ({"budget_seconds": 0.0}, r"stopped after 1 of 3 tries: `budget_seconds` = 0"),
    ],
)
def test_a_budget_ends_it(limit: dict[str, Any], told: str, server: Loopback) -> None:
    """What may be spent on one cell may be spent on one specification (S3-25)."""
    server.always(lambda _: reply(WRONG_SHAPE, usage=None))
    with pytest.raises(GMNOutputError, match=told) as caught:
        generate("a lamp", provider="local", base_url=server.url, model="m", **limit)

    assert "`sense`" in caught.value.findings[0]
    assert len(server.requests) == limit.get("tries", 1)


def test_a_prompt_that_is_too_long_is_not_sent(server: Loopback) -> None:
    """It is refused before the network, with the numbers (S3-61)."""
    able = LLMCapabilities(max_context_window=4_000)
    with pytest.raises(LLMContextError, match=r"about [\d,]+ tokens.* takes 4,000 for both"):
        generate("a lamp " * 5_000, connector=asking(server, capabilities=able))
    assert server.requests == []


# -- options of a call ---------------------------------------------------------------------------


def test_options_reach_the_call(server: Loopback) -> None:
    """Temperature, seed, length and model of one call are those that were given (S3-20)."""
    server.always(reply(GOOD))
    generate("a lamp", connector=asking(server))
    generate(
        "a lamp", connector=asking(server), temperature=0.9, seed=3, max_tokens=77, model="m-9"
    )
    plain, given = (request.json for request in server.requests)

    assert plain["temperature"] == 0.3
    assert (given["temperature"], given["seed"], given["model"]) == (0.9, 3, "m-9")
    assert 77 in given.values()


def test_a_temperature_that_was_set_stays(server: Loopback) -> None:
    """What a provider's own settings say counts; only what nobody set is 0.3 (S3-03, S3-20)."""
    server.always(reply(GOOD))
    plain, cool = asking(server), asking(server, temperature=0.2)
    generate("a lamp", connector=plain)
    generate("a lamp", connector=cool)
    generate("a lamp", connector=cool, temperature=0.6)

    assert [request.json["temperature"] for request in server.requests] == [0.3, 0.2, 0.6]


@unwarned
def test_each_provider_keeps_its_temperature(server: Loopback, second: Loopback) -> None:
    """A chain asks each with the temperature of its own table (S3-03)."""
    server.always(failure(404, "no such model"))
    second.always(reply(GOOD))
    router = LLMProviderFactory(
        connectors=[one(server, temperature=0.9), two(second, temperature=0.2)]
    )
    generate("a lamp", connector=router)

    assert server.requests[0].json["temperature"] == 0.9
    assert second.requests[0].json["temperature"] == 0.2

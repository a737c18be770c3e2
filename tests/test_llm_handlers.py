"""Handlers: one instance for one set of parameters, mocks, errors as texts."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import KEY
from loopback import Loopback, raw, reply

import llmport_magic
from llmport_magic.errors import ConfigError, LLMError
from llmport_magic.llm import (
    BaseLLMConnector,
    LLMProvider,
    create_llm_handler,
    register_provider,
    selection,
)
from llmport_magic.llm.selection import close_connectors
from llmport_magic.secrets import Secret

pytestmark = pytest.mark.usefixtures("own_registry")
OTHER_KEY = "other-key-0123456789abcdef"


@pytest.fixture(autouse=True)
async def _close() -> AsyncIterator[None]:
    """Forget the connectors of a test."""
    yield
    await close_connectors()


@pytest.fixture
def quiet() -> Iterator[None]:
    """Let the mock's warning pass."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no model is asked")
        yield


async def test_the_name_is_taken_in_any_case() -> None:
    """The effective provider decides, however its name is written (S2-17)."""
    one = await create_llm_handler("Gemini", api_key=KEY)
    two = await create_llm_handler("gemini", api_key=KEY)

    assert one is two
    assert one.provider_name == "gemini"


BASE: dict[str, Any] = {
    "provider_name": "groq",
    "model_name": "m",
    "api_key": KEY,
    "base_url": "http://127.0.0.1:9",
    "headers": {"x-key": "one-header-0123456789"},
}


@pytest.mark.parametrize(
    "other",
    [
        {"provider_name": "openai"},
        {"model_name": "n"},
        {"api_key": OTHER_KEY},
        {"base_url": "http://127.0.0.1:10"},
        {"timeout": 3.0},
        {"first_byte_timeout": 3.0},
        {"requests_per_minute": 7},
        {"tokens_per_minute": 7000},
        {"headers": {"x-key": "two-header-0123456789"}},
        {"options": {"top_k": 1}},
        {"temperature": 0.1},
        {"max_tokens": 11},
        {"attempts": 1},
        {"errors": "string"},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_same_parameters_same_handler(other: dict[str, Any]) -> None:
    """Equal parameters give one instance, and any other one another (S2-18)."""
    one = await create_llm_handler(**BASE)
    again = await create_llm_handler(**{**BASE, "headers": dict(BASE["headers"])})
    changed = await create_llm_handler(**{**BASE, **other})

    assert one is again
    assert changed is not one
    assert changed is await create_llm_handler(**{**BASE, **other})


async def test_no_key_stands_in_the_cache(caplog: pytest.LogCaptureFixture) -> None:
    """The cache's key has a hash of the key; neither it nor the debug log shows one (S2-18)."""
    caplog.set_level(logging.DEBUG)

    await create_llm_handler(**BASE)

    assert len(selection._connectors) == 1
    (key,) = selection._connectors
    shown = repr(key)
    assert KEY not in shown + caplog.text
    assert "one-header" not in shown + caplog.text
    assert not _secrets_in(key)
    assert Secret(KEY).fingerprint() in shown


def _secrets_in(value: Any) -> list[Secret]:
    if isinstance(value, tuple):
        return [secret for part in value for secret in _secrets_in(part)]
    return [value] if isinstance(value, Secret) else []


async def test_a_hundred_creations_at_once_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tasks ask at once, the connector is made once (S2-19)."""
    made: list[BaseLLMConnector] = []
    original = selection._made

    def counted(*given: Any) -> BaseLLMConnector:
        made.append(original(*given))
        return made[-1]

    monkeypatch.setattr(selection, "_made", counted)

    handlers = await asyncio.gather(*(create_llm_handler(**BASE) for _ in range(100)))

    assert len(made) == 1
    assert all(handler is made[0] for handler in handlers)


def test_two_threads_share_a_handler_and_both_use_it(server: Loopback) -> None:
    """Loops of two threads get one instance, which answers also after one has ended (S2-19)."""
    server.always(reply("hi"))
    found: list[tuple[BaseLLMConnector, str | None]] = []
    together = threading.Barrier(2)

    async def ask() -> None:
        handler = await create_llm_handler("local", "m", base_url=server.url)
        found.append((handler, await handler.generate_text("q")))

    def work() -> None:
        together.wait(60)
        asyncio.run(ask())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    asyncio.run(ask())

    assert [text for _, text in found] == ["hi"] * 3
    assert len({id(handler) for handler, _ in found}) == 1


async def test_an_unknown_provider_is_an_error_even_where_a_mock_is_allowed() -> None:
    """A misspelt name is said, never answered by the mock (S2-20)."""
    with pytest.raises(ConfigError, match="did you mean `groq`"):
        await create_llm_handler("grok", allow_mock=True)


@pytest.mark.parametrize("provider", ["groq", None])
async def test_nobody_gets_the_mock_who_did_not_ask(provider: str | None) -> None:
    """A missing key, or nobody at all, is an error, not the mock (S2-20)."""
    with pytest.raises(ConfigError, match="GROQ_API_KEY"):
        await create_llm_handler(provider)


@pytest.mark.parametrize("provider", ["groq", None])
async def test_the_mock_is_allowed_by_name(provider: str | None) -> None:
    """`allow_mock` lets it answer where nobody can, with one loud warning (S2-20)."""
    with pytest.warns(UserWarning, match="the mock answers: `allow_mock` is set, .*GROQ_") as told:
        handlers = [await create_llm_handler(provider, allow_mock=True) for _ in range(2)]

    assert handlers[0].provider_name == "mock"
    assert handlers[1] is handlers[0]
    assert len([each for each in told if each.category is UserWarning]) == 1


async def test_a_provider_that_can_answer_goes_before_the_mock() -> None:
    """`allow_mock` changes nothing where there is a key (S2-20)."""
    handler = await create_llm_handler("groq", api_key=KEY, allow_mock=True)

    assert (handler.provider_name, type(handler)) == ("groq", LLMProvider)


@pytest.mark.parametrize("how", ["argument", "variable"])
async def test_the_mock_by_its_name_says_so(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named as an argument or by `LLM_PROVIDER`, it answers and a warning says by whom (S2-20)."""
    if how == "variable":
        monkeypatch.setenv("LLM_PROVIDER", "mock")

    with pytest.warns(UserWarning, match=f"set by {'LLM_PROVIDER' if how == 'variable' else how}"):
        handler = await create_llm_handler("mock" if how == "argument" else None)

    assert handler.provider_name == "mock"
    assert (await handler.complete("q")).provider == "mock"


def _once(server: Loopback) -> dict[str, Any]:
    return {"base_url": server.url, "attempts": 1, "connect_timeout": 60.0}


async def _failing(server: Loopback, **more: Any) -> BaseLLMConnector:
    server.always(raw(json.dumps({"error": {"message": "worn out"}}), status=500))
    return await create_llm_handler("local", "m", **_once(server), **more)


async def test_a_failure_raises(server: Loopback) -> None:
    """By default `generate_text` raises (S2-21)."""
    handler = await _failing(server)

    with pytest.raises(LLMError, match="worn out"):
        await handler.generate_text("q")


async def test_a_failure_can_be_a_text(server: Loopback) -> None:
    """With `errors="string"` it returns `Error: …`, and an answer as it is (S2-21)."""
    handler = await _failing(server, errors="string")

    failed = await handler.generate_text("q", "m", max_tokens=5)
    server.always(reply("fine"))

    assert failed is not None
    assert failed.startswith("Error: ")
    assert "worn out" in failed
    assert await handler.generate_text("q") == "fine"
    assert isinstance(handler, LLMProvider)
    assert (handler.provider_name, handler.totals.calls) == ("local", 1)


async def test_only_generate_text_returns_error_texts(server: Loopback) -> None:
    """`complete`, `call`, `stream` and the connector that others get raise all the same (S2-21)."""
    texting = await _failing(server, errors="string")
    plain = await _failing(server)

    assert plain is not texting
    for asked in (texting.complete, texting.call, texting.generate, plain.generate_text):
        with pytest.raises(LLMError, match="worn out"):
            await asked("q")
    with pytest.raises(LLMError, match="worn out"):
        [piece async for piece in texting.stream("q")]
    with pytest.raises(LLMError, match="worn out"):
        await asyncio.to_thread(texting.call_llm, "q")


async def test_a_mistake_of_the_caller_is_no_text(server: Loopback) -> None:
    """An unknown option raises also where failures are texts (S2-21)."""
    handler = await _failing(server, errors="string")

    with pytest.raises(ValueError, match="unknown option"):
        await handler.generate_text("q", tempratur=1)


def test_no_module_is_made_of_an_error(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module's road never sees `Error: …`: it fails, and no file is written (S2-21)."""
    monkeypatch.chdir(tmp_path)
    llmport_magic.configure(provider="local", model="m", **_once(server))
    server.always(raw(json.dumps({"error": {"message": "worn out"}}), status=500))
    handler = llmport_magic.run(create_llm_handler(errors="string"))
    assert str(llmport_magic.run(handler.generate_text("q"))).startswith("Error: ")

    with pytest.raises(LLMError, match="worn out"):
        llmport_magic.llmport("circle", "The area of a circle.")

    assert not (tmp_path / "circle.py").exists()


async def test_a_server_without_a_named_model_is_asked_what_it_serves(server: Loopback) -> None:
    """A handler knows its model where a server tells it, and is made where none answers (S2-07)."""
    server.always(raw(json.dumps({"object": "list", "data": [{"id": "served"}]})))

    handler = await create_llm_handler("local", base_url=server.url)
    nobody = await create_llm_handler("local", base_url="http://127.0.0.1:9", attempts=1)

    assert handler.model_name_for_api == "served"
    assert nobody.model_name_for_api == ""
    with pytest.raises(LLMError, match=r"127\.0\.0\.1:9"):
        await nobody.generate_text("q")


@pytest.mark.parametrize("name", ["prefer", "errors"])
async def test_choices_are_said(name: str) -> None:
    """An unknown choice is refused with those that there are."""
    given: dict[str, Any] = {name: "strings"}

    with pytest.raises(ConfigError, match=f"`{name}` is one of .*, not `strings`"):
        await create_llm_handler("mock", **given)


class Parrot(BaseLLMConnector):
    """The shortest connector of a third party."""

    def __init__(self, api_key: str, model: str) -> None:
        self.model = model
        self.key = api_key

    def call_llm(self, prompt: str) -> str:
        """Say it again."""
        return f"{self.model}: {prompt}"


async def test_a_handler_is_added_without_touching_the_factory(server: Loopback) -> None:
    """A class, or a record of a wire format, is a handler as soon as it is registered (S2-24)."""
    with pytest.raises(ConfigError, match="unknown provider `parrot`"):
        await create_llm_handler("parrot")
    register_provider("parrot", connector=Parrot, api_key_vars="PARROT_KEY", default_model="grey")
    register_provider("house", base_url=server.url, key_required=False, default_model="h1")
    server.always(reply("from the house"))

    parrot = await create_llm_handler("Parrot", api_key=KEY)
    house = await create_llm_handler("house")

    assert await parrot.generate_text("hi") == "grey: hi"
    assert await house.generate_text("hi") == "from the house"
    assert server.requests[0].json["model"] == "h1"
    assert (await create_llm_handler("parrot", api_key=KEY)) is parrot


@pytest.mark.usefixtures("quiet")
async def test_a_connector_of_anybody_can_give_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors as texts work for a third party's class, too, and leave it as it was (S2-21)."""

    class Broken(Parrot):
        def call_llm(self, prompt: str) -> str:
            raise LLMError(f"no {prompt}", provider="broken")

    register_provider("broken", connector=Broken, key_required=False, default_model="b")
    texting = await create_llm_handler("broken", api_key=KEY, errors="string")
    plain = await create_llm_handler("broken", api_key=KEY)

    assert await texting.generate_text("luck") == "Error: no luck"
    with pytest.raises(LLMError, match="no luck"):
        await plain.generate_text("luck")

"""The registry as a user meets it: its page's own code, names in any case, and what routers ask."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from awaiting import PATIENCE
from loopback import Loopback, Request, Script, raw, reply
from vendors import VENDORS

from llmport_magic.errors import ConfigError, MissingKeyError
from llmport_magic.llm import (
    LLMProfile,
    LLMProviderFactory,
    LLMRegistry,
    create_llm_handler,
    create_llm_interface,
    register_provider,
)

KEY = "planted-key-0123456789abcdef"
PAGE = Path(__file__).parents[1] / "docs" / "registry.md"

pytestmark = pytest.mark.usefixtures("own_registry")


def _registry(server: Loopback, *, update: bool) -> LLMRegistry:
    registry = LLMRegistry.create_default(auto_update_capabilities=update)
    registry.register_provider(
        "mine",
        base_url=server.url,
        api_key_vars=("MINE_API_KEY",),
        default_model="m-1",
        models={"m-1": {"capabilities": {"max_output_tokens": 50}}},
    )
    registry.initialize_provider("mine", KEY)
    return registry


def _knows(most: int) -> Any:
    def answer(request: Request) -> Script:
        if request.method == "GET":
            return raw(json.dumps({"id": "m-1", "max_completion_tokens": most}))
        return reply("hi")

    return answer


# The router's first use


@pytest.mark.parametrize(("update", "longest"), [(True, 70), (False, 50)])
async def test_a_router_asks_before_the_first_use(
    server: Loopback, update: bool, longest: int
) -> None:
    """A router over an updating registry asks once what the model can do, and obeys (S1-16)."""
    server.always(_knows(70))
    router = LLMProviderFactory(
        {"provider": "mine", "fallback": ["mine"]}, registry=_registry(server, update=update)
    )
    assert server.requests == []

    answers = await asyncio.gather(*(router.complete("q", max_tokens=90) for _ in range(5)))
    streamed = [piece async for piece in router.stream("q", max_tokens=90)]

    assert {answer.content for answer in answers} == {"hi"}
    assert streamed
    methods = [request.method for request in server.requests]
    assert methods == ["GET"] * update + ["POST"] * 6
    assert {r.json["max_tokens"] for r in server.requests if r.method == "POST"} == {longest}


async def test_a_router_answers_where_the_question_fails(server: Loopback) -> None:
    """A models endpoint that fails costs no answer and counts against nobody (S1-16)."""
    server.always(lambda r: raw("no", status=404) if r.method == "GET" else reply("hi"))
    router = LLMProviderFactory(
        {"provider": "mine", "fallback": ["mine"]}, registry=_registry(server, update=True)
    )

    response = await router.complete("q", max_tokens=90)

    assert response.content == "hi"
    assert [each["provider"] for each in response.metadata["attempts"]] == ["mine"]
    assert server.requests[-1].json["max_tokens"] == 50


# Keys that come and go


async def test_the_error_names_the_variable_whose_key_has_gone(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key counts as soon as it is set; once gone, the error names where it was (S1-26, S1-18)."""
    server.always(reply("hi"))
    registry = _registry(server, update=False)
    registry.deinitialize_provider("mine")
    monkeypatch.setenv("MINE_API_KEY", KEY)
    registry.initialize_provider("mine")

    interface = await create_llm_interface({"model": "m-1"}, registry)
    assert (await interface.generate("q")).content == "hi"
    monkeypatch.delenv("MINE_API_KEY")

    with pytest.raises(MissingKeyError, match="`MINE_API_KEY`"):
        await interface.generate("q")
    with pytest.raises(ConfigError, match=r"`initialize_provider\(.*`MINE_API_KEY` is set$"):
        await create_llm_interface({"model": "m-1"}, registry)
    assert len(server.requests) == 1


# Names


@pytest.mark.parametrize("name", ["Mine", "mine", "MINE", " mine "])
async def test_a_name_with_capitals_is_found_in_any_case(server: Loopback, name: str) -> None:
    """A provider that a user registers with capitals is found however it is written (S1-02)."""
    server.always(reply("hi"))
    register_provider("Mine", base_url=server.url, key_required=False, default_model="m")

    handler = await create_llm_handler(name)

    assert handler.provider_name == "Mine"
    assert (await handler.complete("q")).content == "hi"


def test_a_name_that_is_neither_is_helped_as_both() -> None:
    """A misspelt model is told as such where a provider or a model is asked for (S1-08)."""
    registry = LLMRegistry.create_default()

    with pytest.raises(ConfigError, match="did you mean `claude-3-opus`") as at:
        registry.get_api_config("claude-3-opuz")

    assert "unknown provider `claude-3-opuz`" in str(at.value)
    assert "\n" not in str(at.value)
    assert registry.get_api_config("claude")["provider"] == "anthropic"


@pytest.mark.parametrize("name", ["min_context_window", "max_cost"])
@pytest.mark.parametrize("bound", ["200k", True])
def test_a_bound_is_a_number(name: str, bound: Any) -> None:
    """A bound that is none is refused by its name, before a model is looked at (S1-13)."""
    registry = LLMRegistry.create_default()

    with pytest.raises(ValueError, match=f"`{name}` is a number, not `{bound}`"):
        registry.find_models(**{name: bound})
    with pytest.raises(ValueError, match=f"`{name}` is a number"):
        registry.find_cheapest_model_with_capabilities("vision", **{name: bound})


# Threads


class Slow(LLMRegistry):
    """One whose changes take a while: whoever comes in between is seen."""

    def _put(self, row: Any) -> Any:
        time.sleep(0.002)
        return super()._put(row)


def _at_once(number: int, act: Callable[[int], object]) -> list[BaseException | None]:
    """Run it in so many threads, and give what each of them raised."""
    together = threading.Barrier(number)

    def work(each: int) -> None:
        together.wait(PATIENCE)
        act(each)

    with ThreadPoolExecutor(number) as pool:
        return [
            running.exception(PATIENCE) for running in [pool.submit(work, n) for n in range(number)]
        ]


def test_slow_changes_at_once_lose_nothing() -> None:
    """Models that 20 threads add to one provider are all there, however long each takes (S1-27)."""
    registry = Slow()
    registry.register_provider("mine", base_url="https://one.example/v1")

    failed = _at_once(
        20, lambda n: registry.register_model(LLMProfile(name=f"m-{n}", provider="mine"))
    )

    assert failed == [None] * 20
    assert set(registry.provider("mine").models) == {f"m-{n}" for n in range(20)}


def test_one_of_many_registers_a_name() -> None:
    """Of 20 threads that register one name at once, one succeeds and 19 are told (S1-27, S1-02)."""
    registry = Slow()

    failed = _at_once(
        20, lambda n: registry.register_provider("mine", base_url=f"https://h{n}.example/v1")
    )

    assert failed.count(None) == 1
    assert all("is registered" in str(each) for each in failed if each is not None)


# The page


async def test_the_code_of_the_page_runs(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of Python in `docs/registry.md` runs in its order, as in a notebook (S1-29)."""
    vendor = next(vendor for vendor in VENDORS if vendor.dialect == "anthropic_messages")
    told = {"data": [{"id": "deepseek/deepseek-v4.1-flash", "context_length": 77_000}]}
    server.always(lambda r: raw(json.dumps(told)) if r.method == "GET" else vendor.whole("hello"))
    original = LLMRegistry.create_default

    def leading_here(*given: Any, **named: Any) -> LLMRegistry:
        registry = original(*given, **named)
        for name in ("anthropic", "openrouter"):
            row = replace(registry.provider(name), base_url=server.url)
            registry.register_provider(row, replace=True)
        return registry

    monkeypatch.setattr(LLMRegistry, "create_default", leading_here)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}

    for block in blocks:
        code = compile(block, str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = eval(code, names)
        if inspect.isawaitable(running):
            await running

    assert len(blocks) == 4
    assert names["registry"].is_provider_initialized("anthropic")
    assert (names["model"].name, names["model"].detected) == ("deepseek/deepseek-v4.1-flash", True)
    assert names["response"].content == "hello"
    assert server.requests[-1].json["max_tokens"] == 1024

"""What fits into a model's window is known before it is sent, as well as an estimate can."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from asking import asking, pieces_of
from loopback import Loopback, reply, streamed

from llmport_magic.errors import ConfigError, LLMContextError, LLMError
from llmport_magic.llm.capabilities import LLMCapabilities, LLMProfile, ModelFamily
from llmport_magic.llm.context_window import fitted, prompt_tokens
from llmport_magic.llm.cost import estimate_tokens, family_named
from llmport_magic.llm.messages import Image, LLMRole, Message, ToolCall
from llmport_magic.llm.registry import LLMRegistry
from llmport_magic.llm.tools import Tool
from llmport_magic.llm.wire import Call

WINDOW = LLMCapabilities(max_context_window=1000)
PROSE = "The quick brown fox jumps over the lazy dog. "


def call(text: str = "", **fields: Any) -> Call:
    """Make a call that says one thing."""
    return Call(model="m", messages=(Message(LLMRole.USER, text),), **fields)


# The estimate


def test_english_is_four_characters_a_token_in_every_family() -> None:
    """Plain text counts the same for all models (S3-61)."""
    for family in (None, *ModelFamily):
        assert estimate_tokens("x" * 400, family) == 100
        assert (estimate_tokens("", family), estimate_tokens("abc", family)) == (0, 1)


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        (
            "程序从文件中读取测量数据并检查是否有缺失的数值然后计算平均值和标准差",
            {"gpt": 24, "claude": 25, "gemini": 20, "deepseek": 17},
        ),
        (
            "このプログラムはファイルから測定値を読み込み標準偏差と平均値を計算します",
            {"gpt": 25, "claude": 35, "gemini": 17, "deepseek": 16},
        ),
        (
            "프로그램은 파일에서 측정값을 읽고 빠진 값이 있는지 확인합니다",
            {"gpt": 19, "claude": 29, "gemini": 20, "deepseek": 20},
        ),
    ],
    ids=["Chinese", "Japanese", "Korean"],
)
def test_other_scripts_count_by_family(text: str, counted: dict[str, int]) -> None:
    """Other scripts are counted within 40% of what each family's public tokeniser gave (S3-61)."""
    for family, tokens in counted.items():
        assert estimate_tokens(text, family) == pytest.approx(tokens, rel=0.4)


def test_a_model_tells_its_family_by_its_name() -> None:
    """A name says in whose tokens it counts, and an unknown one nothing."""
    names = {
        "gpt-4o-mini": "gpt",
        "anthropic/claude-opus-5-5": "claude",
        "models/gemini-3-pro": "gemini",
        "gemma3:4b": "gemma",
        "Meta-Llama-3.1-8B": "llama",
        "deepseek-r1-distill-llama-70b": "llama",
        "deepseek-chat": "deepseek",
        "open-mixtral-8x22b": "mistral",
        "m": None,
    }

    assert {name: family_named(name) for name in names} == names


async def test_an_exact_count_wins_over_the_estimate(server: Loopback) -> None:
    """Where the server counts, that is the usage; where it does not, the family's estimate."""
    server.script(reply(), reply("你好" * 30, usage=None))
    llm = asking(server, model="claude-x")

    exact = await llm.call("你好" * 30)
    estimated = await llm.call("你好" * 30)

    assert exact.usage["prompt_tokens"] == 7
    assert estimated.usage["prompt_tokens"] == 60
    assert estimated.usage["completion_tokens"] == 60
    assert estimated.metadata["usage_estimated"] is True


def test_everything_that_is_sent_is_counted() -> None:
    """Messages, tools, schemas, calls, the start of the answer and pictures have tokens."""
    tool = Tool(name="search", description="x" * 400)
    asked = Message(LLMRole.ASSISTANT, "", tool_calls=(ToolCall(name="f", text="y" * 400),))
    shown = Message(LLMRole.USER, "", images=(Image(data=b"1"), Image(url="https://a.example/b")))
    plain = prompt_tokens(call("x" * 400))

    assert plain == 100
    assert prompt_tokens(call("x" * 400, tools=(tool,))) > plain + 100
    assert prompt_tokens(call("x" * 400, json_schema={"title": "z" * 400})) > plain + 100
    assert prompt_tokens(call("x" * 400, prefill="p" * 400)) == plain + 100
    assert prompt_tokens(replace(call(), messages=(asked,))) > 100
    assert prompt_tokens(replace(call(), messages=(shown,))) == 2000


# The check


async def test_a_prompt_that_is_too_long_is_not_sent(server: Loopback) -> None:
    """A prompt longer than the window is refused with the numbers, before the network (S3-61)."""
    llm = asking(server, model="m-7", provider="local", capabilities=WINDOW, max_tokens=200)

    with pytest.raises(LLMContextError) as refused:
        await llm.call(PROSE * 250)
    with pytest.raises(LLMContextError):
        await pieces_of_long(llm)

    error = refused.value
    assert not server.requests
    assert (error.window, error.max_tokens) == (1000, 200)
    assert error.prompt_tokens == 2813
    assert (error.provider, error.model, error.retryable) == ("local", "m-7", False)
    message = str(error)
    for part in ("nothing was sent", "2,81", "200", "`m-7`", "`local`", "1,000", "shorten"):
        assert part in message
    assert isinstance(error, LLMError)
    assert "\n" not in message


async def pieces_of_long(llm: Any) -> list[str]:
    """Read the stream of a prompt that is too long."""
    return [text async for text in llm.stream(PROSE * 250)]


async def test_the_answer_is_cut_to_what_the_prompt_leaves(server: Loopback) -> None:
    """`max_tokens` is lowered where prompt and answer would pass the window (S3-61)."""
    server.script(reply(), streamed("a"), reply(), reply())
    llm = asking(server, capabilities=WINDOW, max_tokens=800)

    await llm.call("x" * 2000)
    await pieces_of(llm)
    await llm.call("q")
    await llm.call("x" * 2000, max_tokens=100)

    sent = [request.json.get("max_tokens") for request in server.requests]
    assert sent == [1000 - 500, 800, 800, 100]


async def test_a_prompt_that_may_fit_is_sent(server: Loopback) -> None:
    """Where only the estimate is over the window, the server decides: it counts exactly."""
    server.script(reply())
    llm = asking(server, capabilities=WINDOW, max_tokens=500)

    await llm.call(PROSE * 95)

    assert prompt_tokens(call(PROSE * 95)) > 1000
    assert server.requests[0].json["max_tokens"] == 256


async def test_spaces_are_not_held_against_a_prompt(server: Loopback) -> None:
    """A long run of spaces is few tokens in every tokeniser: such a prompt is sent."""
    server.script(reply())

    await asking(server, capabilities=WINDOW).call(" " * 100_000)

    assert len(server.requests) == 1


async def test_an_unknown_window_is_not_checked(server: Loopback) -> None:
    """Where nobody knows the window, the prompt goes out as it is (S3-61)."""
    server.script(reply(), reply())
    llm = asking(server, max_tokens=4096)

    await llm.call("x" * 3_000_000)

    assert server.requests[0].json["max_tokens"] == 4096


async def test_the_window_is_that_of_the_model_that_is_asked(server: Loopback) -> None:
    """A call that names another model is held against that one's window."""
    server.script(reply())
    llm = asking(server, capabilities=WINDOW)

    await llm.call(PROSE * 250, model="unknown-to-all")
    with pytest.raises(LLMContextError):
        await llm.call(PROSE * 250)

    assert len(server.requests) == 1


def test_a_local_servers_window_is_what_the_call_says() -> None:
    """`num_ctx` is the window of that call: such servers cut longer prompts without a word."""
    with pytest.raises(LLMContextError, match="takes 500 for both"):
        fitted(call(PROSE * 100, options={"num_ctx": 500}), LLMCapabilities(), "ollama")

    kept = call(PROSE * 100, options={"num_ctx": 4000}, max_tokens=100)
    assert fitted(kept, WINDOW, "ollama") == kept


def test_a_limit_of_the_answer_that_nobody_set_stays_unset() -> None:
    """Without `max_tokens` none is made up; what a format must name is lowered."""
    found = fitted(call("x" * 3000, output_limit=800), WINDOW, "p")

    assert (found.max_tokens, found.output_limit) == (None, 256)


async def test_a_model_of_the_catalogue_has_its_window(server: Loopback) -> None:
    """A shipped model is checked without any setting, and the error names it (S3-61)."""
    window = LLMRegistry.create_default().get_token_limit("gpt-4o-mini", "openai")
    assert window == 128_000
    llm = asking(server, provider="openai", model="gpt-4o-mini")

    with pytest.raises(LLMContextError, match=re.escape("`gpt-4o-mini` of `openai` takes 128,000")):
        await llm.call(PROSE * 30_000)
    assert not server.requests


async def test_a_model_with_a_larger_window_is_asked_instead(server: Loopback) -> None:
    """A router goes on to the next provider, and holds nothing against the first one's health."""
    from llmport_magic.llm.routing.failover import may_do_better, speaks_against

    error = LLMContextError("too long", window=1)

    assert may_do_better(error)
    assert not speaks_against(error)


# The registry


def test_the_registry_tells_the_window() -> None:
    """`get_token_limit` gives the window of a model, and `None` where it is unknown (S3-16)."""
    registry = LLMRegistry.create_default()
    registry.register_provider(
        "mine",
        base_url="http://127.0.0.1:1/v1",
        models={
            "mine-1": {"capabilities": {"max_context_window": 2048}},
            "dark": {},
        },
    )

    assert registry.get_token_limit("mine-1") == 2048
    assert registry.get_token_limit("mine-1", "mine") == 2048
    assert registry.get_token_limit("dark") is None


@pytest.mark.parametrize("name", ["gpt-4o-min", "gpt-4o-mini-x", "GPT", "4o-mini", ""])
def test_a_part_of_a_name_is_no_model(name: str) -> None:
    """A name that only looks like a model's is refused, with the nearest one (S3-16)."""
    with pytest.raises(ConfigError, match="unknown model") as refused:
        LLMRegistry.create_default().get_token_limit(name)

    if name == "gpt-4o-min":
        assert "`gpt-4o-mini`" in str(refused.value)


def test_a_profile_of_ones_own_tells_its_window() -> None:
    """A model that was registered by hand has the window that it was given (S3-16)."""
    registry = LLMRegistry.create_default()
    profile = LLMProfile(name="big", provider="openai", capabilities=WINDOW)

    registry.register_model(profile)

    assert registry.get_token_limit("big") == 1000

"""What acts for the agent, what cannot be, and asking on the keyboard."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from acting import Acts, Scripted, asks, call, results_in, says
from asking import KEY

import llmport_magic
from llmport_magic.errors import LLMError, UsageError
from llmport_magic.llm import CognitiveAgent, CognitiveConfig, LLMConfig, ToolCall, ToolFailure
from llmport_magic.llm.agent import ask_user


@pytest.fixture
def acts() -> Acts:
    """Give tools that note what acted."""
    return Acts()


# What acts


class Ctx:
    """A ctx of somebody else: an async `tool` and nothing more."""

    def __init__(self, act: Callable[..., Any]) -> None:
        self._act = act

    async def tool(self, name: str, payload: dict[str, Any]) -> Any:
        """Act."""
        return await self._act(name, payload)


SEARCH = {
    "name": "web:search",
    "description": "Search the web",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
}


async def test_any_ctx_with_a_tool_method_acts() -> None:
    """The tools are described apart, and whatever has `.tool(name, payload=)` acts (S4-15)."""

    async def act(name: str, payload: dict[str, Any]) -> str:
        return f"{name}: {payload['query']}"

    llm = Scripted(asks(call("web:search", query="ai")), says())
    config = CognitiveConfig(approved={"web:search"})
    result = await CognitiveAgent(Ctx(act), llm, config, tools=[SEARCH]).run("Go.")

    assert result.steps[0].result == "web:search: ai"


async def test_a_tool_cannot_change_what_was_asked() -> None:
    """What a tool does to its arguments changes neither the record nor the conversation."""

    async def act(name: str, payload: dict[str, Any]) -> str:
        payload["words"].append("more")
        return "ok"

    tool = {"name": "note", "parameters": {"type": "object"}}
    llm = Scripted(asks(call("note", words=["w"])), says())
    config = CognitiveConfig(approved={"note"})
    result = await CognitiveAgent(Ctx(act), llm, config, tools=[tool]).run("Go.")

    assert result.steps[0].call.arguments == {"words": ["w"]}
    assert llm.asked[1][0][1].tool_calls[0].arguments == {"words": ["w"]}


async def test_a_tool_that_raises_is_told_to_the_model() -> None:
    """An exception of a ctx is the call's error, without a secret in it (S4-15)."""

    async def act(name: str, payload: dict[str, Any]) -> str:
        raise ConnectionError(f"refused for {KEY}")

    LLMConfig("https://host.example/v1", "m", api_key=KEY)
    llm = Scripted(asks(call("web:search", query="ai")), says("no luck"))
    config = CognitiveConfig(approved={"web:search"})
    result = await CognitiveAgent(Ctx(act), llm, config, tools=[SEARCH]).run("Go.")

    assert result.answer == "no luck"
    assert isinstance(result.steps[0].error, ToolFailure)
    assert result.steps[0].approved
    assert results_in(llm.asked[1][0])[0][1] == (
        "error: `web:search` raised ConnectionError: refused for ********"
    )


async def test_calls_of_one_turn_run_together() -> None:
    """Two calls that wait for each other both end."""
    both = asyncio.Barrier(2)

    async def act(name: str, payload: dict[str, Any]) -> str:
        async with asyncio.timeout(60):
            await both.wait()
        return payload["query"]

    calls = (call("web:search", id="a", query="1"), call("web:search", id="b", query="2"))
    config = CognitiveConfig(approved={"web:search"})
    result = await CognitiveAgent(
        Ctx(act), Scripted(asks(*calls), says()), config, tools=[SEARCH]
    ).run("Go.")

    assert [s.result for s in result.steps] == ["1", "2"]


async def test_cancelling_a_run_cancels_its_tools() -> None:
    """Who cancels the run cancels every tool that is acting."""
    begun, ended = asyncio.Event(), []

    async def act(name: str, payload: dict[str, Any]) -> None:
        try:
            begun.set()
            await asyncio.sleep(3_600)
        finally:
            ended.append(payload["query"])

    calls = (call("web:search", id="a", query="1"), call("web:search", id="b", query="2"))
    config = CognitiveConfig(approved={"web:search"})
    agent = CognitiveAgent(Ctx(act), Scripted(asks(*calls)), config, tools=[SEARCH])
    task = asyncio.ensure_future(agent.run("Go."))
    await begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == ["1", "2"]


def test_functions_are_enough(acts: Acts) -> None:
    """Functions given as `tools` need no ctx, and the sync face runs it all (S4-06, S4-23)."""
    llm = Scripted(asks(call(x=21)), says("42"))
    agent = CognitiveAgent(
        llm=llm, tools=[acts.double], config=CognitiveConfig(approve=lambda _: True)
    )

    assert llmport_magic.run(agent.run("Go.")).answer == "42"
    assert acts.done == [("double", 21)]


# What cannot be


async def test_what_cannot_work_is_said_early(acts: Acts) -> None:
    """A missing model, ctx or sense in the settings is an error before any call."""
    with pytest.raises(UsageError, match="`llm`"):
        CognitiveAgent(acts.box)
    with pytest.raises(UsageError, match="`ctx`"):
        CognitiveAgent(object(), Scripted(), tools=[SEARCH])
    with pytest.raises(UsageError, match="`web:search` has no function"):
        CognitiveAgent(llm=Scripted(), tools=[SEARCH])
    with pytest.raises(UsageError, match="at least 1"):
        CognitiveConfig(max_iterations=0)
    with pytest.raises(UsageError, match="set of names"):
        CognitiveConfig(approved="research")


async def test_failures_of_the_model_are_raised(acts: Acts) -> None:
    """A model that fails, and one that returns something else, end the run."""
    with pytest.raises(LLMError, match="overloaded"):
        await CognitiveAgent(acts.box, Scripted(LLMError("overloaded"))).run("Go.")
    wrong: Any = "just text"
    with pytest.raises(UsageError, match="must return an `LLMResponse`, not str"):
        await CognitiveAgent(acts.box, Scripted(wrong)).run("Go.")


# Asking on the keyboard


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Type the words of the list; what was asked is appended after them."""
    words: list[str] = []

    def typed(question: str) -> str:
        words.append(question)
        return words.pop(0)

    monkeypatch.setattr("builtins.input", typed)
    return words


@pytest.mark.parametrize(
    ("typed", "allowed"), [("y", True), (" YES ", True), ("", False), ("n", False), ("yep", False)]
)
async def test_the_keyboard_approves(
    acts: Acts, keyboard: list[str], typed: str, allowed: bool
) -> None:
    """`ask_user` allows a call after a clear yes, and shows what it is about."""
    keyboard.append(typed)
    llm = Scripted(asks(call(x=1)), says())

    result = await CognitiveAgent(acts.box, llm, CognitiveConfig(approve=ask_user)).run("Go.")

    assert result.steps[0].approved is allowed
    assert keyboard == ['Call "double" with {"x": 1}? [y/N] ']


def test_a_call_cannot_draw_over_the_question(keyboard: list[str]) -> None:
    """Control characters and letters that change direction are shown escaped."""
    keyboard.append("n")

    ask_user(call("a\x1b[2K", text="\r\x1b[1A\u202eharmless\n"))

    assert keyboard[0].isprintable()
    assert keyboard[0].isascii()


async def test_asking_does_not_hold_up_the_loop(acts: Acts) -> None:
    """While a synchronous `approve` waits for a human, other tasks go on."""
    asked, go = threading.Event(), threading.Event()

    def approve(_: ToolCall) -> bool:
        asked.set()
        return go.wait(60)

    async def elsewhere() -> None:
        while not asked.is_set():  # noqa: ASYNC110 - it is set in another thread
            await asyncio.sleep(0.001)
        go.set()

    agent = CognitiveAgent(
        acts.box, Scripted(asks(call(x=1)), says()), CognitiveConfig(approve=approve)
    )
    await asyncio.gather(agent.run("Go."), elsewhere())

    # Nobody says yes where nothing else gets on.
    assert acts.done == [("double", 1)]

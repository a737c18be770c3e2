"""Connectors of one's own: in time, whatever they are made of, and mistakes in one line."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from llmport_magic import bridge
from llmport_magic.errors import ConfigError, LLMTimeoutError
from llmport_magic.llm import BaseLLMConnector, LLMProviderFactory, register_provider
from llmport_magic.llm.mock import MockConnector
from llmport_magic.llm.registry import connector_for
from llmport_magic.settings import resolve

pytestmark = pytest.mark.usefixtures("own_registry")


class Slow(BaseLLMConnector):
    """One whose answer comes when the test is over."""

    over = threading.Event()

    def call_llm(self, prompt: str) -> str:
        """Wait for the test's end."""
        self.over.wait(600)
        return "late"


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give the connector as the settings make it, with a deadline."""
    monkeypatch.setattr(Slow, "over", threading.Event())
    register_provider("slow", connector=Slow, key_required=False)
    yield connector_for(resolve(provider="slow", total_timeout=0.2))
    Slow.over.set()


@pytest.mark.parametrize("way", ["complete", "stream", "option"])
async def test_the_deadline_holds_for_a_connector_that_blocks(slow: Any, way: str) -> None:
    """A caller goes on when `total_timeout` is over, though the thread cannot be ended."""

    async def ask() -> None:
        if way == "stream":
            [text async for text in slow.stream("q")]
        elif way == "option":
            slow.total_timeout = None
            await slow.complete("q", timeout_ms=200)
        else:
            await slow.complete("q")

    with pytest.raises(LLMTimeoutError, match=r"`slow`: .* 0\.2 s \(`total_timeout`\)"):
        await ask()


async def test_the_next_is_asked_after_one_that_is_too_slow(slow: Any) -> None:
    """In a chain a handler that passes its own deadline is a failure like any other."""
    with pytest.warns(UserWarning, match="slow"):
        answer = await LLMProviderFactory(connectors=[slow, MockConnector(["here"])]).complete("q")

    assert answer.content == "here"


class Awaited(BaseLLMConnector):
    """One whose `call_llm` is a coroutine."""

    async def call_llm(self, prompt: str) -> str:  # type: ignore[override]
        """Answer."""
        return f"to {prompt}"


class Plain(BaseLLMConnector):
    """One whose stream is a plain generator, which blocks."""

    def stream(self, messages: Any, **_: Any) -> Any:
        """Answer in two pieces, from a thread."""
        assert not bridge.on_bridge()
        yield "to "
        yield "q"


class Generated(BaseLLMConnector):
    """One whose stream is an asynchronous generator."""

    async def stream(self, messages: Any, **_: Any) -> AsyncIterator[str]:  # type: ignore[override]
        """Answer in two pieces."""
        yield "to "
        yield "q"


@pytest.mark.parametrize("kind", [Awaited, Plain, Generated])
async def test_coroutines_and_generators_will_do(kind: type[BaseLLMConnector]) -> None:
    """`async def call_llm` and a `stream` that yields texts complete and stream."""
    stream = kind().stream("q")
    pieces = [text async for text in stream]

    assert pieces == (["to q"] if kind is Awaited else ["to ", "q"])
    assert stream.response.content == "to q"
    assert (await kind().complete("q")).content == "to q"


@pytest.mark.parametrize("given", [3, None, b"text", ["text"]])
@pytest.mark.parametrize("method", ["call_llm", "stream"])
async def test_what_is_no_text_is_told_in_one_line(given: Any, method: str) -> None:
    """An answer that is no text is an error that names the class, the method and the mend."""
    kind = type("Mine", (BaseLLMConnector,), {method: lambda *_, **__: given})
    if (method, given) == ("stream", ["text"]):
        assert (await kind().complete("q")).content == "text"
        return
    with pytest.raises(ConfigError, match=rf"`Mine.{method}` gave \w+, not a text: ") as caught:
        await kind().complete("q")

    assert "\n" not in str(caught.value)

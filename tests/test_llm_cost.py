"""What calls cost and use: exact where the provider says it, marked where it is an estimate."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import asking, pieces_of
from awaiting import PATIENCE
from loopback import HANG, Loopback, Script, data, event, events, failure, reply
from loopback import streamed as stream_of
from scripted import GOOD, PROMPT, fenced, scripted

from llmport_magic import configure, llmport
from llmport_magic import session as sessions
from llmport_magic.errors import LLMError
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.cost import Cost, cost_of_usage
from llmport_magic.llm.gathering import Gathering
from llmport_magic.llm.mock import MockConnector
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.reply import Chunk, LLMResponse

PRICED = LLMCapabilities(
    input_cost_per_1k_tokens=0.001,
    output_cost_per_1k_tokens=0.01,
    cached_input_cost_per_1k_tokens=0.0001,
    cache_write_cost_per_1k_tokens=0.00125,
    priced_prompt_tokens=200_000,
)
UNPRICED_PARTS = LLMCapabilities(input_cost_per_1k_tokens=0.001, output_cost_per_1k_tokens=0.01)


def usage(prompt: int = 1000, completion: int = 100, **parts: int) -> dict[str, int]:
    """Write token counts."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, **parts}


# Prices


@pytest.mark.parametrize(
    ("counts", "dollars"),
    [
        (usage(), 0.001 + 0.001),
        # 600 fresh, 400 read from the cache
        (usage(cached_tokens=400), 0.0006 + 0.00004 + 0.001),
        # 300 fresh, 400 read from the cache, 300 written to it
        (
            usage(cached_tokens=400, cache_write_tokens=300),
            0.0003 + 0.00004 + 0.000375 + 0.001,
        ),
        # reasoning is a part of what the model wrote
        (usage(reasoning_tokens=90), 0.001 + 0.001),
        (usage(prompt=200_000), 0.2 + 0.001),
        (usage(0, 0), 0.0),
    ],
)
def test_each_part_has_its_own_price(counts: dict[str, int], dollars: float) -> None:
    """Fresh, cached and written tokens cost what the catalogue says of each (S1-30, S4-28)."""
    assert cost_of_usage(counts, PRICED) == pytest.approx(dollars, abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "prices"),
    [
        (usage(), LLMCapabilities()),
        (usage(), LLMCapabilities(input_cost_per_1k_tokens=0.001)),
        (usage(cached_tokens=1), UNPRICED_PARTS),
        (usage(cache_write_tokens=1), UNPRICED_PARTS),
        (usage(prompt_audio_tokens=1), PRICED),
        (usage(completion_audio_tokens=1), PRICED),
        (usage(cache_write_1h_tokens=1, cache_write_tokens=1), PRICED),
        (usage(prompt=200_001), PRICED),
    ],
)
def test_a_part_without_a_price_makes_the_cost_unknown(
    counts: dict[str, int], prices: LLMCapabilities
) -> None:
    """No bill is better than a wrong one: a part whose price is unknown is not guessed (S4-28)."""
    assert cost_of_usage(counts, prices) is None


def test_what_is_free_is_free_in_all_its_parts() -> None:
    """A model that costs nothing costs nothing for cached tokens either."""
    free = LLMCapabilities(input_cost_per_1k_tokens=0, output_cost_per_1k_tokens=0)

    assert cost_of_usage(usage(cached_tokens=5, prompt_audio_tokens=5), free) == 0.0


def test_the_price_is_that_of_the_provider_that_answered() -> None:
    """A model of the same name at another provider has no price until somebody says it."""
    counts = usage(2000, 1000)

    def cost(provider: str, **fields: Any) -> Cost:
        return LLMResponse(usage=counts, model="gpt-4o-mini", provider=provider, **fields).cost

    assert cost("openai") == Cost(pytest.approx(0.0009), "computed")  # type: ignore[arg-type]
    assert cost("openrouter") == Cost(None, "unknown")
    assert cost("custom") == Cost(None, "unknown")
    assert cost("local", prices=LLMCapabilities()) == Cost(None, "unknown")
    assert cost("custom", prices=PRICED) == Cost(pytest.approx(0.012), "computed")  # type: ignore[arg-type]
    assert LLMResponse(usage=counts).cost == Cost(None, "unknown")


async def test_what_a_gateway_reports_is_kept_as_it_is(server: Loopback) -> None:
    """A reported cost wins over the catalogue's prices and is told apart from them (S4-28)."""
    counts = {"prompt_tokens": 7, "completion_tokens": 3, "cost": 0.00123}
    server.script(reply(usage=counts), stream_of("a", usage=counts), reply())
    llm = asking(server, provider="openrouter", capabilities=PRICED)

    whole = await llm.call("q")
    stream = llm.stream("q")
    async for _ in stream:
        pass
    computed = await llm.call("q")

    assert whole.cost == stream.response.cost == Cost(0.00123, "reported")
    assert whole.metadata["cost_reported"] == 0.00123
    assert computed.cost == Cost(pytest.approx(0.000037), "computed")  # type: ignore[arg-type]
    assert llm.cost_total == pytest.approx(2 * 0.00123 + 0.000037)


async def test_a_connectors_prices_are_for_its_own_model(server: Loopback) -> None:
    """Prices given with the configuration do not count for another model that a call names."""
    server.always(reply(model="other"))
    llm = asking(server, capabilities=PRICED)

    assert (await llm.call("q")).cost.source == "computed"
    assert (await llm.call("q", model="other")).cost == Cost(None, "unknown")
    assert llm.cost_total is None
    assert (llm.totals.calls, llm.totals.unpriced_calls) == (2, 1)
    assert llm.totals.cost == pytest.approx(0.000037)


async def test_a_connector_that_estimates_says_so() -> None:
    """Where the tokens are estimates the cost is one, too (S4-09)."""

    class Priced(BaseLLMConnector):
        capabilities = PRICED

        def call_llm(self, prompt: str) -> str:
            return prompt * 10

    response = await Priced().call("a" * 40)

    assert response.metadata["usage_estimated"] is True
    assert response.usage == {"prompt_tokens": 10, "completion_tokens": 100, "total_tokens": 110}
    assert response.cost == Cost(pytest.approx(0.00101), "estimated")  # type: ignore[arg-type]


# Answers that are not whole


def _gathered(*chunks: Chunk, whole: bool) -> LLMResponse:
    gathering = Gathering("p", "m", "x" * 400, {})
    for chunk in chunks:
        gathering.add(chunk)
    return gathering.response(whole=whole)


def test_counts_in_the_middle_of_a_stream_are_no_total() -> None:
    """What a provider had counted when a stream was cut is raised to what had arrived (S4-09)."""
    begun = Chunk(usage={"prompt_tokens": 50, "completion_tokens": 1, "total_tokens": 51})
    cut = _gathered(begun, Chunk(text="x" * 80), whole=False)
    assert cut.usage == {"prompt_tokens": 50, "completion_tokens": 20, "total_tokens": 70}
    assert cut.metadata["usage_estimated"] is True
    assert cut.metadata["cut_off"] is True

    ended = Chunk(finish_reason="stop", usage={"completion_tokens": 33})
    done = _gathered(begun, Chunk(text="x" * 80), ended, whole=False)
    assert (done.usage["prompt_tokens"], done.usage["completion_tokens"]) == (50, 33)
    assert done.metadata["usage_estimated"] is False


def test_a_missing_count_is_marked_and_a_given_one_is_kept() -> None:
    """An answer whose provider counts only one side keeps that count; the other is marked."""
    found = _gathered(Chunk(text="x" * 40, usage={"prompt_tokens": 7}), whole=True)

    assert found.usage == {"prompt_tokens": 7, "completion_tokens": 10, "total_tokens": 17}
    assert found.metadata["usage_estimated"] is True


async def read(llm: LLMProvider, begun: asyncio.Event) -> None:
    """Read a stream, and tell when its first piece is here."""
    async for _ in llm.stream("q"):
        begun.set()


async def test_a_stream_that_is_left_is_counted_as_an_estimate(server: Loopback) -> None:
    """What a closed, dropped or cancelled stream took is counted, and marked (S4-26)."""
    server.always(stream_of("x" * 40, HANG))
    llm = asking(server, capabilities=PRICED)

    stream = llm.stream("y" * 400)
    async for _ in stream:
        break
    await stream.aclose()
    begun = asyncio.Event()
    task = asyncio.ensure_future(read(llm, begun))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])

    assert stream.arrived is not None
    assert stream.arrived.content == "x" * 40
    assert stream.arrived.metadata["cut_off"] is True
    assert stream.arrived.cost == Cost(pytest.approx(0.0002), "estimated")  # type: ignore[arg-type]
    assert llm.usage_total == {"prompt_tokens": 101, "completion_tokens": 20, "total_tokens": 121}
    assert (llm.totals.calls, llm.totals.estimated_calls) == (2, 2)
    with pytest.raises(LLMError, match="not whole"):
        _ = stream.response


async def test_a_stream_that_fails_is_counted_as_far_as_it_came(server: Loopback) -> None:
    """A failure in the middle counts what had come; one before the first piece nothing (S4-26)."""
    exact = {"prompt_tokens": 9, "completion_tokens": 2}
    server.script(
        stream_of("x" * 40, finish=None),
        events(
            event("ab"),
            event(finish="stop"),
            data({"choices": [], "usage": exact}),
            data({"error": {"message": "overloaded"}}),
        ),
        failure(400, "no"),
        Script((), 204),
    )
    llm = asking(server)

    for calls in (1, 2, 2, 2):
        with pytest.raises(LLMError):
            await pieces_of(llm)
        assert llm.totals.calls == calls

    assert llm.usage_total == {"prompt_tokens": 10, "completion_tokens": 12, "total_tokens": 22}
    assert llm.totals.estimated_calls == 1


# Totals


def test_totals_are_exact_from_many_tasks_and_threads(server: Loopback) -> None:
    """A hundred parallel calls in each of four threads, streams among them, all count (S4-27)."""
    server.always(lambda r: stream_of("a") if r.json.get("stream") else reply())
    llm = asking(server, capabilities=PRICED)

    async def many() -> None:
        calls = (llm.call("q") if number % 2 else pieces_of(llm) for number in range(100))
        await asyncio.gather(*calls)

    def work() -> None:
        asyncio.run(many())
        llm.call_llm("q")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert llm.usage_total == {
        "prompt_tokens": 404 * 7,
        "completion_tokens": 404 * 3,
        "total_tokens": 404 * 10,
    }
    assert llm.totals.calls == 404
    assert llm.totals.estimated_calls == 0
    assert llm.cost_total == pytest.approx(404 * 0.000037)


async def test_every_connector_counts() -> None:
    """A class with only `call_llm` and the mock have totals, too, each of its own (S4-26)."""

    class Short(BaseLLMConnector):
        def call_llm(self, prompt: str) -> str:
            return "x" * 8

    short, other, mock = Short(), Short(), MockConnector(["x" * 8, "x" * 8])
    for llm in (short, mock):
        await llm.call("abcd")
        async for _ in llm.stream("abcd"):
            pass

        assert llm.usage_total == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}
        assert llm.totals.calls == 2
    assert other.usage_total["total_tokens"] == 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder of its own, with a fresh session."""
    monkeypatch.chdir(tmp_path)
    sessions.close_session()
    configure(sandbox_seconds=PATIENCE)
    yield tmp_path
    sessions.close_session()
    configure()


def test_the_sessions_totals_are_those_of_every_call(folder: Path) -> None:
    """The session counts each answer once, repairs included; a failed call costs nothing."""
    with scripted(fenced("def area(r): return 0\n"), fenced(GOOD), LLMError("gone")) as script:
        llmport("circle", PROMPT, provider="scripted")
        with pytest.raises(LLMError, match="gone"):
            llmport("square", "a square", provider="scripted")

    totals = sessions.session().totals
    assert script.calls == 3
    assert (totals.calls, totals.unpriced_calls, totals.estimated_calls) == (2, 2, 2)
    assert totals.completion_tokens == sum(
        -(-len(text.encode()) // 4) for text in (fenced("def area(r): return 0\n"), fenced(GOOD))
    )


def test_a_broken_off_answer_is_in_the_sessions_totals(folder: Path, server: Loopback) -> None:
    """What a stream had brought when it broke off is counted, logged and marked (S4-26)."""
    server.script(stream_of("x" * 40, finish=None))

    with pytest.raises(LLMError):
        llmport("circle", "a circle", provider="local", base_url=server.url, model="m")

    totals = sessions.session().totals
    assert (totals.calls, totals.completion_tokens, totals.estimated_calls) == (1, 10, 1)
    journal = "".join(p.read_text() for p in folder.glob(".llmport/journal/*.jsonl"))
    assert '"usage_estimated":true' in journal

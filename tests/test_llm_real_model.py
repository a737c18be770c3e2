"""The dialects against a real model: the embedded one's server speaks three formats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from computing import cost_of

from llmport_magic.llm import embedded, engine
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.wire import Limits

# A model answers in seconds, and in minutes where others take the processor.
pytestmark = [pytest.mark.embedded, pytest.mark.timeout(1200)]

DIALECTS = ("openai_chat", "openai_completions", "anthropic_messages")
ASKED = "Write the numbers from 1 to 30 in words, separated by commas."
CONTINUED = "The numbers from one to thirty: one, two, three, four, five,"
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "year": {"type": "integer"}},
    "required": ["name", "year"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def address() -> Iterator[engine.Address]:
    """Run the small model."""
    if not embedded.installed("small"):
        pytest.skip("the small model is not installed: `%llmport model install small`")
    yield engine.start(embedded.installed_file("small"), 1)
    engine.unload()


@pytest.fixture(params=DIALECTS)
def llm(request: pytest.FixtureRequest, address: engine.Address) -> LLMProvider:
    """Ask it in each format in turn."""
    return asking(address, request.param)


def asking(address: engine.Address, dialect: str) -> LLMProvider:
    """Make a connector to the model."""
    return LLMProvider(
        LLMConfig(
            base_url=f"{address.url}/v1",
            model="small",
            api_key=address.key,
            dialect=dialect,
            temperature=0.0,
            max_tokens=20,
            timeout_ms=900_000,
            limits=Limits(first_byte=900),
            extra={"cache_prompt": False},
        )
    )


def prompt_for(llm: LLMProvider) -> str:
    """Give what makes the model write for long: a wish, or the start of a text."""
    return CONTINUED if llm.config.dialect == "openai_completions" else ASKED


async def read(llm: LLMProvider, prompt: Any, **options: Any) -> Any:
    """Read a stream to its end and give the whole."""
    stream = llm.stream(prompt, **options)
    async for _ in stream:
        pass
    return stream.response


async def test_whole_and_streamed_agree(llm: LLMProvider) -> None:
    """A greedy answer, its counts and its end are the same plain and streamed (S3-01, S4-09)."""
    whole = await llm.call(prompt_for(llm))
    streamed = await read(llm, prompt_for(llm))

    assert whole.content == streamed.content
    assert whole.content.strip()
    assert (whole.finish_reason, streamed.finish_reason) == ("length", "length")
    for response in (whole, streamed):
        assert response.metadata["usage_estimated"] is False
        assert response.usage["completion_tokens"] == 20
        assert response.usage["prompt_tokens"] > 10
    assert whole.usage["prompt_tokens"] == streamed.usage["prompt_tokens"]


async def test_a_stop_text_ends_the_answer(llm: LLMProvider) -> None:
    """The answer ends before the stop text (S3-01)."""
    free = await llm.call(prompt_for(llm))
    stop = free.content[10:14]
    assert len(stop) == 4
    response = await llm.call(prompt_for(llm), stop=[stop])
    assert response.finish_reason == "stop"
    assert response.content == free.content[: free.content.index(stop)]


async def test_breaking_off_frees_the_model(llm: LLMProvider) -> None:
    """After a stream is left, the model writes no more of it before it answers (S4-12)."""
    endless = LLMProvider(replace(llm.config, extra={**llm.config.extra, "ignore_eos": True}))
    little = await cost_of(llm.call(prompt_for(llm), max_tokens=20))
    stream = endless.stream(prompt_for(llm), max_tokens=1000)
    async for _ in stream:
        break
    await stream.aclose()

    assert await cost_of(llm.call("Say yes.", max_tokens=2)) < 6 * little


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages"])
async def test_a_conversation_is_understood(address: engine.Address, dialect: str) -> None:
    """System and turns reach the model: it repeats what only they say (S3-12, S4-11)."""
    messages = [
        {"role": "system", "content": "The password is `tulip`."},
        {"role": "user", "content": "Do you know the password?"},
        {"role": "assistant", "content": "Yes, I know it."},
        {"role": "user", "content": "What is the password? Answer with one word."},
    ]
    response = await asking(address, dialect).call(messages)
    assert "tulip" in response.content.lower()


async def test_a_schema_is_kept(address: engine.Address) -> None:
    """The server's grammar makes an answer that fits the schema (S2-03)."""
    llm = asking(address, "openai_chat")
    response = await llm.call("Who wrote Faust, and when?", json_schema=SCHEMA, max_tokens=60)
    found = json.loads(response.content)
    assert set(found) == {"name", "year"}
    assert isinstance(found["year"], int)


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages"])
async def test_the_models_are_listed(address: engine.Address, dialect: str) -> None:
    """The server names what it serves."""
    assert await asking(address, dialect).models()

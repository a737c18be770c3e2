"""The same contract against the real vendors: `pytest -m integration`, with keys set.

Each test asks for a few tokens. Without its key a provider is skipped, and the skip says which
variable to set.
"""

from __future__ import annotations

import json

import pytest
from test_llm_contract import WEATHER

from llmport_magic.errors import ConfigError
from llmport_magic.llm.messages import Message
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.registry import default_registry
from llmport_magic.llm.transport import LLMConnectionError, LLMStatusError
from llmport_magic.secrets import find_key

pytestmark = pytest.mark.integration

REMOTE = ("openai", "anthropic", "gemini", "openrouter", "groq", "deepseek")
HERE = ("ollama", "local")


@pytest.fixture(params=(*REMOTE, *HERE))
async def llm(request: pytest.FixtureRequest) -> LLMProvider:
    """Make a connector where a key is set, or where a server answers."""
    row = default_registry().provider(request.param)
    if row.key_required and find_key(row.api_key_vars) is None:
        pytest.skip(f"set {' or '.join(row.api_key_vars)} to ask `{row.name}`")
    made = LLMProvider.from_name(row.name, total_timeout=120.0)
    assert isinstance(made, LLMProvider)
    if row.name in HERE:
        try:
            await made.models()
        except (LLMConnectionError, ConfigError) as error:
            pytest.skip(f"start `{row.name}`: {error}")
    return made


async def test_text(llm: LLMProvider) -> None:
    """Text and exact usage come, plain and streamed (S3-01)."""
    prompt = [{"role": "system", "content": "Answer with one word."}, "The capital of France?"]
    whole = await llm.call(prompt, max_tokens=300)
    stream = llm.stream(prompt, max_tokens=300)
    text = "".join([piece async for piece in stream])
    for response in (whole, stream.response):
        assert "paris" in response.content.lower()
        assert response.finish_reason == "stop"
        assert response.metadata["usage_estimated"] is False
    assert text == stream.response.content


async def test_the_limit(llm: LLMProvider) -> None:
    """An answer at the token limit says so (S4-10)."""
    response = await llm.call("Count to a thousand in words.", max_tokens=20)
    assert response.finish_reason == "length"


async def test_json(llm: LLMProvider) -> None:
    """JSON mode gives an object (S2-03)."""
    response = await llm.call(
        "Give a colour as a JSON object with the key `colour`.", json_mode=True, max_tokens=300
    )
    assert isinstance(json.loads(response.content), dict)


async def test_tools(llm: LLMProvider) -> None:
    """A tool is called, and its result is used (S4-14)."""
    prompt = "How is the weather in Oslo? Use the tool."
    first = await llm.call(prompt, tools=[WEATHER], max_tokens=500)
    (call, *_) = first.tool_calls
    assert (call.name, call.error) == ("web:weather", None)
    assert "oslo" in str(call.arguments).lower()
    results = [Message.tool_result(each, "It rains frogs.") for each in first.tool_calls]
    second = await llm.call([prompt, first.message, *results], tools=[WEATHER], max_tokens=500)
    assert "frog" in second.content.lower()


async def test_a_wrong_key(llm: LLMProvider) -> None:
    """A wrong key is refused in the vendor's words, and shown nowhere (S3-15)."""
    wrong = "sk-wrong-0123456789abcdefghij"
    row = default_registry().provider(llm.provider_name)
    if not row.key_required:
        pytest.skip(f"`{row.name}` needs no key")
    other = LLMProvider.from_name(row.name, api_key=wrong)
    with pytest.raises(LLMStatusError) as caught:
        await other.call("Hello", max_tokens=5)
    assert caught.value.status in (400, 401, 403)
    assert wrong not in str(caught.value)


async def test_messages_come_back(llm: LLMProvider) -> None:
    """A conversation goes on where it was (S3-12)."""
    first = Message("user", "My name is Zelda. Answer only: OK")
    answer = await llm.call(first, max_tokens=300)
    second = await llm.call([first, answer.message, "What is my name?"], max_tokens=300)
    assert "zelda" in second.content.lower()

"""Every dialect against aimock, a server of other people that speaks the vendors' formats."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking import PATIENT, no_wait
from test_llm_contract import WEATHER

from llmport_magic.llm.messages import Message
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.transport import LLMStatusError

ROOT = Path(__file__).parent.parent
GREETING = "Grüße,\u2028dir 😀 und allen, die dies in Stücken lesen."
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
# Where aimock serves each provider, in which dialect, and under a model's name of that vendor.
PROVIDERS = {
    "openai": ("/v1", "openai_chat", "gpt-5-mini"),
    "anthropic": ("/v1", "anthropic_messages", "claude-sonnet-4-5"),
    "gemini": ("/v1beta", "gemini_content", "gemini-2.5-flash"),
    "ollama": ("", "ollama_chat", "qwen3:8b"),
    "groq": ("/openai/v1", "openai_chat", "openai/gpt-oss-20b"),
    "openrouter": ("/api/v1", "openai_chat", "openai/gpt-5-mini"),
    "deepseek": ("/v1", "openai_chat", "deepseek-chat"),
}


@pytest.fixture(scope="session")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run aimock on a free port."""
    log = tmp_path_factory.mktemp("aimock") / "log.txt"
    script = ROOT / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    fixtures = ROOT / "tests" / "fixtures" / "aimock.json"
    given = ["--port", "0", "--fixtures", str(fixtures), "--strict", "--validate-on-load"]
    with log.open("w") as out:
        process = subprocess.Popen(["node", str(script), *given], stdout=out, stderr=out)
        try:
            yield _address(log, process)
        finally:
            process.terminate()
            process.wait(60)


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        said = log.read_text()
        if "listening on " in said:
            return said.rpartition("listening on ")[2].split()[0]
        time.sleep(0.02)
    raise AssertionError(f"aimock did not start: {log.read_text()}")


@pytest.fixture(params=PROVIDERS)
def llm(aimock: str, request: pytest.FixtureRequest) -> LLMProvider:
    """Make a connector for each provider in turn."""
    path, dialect, model = PROVIDERS[request.param]
    return LLMProvider(
        LLMConfig(
            base_url=aimock + path,
            model=model,
            dialect=dialect,
            provider=request.param,
            api_key="aimock-key-0123456789",
            retry=RetryPolicy(sleep=no_wait),
            timeout_ms=600_000,
            limits=PATIENT,
        )
    )


async def both(llm: LLMProvider, prompt: Any, **options: Any) -> list[Any]:
    """Ask plainly, then as a stream; give both responses."""
    whole = await llm.call(prompt, **options)
    stream = llm.stream(prompt, **options)
    texts = [text async for text in stream]
    assert "".join(texts) == stream.response.content
    return [whole, stream.response]


async def test_aimock_greets(llm: LLMProvider) -> None:
    """Plain and streamed, the text is exact and the counts are the server's (S3-01, S4-12)."""
    for response in await both(llm, [{"role": "system", "content": "Be nice."}, "greet me"]):
        assert response.content == GREETING
        assert response.finish_reason == "stop"
        counted = llm.provider_name != "ollama"  # for which aimock says 0 of everything
        assert response.metadata["usage_estimated"] is not counted
        if counted:
            assert {name: response.usage[name] for name in USAGE} == USAGE


@pytest.mark.parametrize("llm", [name for name in PROVIDERS if name != "ollama"], indirect=True)
async def test_aimock_cuts_off(llm: LLMProvider) -> None:
    """An answer at the token limit says so (S4-10)."""
    for response in await both(llm, "cut off"):
        assert response.finish_reason == "length"


async def test_aimock_calls_tools(llm: LLMProvider) -> None:
    """Two parallel calls come, their results go back, and the model answers (S4-14)."""
    tools = [{**WEATHER, "name": "get_weather"}]
    for response in await both(llm, "weather", tools=tools):
        cities = [(call.name, call.arguments["city"]) for call in response.tool_calls]
        assert cities == [("get_weather", "Köln"), ("get_weather", "Oslo")]
        assert response.finish_reason == "tool_calls"
        results = [Message.tool_result(call, "rain") for call in response.tool_calls]
        answer = await llm.call(["weather", response.message, *results], tools=tools)
        assert answer.content == "Rain in both."


async def test_aimock_limits(llm: LLMProvider) -> None:
    """A limit is tried again, then told in the server's words (S3-07)."""
    with pytest.raises(LLMStatusError, match="Slow down, please") as caught:
        await llm.call("too many")
    assert (caught.value.status, caught.value.attempts) == (429, 3)
    assert caught.value.retry_after == 1
    assert isinstance(caught.value, httpx.HTTPStatusError)


async def test_aimock_answers_in_json(llm: LLMProvider) -> None:
    """JSON mode gives an object (S2-03)."""
    response = await llm.call("a colour as JSON", json_mode=True)
    assert json.loads(response.content) == {"colour": "red"}


@pytest.mark.parametrize("llm", ["openai", "anthropic", "gemini"], indirect=True)
async def test_aimock_thinks(llm: LLMProvider) -> None:
    """Reasoning is given apart from the answer."""
    for response in await both(llm, "think"):
        assert (response.content, response.reasoning) == ("42", "Six times seven.")


@pytest.mark.parametrize("llm", ["openrouter"], indirect=True)
async def test_aimock_tells_a_price(llm: LLMProvider) -> None:
    """What a gateway says that an answer cost is kept as it says it."""
    for response in await both(llm, "paid"):
        assert response.metadata["cost_reported"] == 0.0021

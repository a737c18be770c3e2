"""What the vendors' own token counts come to: each figure computed by hand from its row (S1-30)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import asking
from loopback import Loopback, raw

from llmport_magic.llm.cost import Cost
from llmport_magic.llm.reply import LLMResponse


async def answer(
    server: Loopback, provider: str, dialect: str, model: str, body: Any
) -> LLMResponse:
    """Ask as one asks that provider, and get this body."""
    server.script(raw(json.dumps(body)))
    root = "" if dialect in ("ollama_chat", "gemini_content") else "/v1"
    url = server.url.removesuffix("/v1") + root
    llm = asking(server, base_url=url, model=model, provider=provider, dialect=dialect)
    return await llm.call("q")


def claude(**usage: Any) -> dict[str, Any]:
    """Write a message of Anthropic with these counts."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "usage": usage,
    }


async def test_anthropic_counts_its_cache_beside_the_prompt(server: Loopback) -> None:
    """Fresh, read and written tokens add up to the prompt and have a price each (S4-09, S4-28)."""
    body = claude(
        input_tokens=100,
        cache_read_input_tokens=400,
        cache_creation_input_tokens=300,
        cache_creation={"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 0},
        output_tokens=50,
    )

    found = await answer(server, "anthropic", "anthropic_messages", "claude-haiku-4-5", body)

    assert found.usage["prompt_tokens"] == 800
    assert found.usage["completion_tokens"] == 50
    assert found.usage["total_tokens"] == 850
    # 100 at 1 dollar a million, 400 at 0.10, 300 at 1.25, 50 at 5
    assert found.cost == Cost(pytest.approx(0.000765), "computed")  # type: ignore[arg-type]
    assert found.metadata["response_id"] == "msg_1"


async def test_what_is_kept_for_an_hour_has_another_price(server: Loopback) -> None:
    """Tokens that Anthropic keeps for an hour cost more than the row says: the cost is unknown."""
    body = claude(
        input_tokens=100,
        cache_creation_input_tokens=300,
        cache_creation={"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
        output_tokens=50,
    )

    found = await answer(server, "anthropic", "anthropic_messages", "claude-haiku-4-5", body)

    assert found.usage["cache_write_1h_tokens"] == 100
    assert found.cost == Cost(None, "unknown")


@pytest.mark.parametrize(
    ("counts", "prompt", "completion", "cost"),
    [
        # 1,000 at 1.25 dollars a million, 20 + 80 at 10
        (
            {"promptTokenCount": 1000, "candidatesTokenCount": 20, "thoughtsTokenCount": 80},
            1000,
            100,
            Cost(pytest.approx(0.00225), "computed"),  # type: ignore[arg-type]
        ),
        # Above 200,000 tokens the row's prices do not hold.
        (
            {"promptTokenCount": 200_001, "candidatesTokenCount": 20},
            200_001,
            20,
            Cost(None, "unknown"),
        ),
    ],
)
async def test_gemini_counts_its_thoughts_beside_the_answer(
    server: Loopback, counts: dict[str, int], prompt: int, completion: int, cost: Cost
) -> None:
    """Thoughts are part of what the model wrote, and of the bill (S4-09, S4-28)."""
    candidate = {"content": {"parts": [{"text": "hello"}]}, "finishReason": "STOP"}
    body = {"responseId": "r1", "candidates": [candidate], "usageMetadata": counts}

    found = await answer(server, "gemini", "gemini_content", "gemini-2.5-pro", body)

    assert found.usage["prompt_tokens"] == prompt
    assert found.usage["completion_tokens"] == completion
    assert found.metadata["usage_estimated"] is False
    assert found.metadata["response_id"] == "r1"
    assert found.cost == cost


async def test_openai_counts_its_cache_and_reasoning_inside(server: Loopback) -> None:
    """Cached tokens are part of the prompt, reasoning of the answer: nothing is paid twice."""
    usage = {
        "prompt_tokens": 2000,
        "completion_tokens": 1000,
        "total_tokens": 3000,
        "prompt_tokens_details": {"cached_tokens": 500, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 900, "audio_tokens": 0},
    }
    message = {"role": "assistant", "content": "hello"}
    body = {
        "id": "c1",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"message": message, "finish_reason": "stop"}],
        "usage": usage,
    }

    found = await answer(server, "openai", "openai_chat", "gpt-4o-mini", body)

    assert found.usage["total_tokens"] == 3000
    # 1,500 at 0.15 dollars a million, 500 at 0.075, 1,000 at 0.60
    assert found.cost == Cost(pytest.approx(0.0008625), "computed")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("counts", "exact"),
    [({"prompt_eval_count": 26, "eval_count": 9}, True), ({"eval_count": 9}, False), ({}, False)],
)
async def test_ollama_counts_and_has_no_price(
    server: Loopback, counts: dict[str, int], exact: bool
) -> None:
    """Ollama's counts are exact where it gives them, else marked; nobody knows a price (S4-09)."""
    message = {"role": "assistant", "content": "hello"}
    body = {"model": "m", "message": message, "done": True, "done_reason": "stop", **counts}

    found = await answer(server, "ollama", "ollama_chat", "m", body)

    assert found.metadata["usage_estimated"] is not exact
    assert found.usage["completion_tokens"] == counts.get("eval_count", 2)
    assert found.usage["prompt_tokens"] == counts.get("prompt_eval_count", 1)
    assert found.cost.source == "unknown"

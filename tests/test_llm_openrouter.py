"""OpenRouter, as its pages document it: failures inside a success, cost, reasoning sent back."""

from __future__ import annotations

import json

import pytest
from asking import KEY, asking
from loopback import DONE, Loopback, data, event, events, raw, reply

from llmport_magic.errors import LLMContentError, LLMStreamError
from llmport_magic.llm.messages import Message
from llmport_magic.llm.transport import LLMStatusError

MODEL = "deepseek/deepseek-v4.1-flash:free"
# https://openrouter.ai/docs/use-cases/usage-accounting (read 2026-11-21)
USAGE = {
    "completion_tokens": 2,
    "completion_tokens_details": {"reasoning_tokens": 1},
    "cost": 0.95,
    "cost_details": {"upstream_inference_cost": 19},
    "prompt_tokens": 194,
    "prompt_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 100, "audio_tokens": 0},
    "total_tokens": 196,
}


async def test_the_model_s_name_and_the_key_go_as_they_are(server: Loopback) -> None:
    """A name with a slash and a variant is nobody's to split; the key is a bearer (S2-02)."""
    server.script(reply("hi", usage=USAGE))

    answer = await asking(server, provider="openrouter", model=MODEL, api_key=KEY).call("q")

    (request,) = server.requests
    assert (request.path, request.json["model"]) == ("/v1/chat/completions", MODEL)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert answer.usage == {
        "prompt_tokens": 194,
        "completion_tokens": 2,
        "total_tokens": 196,
        "cached_tokens": 12,
        "cache_write_tokens": 100,
        "prompt_audio_tokens": 0,
        "reasoning_tokens": 1,
    }
    assert answer.metadata["cost_reported"] == 0.95


@pytest.mark.parametrize(
    ("code", "says", "tries"),
    [(402, "no credit left", 1), (502, "has a problem", 3), (429, "too many requests", 3)],
)
async def test_a_failure_in_a_success_has_its_own_code(
    server: Loopback, code: int, says: str, tries: int
) -> None:
    """HTTP 200 with `error` is that error; what may pass is tried again (S0-19)."""
    error = {"code": code, "message": "Upstream", "metadata": {"raw": "the vendor's words"}}
    server.always(raw(json.dumps({"error": error, "user_id": "u"})))

    with pytest.raises(LLMStatusError, match=says) as caught:
        await asking(server, provider="openrouter").call("q")

    assert caught.value.status == code
    assert "the vendor's words" in str(caught.value)
    assert len(server.requests) == tries


async def test_a_failure_in_a_choice_is_a_failure(server: Loopback) -> None:
    """An answer whose only choice holds an error is that error (S0-19)."""
    choice = {"message": {"content": None}, "error": {"code": 400, "message": "bad image"}}
    server.script(raw(json.dumps({"choices": [choice]})))

    with pytest.raises(LLMStatusError, match="bad image") as caught:
        await asking(server, provider="openrouter").call("q")

    assert caught.value.status == 400


async def test_flagged_input_is_a_refusal(server: Loopback) -> None:
    """The moderation's 403 says why, and is not the key's fault (S0-25)."""
    metadata = {"reasons": ["violence"], "flagged_input": "...", "provider_name": "OpenAI"}
    error = {"code": 403, "message": "Your input was flagged", "metadata": metadata}
    server.script(raw(json.dumps({"error": error}), status=403))

    with pytest.raises(LLMContentError, match="violence"):
        await asking(server, provider="openrouter").call("q")


@pytest.mark.parametrize("inside", [True, False])
async def test_a_stream_that_fails_keeps_what_came(server: Loopback, inside: bool) -> None:
    """A failure in the middle of a stream, on top or in the choice, is raised (S0-19)."""
    error = {"code": "server_error", "message": "Provider disconnected unexpectedly"}
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    last = {"choices": [{**choice, "error": error}]} if inside else {"choices": [choice]}
    top = {} if inside else {"error": error}
    server.script(events(event("so far"), data({"id": "c", **last, **top}), DONE))

    with pytest.raises(LLMStreamError, match="disconnected") as caught:
        async for _ in asking(server, provider="openrouter").stream("q"):
            pass

    assert caught.value.partial == "so far"


async def test_comments_are_no_content_and_an_empty_content_is_no_crash(server: Loopback) -> None:
    """The gateway's comments keep a stream alive; null is an empty text (S0-19, S4-12)."""
    comment = b": OPENROUTER PROCESSING\n\n"
    server.script(
        events(comment, comment, event("a"), comment, event(finish="stop", usage=USAGE), DONE),
        reply(None),  # type: ignore[arg-type]
    )
    llm = asking(server, provider="openrouter")

    stream = llm.stream("q")
    assert [text async for text in stream] == ["a"]
    assert stream.response.metadata["cost_reported"] == 0.95
    assert (await llm.call("q")).content == ""


async def test_streamed_reasoning_goes_back_whole(server: Loopback) -> None:
    """Blocks of reasoning that came in pieces are sent back as one, with their signature."""
    block = {"type": "reasoning.text", "index": 0, "format": "anthropic-claude-v1", "id": None}
    pieces = [{**block, "text": "Let "}, {**block, "text": "me"}, {**block, "signature": "s=="}]
    deltas = [{"choices": [{"index": 0, "delta": {"reasoning_details": [p]}}]} for p in pieces]
    server.script(events(*map(data, deltas), event("4"), event(finish="stop"), DONE), reply("5"))
    llm = asking(server, provider="openrouter")

    stream = llm.stream("2+2?")
    async for _ in stream:
        pass
    await llm.call([Message("user", "2+2?"), stream.response.message, Message("user", "+1?")])

    sent = server.requests[1].json["messages"][1]
    assert sent["content"] == "4"
    assert sent["reasoning_details"] == [{**block, "text": "Let me", "signature": "s=="}]

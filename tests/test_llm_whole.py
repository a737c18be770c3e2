"""A whole answer given as a stream of one piece loses nothing."""

from __future__ import annotations

from typing import Any

import pytest

from llmport_magic.llm import BaseLLMConnector, LLMResponse, MockConnector, ToolCall

ANSWER = LLMResponse(
    "Let me look.",
    "tool_calls",
    {"prompt_tokens": 3, "completion_tokens": 2},
    tool_calls=(
        ToolCall(name="search", id="a", arguments={"q": "ü"}, signature="s"),
        ToolCall.read("{not json", name="search", id="b"),
    ),
    reasoning="Where might it be?",
    thinking=({"type": "thinking", "signature": "s"},),
    metadata={"raw_finish_reason": "tool_use", "cost_reported": 0.25},
)


class Whole(BaseLLMConnector):
    """A third party's connector that cannot stream."""

    async def complete(self, messages: Any, **options: Any) -> LLMResponse:
        """Give the answer."""
        return ANSWER


async def test_estimates_stay_estimates() -> None:
    """Token counts that a connector estimated are not passed on as exact (S4-09)."""

    class Guessing(BaseLLMConnector):
        async def complete(self, messages: Any, **options: Any) -> LLMResponse:
            guess = {"prompt_tokens": 1, "completion_tokens": 9}
            return LLMResponse("x" * 40, usage=guess, metadata={"usage_estimated": True})

    stream = Guessing().stream("q")
    async for _ in stream:
        pass

    assert stream.response.metadata["usage_estimated"] is True
    assert stream.response.usage["completion_tokens"] == 10


@pytest.mark.parametrize(
    "llm", [Whole(), MockConnector([ANSWER], chunk_size=3)], ids=["third party", "mock"]
)
async def test_a_whole_answer_streams_without_a_loss(llm: BaseLLMConnector) -> None:
    """Calls, reasoning, counts, cost and the raw reason arrive with the text (S4-14, S4-29)."""
    stream = llm.stream("q")
    text = "".join([piece async for piece in stream])
    given = stream.response

    assert text == given.content == ANSWER.content
    assert [(c.name, c.id, c.arguments, c.signature) for c in given.tool_calls] == [
        ("search", "a", {"q": "ü"}, "s"),
        ("search", "b", {}, ""),
    ]
    assert given.tool_calls[1].text == "{not json"
    assert given.tool_calls[1].error
    assert (given.reasoning, given.thinking) == (ANSWER.reasoning, ANSWER.thinking)
    assert (given.finish_reason, given.usage) == ("tool_calls", ANSWER.usage)
    assert given.metadata["raw_finish_reason"] == "tool_use"
    assert given.metadata["cost_reported"] == 0.25
    assert given.metadata["usage_estimated"] is False

"""What comes back from a model: chunks of text, and the whole response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter", "error")


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a streamed answer, in the order of arrival.

    Attributes:
        text: text of the answer; may be empty in the chunks that carry only the rest.
        reasoning: text of the model's reasoning, never part of the answer.
        finish_reason: normalised (one of `FINISH_REASONS`), on the last content chunk.
        usage: exact token counts, where the provider sends them in the stream.
        raw_finish_reason: the provider's own word for `finish_reason`.
        model: the model that the provider says answers.
    """

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Mapping[str, int] | None = None
    raw_finish_reason: str | None = None
    model: str | None = None


def complete_usage(usage: Mapping[str, int] | None) -> dict[str, int]:
    """Give token counts that always hold prompt_tokens, completion_tokens and total_tokens."""
    counts = dict(usage or {})
    prompt = counts.setdefault("prompt_tokens", 0)
    completion = counts.setdefault("completion_tokens", 0)
    counts.setdefault("total_tokens", prompt + completion)
    return counts


@dataclass(slots=True)
class LLMResponse:
    """A whole answer.

    Attributes:
        content: the text of the answer, as the model wrote it.
        finish_reason: `stop`, `length`, `tool_calls`, `content_filter` or `error`.
        usage: token counts; `prompt_tokens`, `completion_tokens`, `total_tokens` are always there.
        model: the model that answered, as the provider names it.
        provider: the provider that answered.
        tool_calls: what the model asks to be called.
        metadata: `usage_estimated` (bool), `raw_finish_reason`, `request_id`, `attempts`,
            `latency_ms` and what a dialect adds.
        raw: the provider's own object, for a plain call.
    """

    content: str = ""
    finish_reason: str = "stop"
    usage: dict[str, int] = field(default_factory=dict)
    model: str = ""
    provider: str = ""
    tool_calls: tuple[Any, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    raw: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.usage = complete_usage(self.usage)

    def __str__(self) -> str:
        return self.content

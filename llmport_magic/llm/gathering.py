"""Puts the pieces of an answer together, and counts what it took."""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from llmport_magic.llm.cost import estimate_tokens, family_named
from llmport_magic.llm.messages import ToolCall
from llmport_magic.llm.reply import Chunk, LLMResponse, ToolCallDelta
from llmport_magic.secrets import masked_text

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import LLMCapabilities


class Gathering:
    """Puts the pieces of an answer together.

    Args:
        provider: who answers.
        model: who was asked; the provider may name another one as the one that answers.
        prompt: what was sent, for an estimate where the provider gives no token counts.
        notes: becomes the response's metadata.
        tool_names: the user's names of the tools, by the names that were sent.
        prices: of that model, where the connector was told them.
    """

    def __init__(
        self,
        provider: str,
        model: str,
        prompt: str,
        notes: MutableMapping[str, Any],
        tool_names: Mapping[str, str] = MappingProxyType({}),
        *,
        prices: LLMCapabilities | None = None,
    ) -> None:
        self._provider = provider
        self._model = model
        self._prompt = prompt
        self._notes = notes
        self._begun = time.monotonic()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._finish = "stop"
        self._usage: dict[str, int] = {}
        self._tool_names = tool_names
        self._asked = model
        self._prices = prices
        self._ended_well = False
        self._deltas: dict[int, list[ToolCallDelta]] = {}
        self._thinking: list[Mapping[str, Any]] = []

    @property
    def text(self) -> str:
        """The text that has arrived."""
        return "".join(self._text)

    @property
    def empty(self) -> bool:
        """Whether nothing has arrived that a provider would ask money for."""
        return not (self._text or self._reasoning or self._deltas or self._usage)

    def begin(self) -> None:
        """Start the clock anew: the request is sent now."""
        self._begun = time.monotonic()

    def add(self, chunk: Chunk) -> None:
        """Take the next piece."""
        if chunk.text:
            self._text.append(chunk.text)
        if chunk.reasoning:
            self._reasoning.append(chunk.reasoning)
        if chunk.finish_reason:
            self._finish = chunk.finish_reason
            self._ended_well = True
            self._notes["raw_finish_reason"] = chunk.raw_finish_reason
        if chunk.usage:
            self._usage.update(chunk.usage)
        if chunk.model:
            self._model = chunk.model
        for delta in chunk.tool_calls:
            self._deltas.setdefault(delta.index, []).append(delta)
        if chunk.thinking:
            self._thinking.extend(chunk.thinking)
        if chunk.cost is not None:
            self._notes["cost_reported"] = chunk.cost

    def _tool_calls(self) -> tuple[ToolCall, ...]:
        calls = []
        for index, deltas in sorted(self._deltas.items()):
            name = next((delta.name for delta in deltas if delta.name), "")
            call = ToolCall.read(
                masked_text("".join(delta.arguments for delta in deltas)),
                name=self._tool_names.get(name, name),
                id=next((delta.id for delta in deltas if delta.id), f"call_{index}"),
                signature="".join(delta.signature for delta in deltas),
            )
            calls.append(call)
        return tuple(calls)

    def _counted(self, *, whole: bool) -> tuple[dict[str, int], bool]:
        """Give the token counts, and whether some of them are estimates."""
        # A server that counts nothing says 0 of everything: no prompt has no tokens at all.
        told = dict(self._usage) if any(self._usage.values()) else {}
        exact = {"prompt_tokens", "completion_tokens"} <= told.keys()
        if exact and (whole or self._ended_well):
            return told, False
        called = (d.name + d.arguments for deltas in self._deltas.values() for d in deltas)
        family = family_named(self._asked)
        written = estimate_tokens("".join((*self._text, *self._reasoning, *called)), family)
        usage = {"prompt_tokens": estimate_tokens(self._prompt, family), **told}
        # In the middle of a stream a provider has counted only what it had written by then.
        usage["completion_tokens"] = (
            told.get("completion_tokens", written)
            if whole
            else max(told.get("completion_tokens", 0), written)
        )
        usage.pop("total_tokens", None)
        return usage, True

    def response(self, raw: Any = None, *, whole: bool = True) -> LLMResponse:
        """Give the answer: all of it, or what has arrived where it is not `whole`."""
        usage, estimated = self._counted(whole=whole)
        metadata = dict(self._notes)
        calls = self._tool_calls()
        # Some formats have no word of their own for an end that waits for a tool.
        finish = "tool_calls" if calls and self._finish == "stop" else self._finish
        metadata["usage_estimated"] = estimated
        metadata["latency_ms"] = round((time.monotonic() - self._begun) * 1000)
        if not whole:
            metadata["cut_off"] = True
        return LLMResponse(
            content=masked_text(self.text),
            finish_reason=finish,
            usage=usage,
            model=self._model,
            provider=self._provider,
            tool_calls=calls,
            reasoning=masked_text("".join(self._reasoning)),
            thinking=tuple(self._thinking),
            metadata=metadata,
            raw=raw,
            prices=self._prices,
        )

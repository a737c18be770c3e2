"""The types and the client of anthropic."""

# ruff: noqa: RUF012 - four classes of one shape, told in `package.py`

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sdks.calls import SYSTEM, TOOLS, USER
from sdks.package import KEY, SAMPLING, Conversation, Package, Results, dumped, faults_of, strict
from vendors import AnthropicMessages

from llmport_magic.llm.reply import Chunk


class Anthropic(Package):
    """anthropic."""

    vendor = AnthropicMessages()
    finish = {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "pause_turn": "length",
        "refusal": "content_filter",
    }
    usage = {
        "prompt_tokens": {"input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"},
        "completion_tokens": {"output_tokens"},
        "cached_tokens": {"cache_read_input_tokens"},
        "cache_write_tokens": {"cache_creation_input_tokens"},
        "cache_write_1h_tokens": {"cache_creation.ephemeral_1h_input_tokens"},
        "reasoning_tokens": {"output_tokens_details.thinking_tokens"},
    }
    uncounted = r"server_tool_use\..*|cache_creation\.ephemeral_5m_input_tokens"
    known = {
        r"^[^:]*: (temperature|top_p|top_k): Extra": "in version 2023-06-01, not in 2026-10-21",
        r"`temperature` 0\.5, theirs null": "in version 2023-06-01, not in 2026-10-21",
        r"header x-api-key": "2.x sends the key as a bearer token, and the API takes both",
        r"header anthropic-version": "we name 2023-06-01, they 2026-10-21",
    }
    headers = ("x-api-key", "anthropic-version")
    thinking = (
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "secret"},
    )
    options = {
        "top_k": 5,
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "low"},
    }
    extra = {"metadata": {"user_id": "u"}, "service_tier": "auto"}
    refused = (
        *("temperature", "top_p", "temperature with top_p", "forced tool_choice"),
        *("output_config.format", "prefill"),
    )

    def faults(self, body: Any) -> list[str]:
        """Read a body as a request for a message."""
        from anthropic.types import message_create_params as types

        kind = "Streaming" if body.get("stream") else "NonStreaming"
        if not hasattr(self, kind):
            setattr(self, kind, strict(getattr(types, f"MessageCreateParams{kind}")))
        return faults_of(getattr(self, kind), body)

    def answers(self) -> Results:
        """Read whole answers."""
        from anthropic.types import Message as Whole

        for data in dumped(Whole):
            said = "".join(b["text"] for b in data["content"] if b["type"] == "text")
            refusal = (data.get("stop_details") or {}).get("explanation") or ""
            names = [b["name"] for b in data["content"] if b["type"] == "tool_use"]
            reason = data.get("stop_reason")
            yield "an answer", self.read(data, said or refusal, reason, names)
            for block in data["content"]:
                kind = block["type"]
                text = block["text"] if kind == "text" else ""
                names = [block["name"]] if kind == "tool_use" else []
                one = {**data, "content": [block], "stop_details": None}
                yield f"a block of {kind}", self.read(one, text, reason, names)

    def events(self) -> Results:
        """Read streams: every block that begins, with every delta, and every end."""
        from anthropic.types import (
            RawContentBlockDeltaEvent,
            RawContentBlockStartEvent,
            RawMessageDeltaEvent,
            RawMessageStartEvent,
            RawMessageStopEvent,
        )

        begun = next(dumped(RawMessageStartEvent))
        deltas = list(dumped(RawContentBlockDeltaEvent))
        ends = list(dumped(RawMessageDeltaEvent))
        over = next(dumped(RawMessageStopEvent))
        for start in dumped(RawContentBlockStartEvent):
            block = start["content_block"]
            stop = {"type": "content_block_stop", "index": start["index"]}
            events = [begun, start, *deltas, stop, ends[0], over]
            texts = [d["delta"]["text"] for d in deltas if d["delta"]["type"] == "text_delta"]
            text = (block["text"] if block["type"] == "text" else "") + "".join(texts)
            yield f"a stream with {block['type']}", self._streamed(events, text, None)
        for end in ends:
            refusal = (end["delta"].get("stop_details") or {}).get("explanation") or ""
            reason = end["delta"].get("stop_reason")
            yield f"an end by {reason}", self._streamed([begun, end, over], refusal, reason)

    def _streamed(self, events: list[Any], text: str, finish: str | None) -> str:
        reader = self.dialect.stream_reader()
        chunks = [chunk for event in events if (chunk := reader.read(event, event["type"]))]
        reason = next((chunk.finish_reason for chunk in chunks if chunk.finish_reason), None)
        whole = Chunk("".join(chunk.text for chunk in chunks), finish_reason=reason)
        wrong = self.compared(whole, events, text, finish)
        return wrong or ("" if reader.complete else "the reader does not see the end")

    def counted(self) -> Results:
        """Read token counts."""
        from anthropic.types import Usage

        yield from self.counts(next(dumped(Usage)), self.dialect.read_usage)

    def errors(self) -> Results:
        """Read failures."""
        from anthropic.types import ErrorResponse

        for data in dumped(ErrorResponse):
            details, kind = self.dialect.read_error(data), data["error"]["type"]
            right = details is not None and details.code == kind and details.status
            yield f"a failure, {kind}", "" if right else f"read as {details}"

    def listed(self) -> Results:
        """Read a list of models."""
        from anthropic.types import ModelInfo

        rows = list(dumped(ModelInfo))
        yield from self.names({"data": rows, "has_more": False}, [row["id"] for row in rows])

    def conversations(self) -> Iterator[Conversation]:
        """Ask the same with both clients."""

        def ask(root: str, stream: bool, **more: Any) -> None:
            import anthropic

            client = anthropic.Anthropic(base_url=root, api_key=KEY)
            answer = client.messages.create(
                model="m",
                max_tokens=5,
                stop_sequences=["END"],
                system="Be brief.",
                messages=[{"role": "user", "content": [{"type": "text", "text": "q"}]}],
                **more,
                **({"stream": True} if stream else {}),
            )
            if stream:
                list(answer)

        yield "a call", ask, (SYSTEM, USER), SAMPLING
        given = {
            "tools": [
                {"name": t.name, "input_schema": dict(t.parameters)}
                | ({"description": t.description} if t.description else {})
                for t in TOOLS
            ],
            "tool_choice": {"type": "any"},
        }
        yield (
            "tools",
            lambda root, stream: ask(root, stream, **given),
            (SYSTEM, USER),
            {**SAMPLING, "tools": TOOLS, "tool_choice": "required"},
        )

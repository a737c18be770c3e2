"""The types and the client of openai."""

# ruff: noqa: RUF012 - four classes of one shape, told in `package.py`

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sdks.calls import SYSTEM, TOOLS, USER
from sdks.package import KEY, SAMPLING, Conversation, Package, Results, dumped, faults_of, strict
from vendors import OpenAIChat

from llmport_magic.llm.reply import Chunk


class OpenAI(Package):
    """openai."""

    vendor = OpenAIChat()
    finish = {word: word for word in ("stop", "length", "tool_calls", "content_filter")} | {
        "function_call": "tool_calls"
    }
    usage = {
        "prompt_tokens": {"prompt_tokens"},
        "completion_tokens": {"completion_tokens"},
        "total_tokens": {"total_tokens"},
        "cached_tokens": {"prompt_tokens_details.cached_tokens"},
        "cache_write_tokens": {"prompt_tokens_details.cache_write_tokens"},
        "prompt_audio_tokens": {"prompt_tokens_details.audio_tokens"},
        "reasoning_tokens": {"completion_tokens_details.reasoning_tokens"},
        "completion_audio_tokens": {"completion_tokens_details.audio_tokens"},
    }
    uncounted = r".*\.(text|image|accepted_prediction|rejected_prediction)_tokens"
    options = {"top_logprobs": 2, "logprobs": True, "frequency_penalty": 0.1, "n": 1}
    extra = {"user": "u", "service_tier": "flex", "reasoning_effort": "low", "verbosity": "low"}
    refused = (
        *("max_tokens", "temperature", "top_p", "seed", "stop", "stream_options"),
        *("json_schema", "response_format", "reasoning_effort"),
    )

    def faults(self, body: Any) -> list[str]:
        """Read a body as a request of chat completions."""
        from openai.types.chat import completion_create_params as types

        if body["messages"][-1].get("prefix"):
            self.seen.add("`prefix`: a prefill, which DeepSeek takes and OpenAI does not")
            last = {k: v for k, v in body["messages"][-1].items() if k != "prefix"}
            body = {**body, "messages": [*body["messages"][:-1], last]}

        kind = "Streaming" if body.get("stream") else "NonStreaming"
        if not hasattr(self, kind):
            setattr(self, kind, strict(getattr(types, f"CompletionCreateParams{kind}")))
        return faults_of(getattr(self, kind), body)

    def answers(self) -> Results:
        """Read whole answers."""
        from openai.types.chat import ChatCompletion
        from openai.types.chat.chat_completion import Choice

        for choice in dumped(Choice):
            message = choice["message"]
            text = message.get("content") or message.get("refusal") or ""
            refused = message.get("refusal") and not message.get("content")
            finish = None if refused else choice["finish_reason"]
            data = {**next(dumped(ChatCompletion)), "choices": [choice]}
            yield "an answer", self.read(data, text, finish, _called(message))
        for data in dumped(ChatCompletion):
            message = data["choices"][0]["message"]
            text = message.get("content") or ""
            yield "an answer", self.read(data, text, None, _called(message))

    def events(self) -> Results:
        """Read the events of streams."""
        from openai.types.chat import ChatCompletionChunk

        for data in dumped(ChatCompletionChunk):
            for choice in data["choices"] or [None]:
                event = {**data, "choices": [choice] if choice else []}
                delta = (choice or {}).get("delta", {})
                text = (delta.get("content") or "") + (delta.get("refusal") or "")
                finish = None if delta.get("refusal") else (choice or {}).get("finish_reason")
                chunk = self.dialect.stream_reader().read(event, "") or Chunk()
                yield "an event", self.compared(chunk, event, text, finish)

    def counted(self) -> Results:
        """Read token counts."""
        from openai.types import CompletionUsage

        yield from self.counts(
            next(dumped(CompletionUsage)), lambda usage: self.dialect.read_usage({"usage": usage})
        )

    def listed(self) -> Results:
        """Read a list of models."""
        from openai.types import Model

        rows = list(dumped(Model))
        yield from self.names({"object": "list", "data": rows}, [row["id"] for row in rows])

    def conversations(self) -> Iterator[Conversation]:
        """Ask the same with both clients."""
        tools = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    **({"description": tool.description} if tool.description else {}),
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in TOOLS
        ]

        def ask(root: str, stream: bool, **more: Any) -> None:
            import openai

            client = openai.OpenAI(base_url=f"{root}/v1", api_key=KEY)
            if stream:
                more["stream_options"] = {"include_usage": True}
            messages = [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "q"},
            ]
            answer = client.chat.completions.create(
                model="m",
                messages=messages,
                **SAMPLING,
                **more,
                **({"stream": True} if stream else {}),
            )
            if stream:
                list(answer)

        yield "a call", ask, (SYSTEM, USER), SAMPLING
        given = {"tools": tools, "tool_choice": "auto"}
        yield (
            "tools",
            lambda root, stream: ask(root, stream, **given),
            (SYSTEM, USER),
            {**SAMPLING, "tools": TOOLS, "tool_choice": "auto"},
        )


def _called(message: Mapping[str, Any]) -> list[str]:
    if message.get("tool_calls") is not None:
        return [call[call["type"]]["name"] for call in message["tool_calls"]]
    return [message["function_call"]["name"]] if message.get("function_call") else []

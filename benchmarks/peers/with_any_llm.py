"""any-llm, with its OpenAI provider."""

from __future__ import annotations

from collections.abc import AsyncIterator

from any_llm import AnyLLM


class Client:
    """Asks the chat completions API."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._clients: dict[str, AnyLLM] = {}

    def _client(self, mode: str) -> AnyLLM:
        if mode not in self._clients:
            base = f"{self._url}/{mode}/v1"
            self._clients[mode] = AnyLLM.create("openai", api_key="sk-none", api_base=base)
        return self._clients[mode]

    async def call(self) -> str:
        """Ask for a whole answer."""
        answer = await self._client("plain").acompletion(
            model="m-1",
            messages=[{"role": "user", "content": "What is pi?"}],
            max_tokens=4096,
            temperature=0.7,
        )
        return answer.choices[0].message.content

    async def stream(self, mode: str) -> AsyncIterator[str]:
        """Ask for an answer in pieces."""
        stream = await self._client(mode).acompletion(
            model="m-1",
            messages=[{"role": "user", "content": "What is pi?"}],
            max_tokens=4096,
            temperature=0.7,
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

"""The openai SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator

from openai import AsyncOpenAI


class Client:
    """Asks the chat completions API."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = AsyncOpenAI(api_key="sk-none", base_url=f"{url}/plain/v1")
        self._modes: dict[str, AsyncOpenAI] = {}

    async def call(self) -> str:
        """Ask for a whole answer."""
        answer = await self._client.chat.completions.create(
            model="m-1",
            messages=[{"role": "user", "content": "What is pi?"}],
            max_tokens=4096,
            temperature=0.7,
        )
        return answer.choices[0].message.content or ""

    async def stream(self, mode: str) -> AsyncIterator[str]:
        """Ask for an answer in pieces."""
        if mode not in self._modes:
            self._modes[mode] = self._client.with_options(base_url=f"{self._url}/{mode}/v1")
        stream = await self._modes[mode].chat.completions.create(
            model="m-1",
            messages=[{"role": "user", "content": "What is pi?"}],
            max_tokens=4096,
            temperature=0.7,
            stream=True,
            stream_options={"include_usage": True},
        )
        async with stream:
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content

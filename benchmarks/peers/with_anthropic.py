"""The anthropic SDK, which speaks another format: the same texts in Anthropic's events."""

from __future__ import annotations

from collections.abc import AsyncIterator

from anthropic import AsyncAnthropic


class Client:
    """Asks the messages API."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = AsyncAnthropic(api_key="sk-none", base_url=f"{url}/plain")
        self._modes: dict[str, AsyncAnthropic] = {}

    async def call(self) -> str:
        """Ask for a whole answer."""
        answer = await self._client.messages.create(
            model="m-1", messages=[{"role": "user", "content": "What is pi?"}], max_tokens=4096
        )
        return "".join(block.text for block in answer.content if block.type == "text")

    async def stream(self, mode: str) -> AsyncIterator[str]:
        """Ask for an answer in pieces."""
        if mode not in self._modes:
            self._modes[mode] = self._client.with_options(base_url=f"{self._url}/{mode}")
        stream = await self._modes[mode].messages.create(
            model="m-1",
            messages=[{"role": "user", "content": "What is pi?"}],
            max_tokens=4096,
            stream=True,
        )
        async with stream:
            async for event in stream:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    yield event.delta.text

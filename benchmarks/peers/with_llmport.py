"""This project's connector, from the caller's own loop, as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from llmport_magic.llm import LLMConfig, LLMProvider


class Client:
    """Asks the chat completions API."""

    dialect = "openai_chat"

    def __init__(self, url: str) -> None:
        self._url = url
        self._connectors: dict[str, LLMProvider] = {}

    def _connector(self, mode: str) -> LLMProvider:
        if mode not in self._connectors:
            config = LLMConfig(
                base_url=f"{self._url}/{mode}/v1",
                model="m-1",
                api_key="sk-none",
                dialect=self.dialect,
            )
            self._connectors[mode] = LLMProvider(config)
        return self._connectors[mode]

    async def call(self) -> str:
        """Ask for a whole answer."""
        return (await self._connector("plain").complete("What is pi?")).content

    async def stream(self, mode: str) -> AsyncIterator[str]:
        """Ask for an answer in pieces."""
        async with self._connector(mode).stream("What is pi?") as stream:
            async for text in stream:
                yield text

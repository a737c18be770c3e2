"""pydantic-ai, an agent without tools on its OpenAI chat model."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Client:
    """Asks the chat completions API."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._agents: dict[str, Agent] = {}

    def _agent(self, mode: str) -> Agent:
        if mode not in self._agents:
            provider = OpenAIProvider(base_url=f"{self._url}/{mode}/v1", api_key="sk-none")
            model = OpenAIChatModel("m-1", provider=provider)
            settings = {"max_tokens": 4096, "temperature": 0.7}
            self._agents[mode] = Agent(model, model_settings=settings)
        return self._agents[mode]

    async def call(self) -> str:
        """Ask for a whole answer."""
        return (await self._agent("plain").run("What is pi?")).output

    async def stream(self, mode: str) -> AsyncIterator[str]:
        """Ask for an answer in pieces."""
        async with self._agent(mode).run_stream("What is pi?") as answer:
            async for text in answer.stream_text(delta=True, debounce_by=None):
                yield text

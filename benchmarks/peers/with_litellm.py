"""litellm, with its price table taken from the package and not from the network."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

litellm.telemetry = False


class Client:
    """Asks the chat completions API."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def call(self) -> str:
        """Ask for a whole answer."""
        answer = await litellm.acompletion(
            model="openai/m-1",
            api_key="sk-none",
            base_url=f"{self._url}/plain/v1",
            messages=[{"role": "user", "content": "What is pi?"}],
            max_tokens=4096,
            temperature=0.7,
        )
        return answer.choices[0].message.content

    async def stream(self, mode: str) -> AsyncIterator[str]:
        """Ask for an answer in pieces."""
        stream = await litellm.acompletion(
            model="openai/m-1",
            api_key="sk-none",
            base_url=f"{self._url}/{mode}/v1",
            messages=[{"role": "user", "content": "What is pi?"}],
            max_tokens=4096,
            temperature=0.7,
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

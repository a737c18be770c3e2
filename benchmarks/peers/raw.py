"""Raw use of httpx or httpx2: a pooled client, `.json()`, `aiter_lines` and `json`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any


class Raw:
    """Asks the chat completions API."""

    def __init__(self, library: Any, url: str) -> None:
        self._url = url
        self._client = library.AsyncClient(headers={"authorization": "Bearer sk-none"})

    def _request(self, mode: str, **fields: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": "What is pi?"}]
        body = {"model": "m-1", "messages": messages, "max_tokens": 4096, "temperature": 0.7}
        return {"url": f"{self._url}/{mode}/v1/chat/completions", "json": {**body, **fields}}

    async def call(self) -> str:
        """Ask for a whole answer."""
        response = await self._client.post(**self._request("plain"))
        response.raise_for_status()
        text: str = response.json()["choices"][0]["message"]["content"]
        return text

    async def stream(self, mode: str) -> AsyncIterator[str]:
        """Ask for an answer in pieces."""
        options = {"include_usage": True}
        request = self._request(mode, stream=True, stream_options=options)
        async with self._client.stream("POST", **request) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if not line.startswith("data: "):
                    continue
                data = line[6:]
                if data == "[DONE]":
                    break
                choices = json.loads(data)["choices"]
                if choices and choices[0]["delta"].get("content"):
                    yield choices[0]["delta"]["content"]

"""What the tests of `%llmport fix` and `%llmport explain` share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import Kernel, kernel
from loopback import Loopback

KEY = "planted-key-0123456789"


@pytest.fixture
def shell(server: Loopback, tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel that asks the loopback server."""
    own = {
        "OPENAI_API_KEY": KEY,
        "LLMPORT_LLM__OPENAI__BASE_URL": server.url,
        "LLMPORT_PROVIDER": "openai",
        "LLMPORT_MODEL": "m-1",
        "LLMPORT_ATTEMPTS": "1",
        "HOME": str(tmp_path / "marked-home"),
    }
    with kernel(tmp_path / "work", **own) as running:
        yield running


def said(server: Loopback, number: int = -1) -> list[str]:
    """Give the texts of the messages of a request."""
    return [message["content"] for message in server.requests[number].json["messages"]]

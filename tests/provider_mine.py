"""A provider called `mine`: a registry that knows it, its keys, and the files it is told in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from asking import KEY
from loopback import Loopback, Request, Script, failure

from llmport_magic.llm import LLMRegistry

OTHER = "another-key-fedcba9876543210"
URL = "https://x.example/v1"
FLAT = """\
name: mine
base_url: https://x.example/v1
api_key_vars: MINE_API_KEY
default_model: m-1
models:
  m-1:
    family: qwen
    aliases: [one]
    capabilities: {vision: true, input_cost_per_1k_tokens: 0.5, refuses: [seed]}
"""


def registry_of(server: Loopback, manager: Any = None) -> LLMRegistry:
    """Make a registry with a provider `mine` that is the test's server and needs a key."""
    registry = LLMRegistry.create_default(credential_manager=manager)
    registry.register_provider(
        "mine", base_url=server.url, default_model="m", api_key_vars=["MINE_KEY", "MINE_OLD_KEY"]
    )
    return registry


def keys_sent(server: Loopback) -> list[str]:
    """Give the keys that the server was sent."""
    return [r.headers.get("authorization", "").removeprefix("Bearer ") for r in server.requests]


def key_file(path: Path, text: str = f"{KEY}\n") -> Path:
    """Write a file that holds a key and is open to its owner only."""
    path.write_text(text)
    path.chmod(0o600)
    return path


def only(key: str, script: Script, status: int = 401) -> Callable[[Request], Script]:
    """Answer the requests that come with one key, and refuse all others."""

    def answer(request: Request) -> Script:
        good = request.headers.get("authorization") == f"Bearer {key}"
        return script if good else failure(status, "no such key")

    return answer


def yaml_file(folder: Path, text: str, name: str = "p.yaml") -> Path:
    """Write a provider's file, and its folder where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, "utf-8")
    return folder / name

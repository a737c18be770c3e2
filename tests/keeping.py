"""Answers to keep, a look at the files that hold them, and a process that is new."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from loopback import Script, raw

from llmport_magic.llm import cache
from llmport_magic.llm.cache import answers_folder
from llmport_magic.llm.tools import Tool

TOOL = Tool(name="web:search", parameters={"type": "object", "properties": {"q": {}}})
CALLED = {
    "index": 0,
    "id": "call_9",
    "type": "function",
    "function": {"name": "web_search", "arguments": '{"q": "a"}'},
}


def tool_reply(**fields: Any) -> Script:
    """Answer with the wish for a tool, and with the reasoning before it."""
    message = {"role": "assistant", "content": None, "tool_calls": [CALLED]}
    message["reasoning_content"] = "hm"
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    body = {"id": "c7", "model": "m-1", "choices": [choice], "usage": {"prompt_tokens": 1}}
    return raw(json.dumps({**body, **fields}))


def files() -> list[Path]:
    """List what lies in the cache."""
    return sorted(answers_folder().glob("*"))


def forget_memory() -> None:
    """Be as a new process is."""
    cache._kept_in.cache_clear()

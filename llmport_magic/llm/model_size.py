"""Whether a model is small or large, by what is said of it or else by its name.

A small model is one that is not helped by being told what is wrong with its answer. Where nobody
says so, the line is drawn at ten thousand million parameters, which names tell: `llama3.1:8b` is
small, `gemma-3-12b-it` is large, `mixtral-8x7b` has eight times seven, and `qwen3-30b-a3b` thirty,
three of which are at work. A name that tells nothing is that of a large model.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from llmport_magic.llm.capabilities import LLMCapabilities

_SMALL_BELOW = 10.0
# The letter before the number: `r7b` and `e4b` have so many, `a3b` counts those at work only.
_COUNT = re.compile(r"(?<![a-z0-9.])([a-z]?)(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])")
# Three digits: `1m` is a window of a million tokens.
_MILLIONS = re.compile(r"(?<![a-z0-9.])\d{3}m(?![a-z0-9])")
# Phi 3.5 and 4 mini have 3.8: https://ollama.com/library/phi4-mini, read 2026-11-21.
_SMALL_WORDS = re.compile(r"(?<![a-z])(tiny|smol)|phi-?\d(\.\d)?[-:]mini")


@lru_cache(maxsize=1024)
def size_named(model: str) -> Literal["small", "large"]:
    """Tell a model's size by its name.

    Args:
        model: as its provider spells it: `qwen2.5-coder:1.5b`, `meta-llama/llama-3.2-3b-instruct`.
    """
    name = model.lower().rpartition("/")[2].replace("_", "-")
    found = [
        float(count) * int(times or 1)
        for letter, times, count in _COUNT.findall(name)
        if letter != "a"
    ]
    if found:
        return "small" if max(found) < _SMALL_BELOW else "large"
    return "small" if _MILLIONS.search(name) or _SMALL_WORDS.search(name) else "large"


def sized(capabilities: LLMCapabilities, model: str) -> LLMCapabilities:
    """Give the capabilities of a model with its size, where they do not say it.

    Args:
        capabilities: what is known of the model.
        model: its name.
    """
    if capabilities.size is not None:
        return capabilities
    return replace(capabilities, size=size_named(model))

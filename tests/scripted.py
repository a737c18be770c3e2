"""A connector as a third party would write it, which answers what a test has scripted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.registry import PROVIDER_CONFIG

GOOD = '''"""Circles."""
import math


def area(radius):
    """Area of a circle."""
    return math.pi * radius**2
'''
BETTER = (
    GOOD
    + '''

def sector(radius, degrees):
    """Area of a sector."""
    return area(radius) * degrees / 360
'''
)
HELD = '''"""Circles, and a file that is written when the module is imported."""
with open("seen.txt", "w") as seen:
    seen.write("x")


def area(radius):
    """Not the area."""
    return radius
'''
PROMPT = "Area of a circle.\n\n>>> round(area(2), 3)\n12.566"


def fenced(source: str) -> str:
    """Wrap a source as models do."""
    return f"Here it is:\n\n```python\n{source}```\n"


class Script:
    """The answers of one test, and what was asked."""

    def __init__(self) -> None:
        self.answers: list[str | Exception | Callable[[str], str]] = []
        self.prompts: list[str] = []
        self.asked = threading.Event()

    @property
    def calls(self) -> int:
        """How often somebody asked."""
        return len(self.prompts)


@contextmanager
def scripted(*answers: str | Exception | Callable[[str], str]) -> Iterator[Script]:
    """Register the provider `scripted`, which gives these answers in turn."""
    script = Script()
    script.answers.extend(answers)

    class ScriptedConnector(BaseLLMConnector):
        def __init__(self, api_key: str | None = None, model: str = "s1") -> None:
            super().__init__()
            self.api_key = api_key
            self.model = model

        def call_llm(self, prompt: str) -> str:
            script.prompts.append(str(prompt))
            script.asked.set()
            answer = script.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer(str(prompt)) if callable(answer) else answer

    PROVIDER_CONFIG["scripted"] = {
        "api_key_vars": [],
        "default_model": "s1",
        "connector": ScriptedConnector,
    }
    try:
        yield script
    finally:
        del PROVIDER_CONFIG["scripted"]


def slow(answer: str, seconds: float = 30.0) -> Callable[[str], str]:
    """Give an answer that takes its time."""

    def respond(_: str) -> str:
        time.sleep(seconds)
        return answer

    return respond

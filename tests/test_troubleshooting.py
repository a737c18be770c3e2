"""The page about failures: each message in its table is one that really comes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from elsewhere import names_are_unknown
from loopback import HANG, Loopback, Script, failure, raw, refused_url, reply

from llmport_magic.errors import LLMPortError
from llmport_magic.llm import LLMProviderFactory

PAGE = Path(__file__).resolve().parents[1] / "docs" / "troubleshooting.md"
KEY = "planted-key-0123456789abcdef"

pytestmark = pytest.mark.usefixtures("own_registry")


def messages() -> list[str]:
    """Give the first column of the table."""
    rows = re.findall(r"^\| `(.+?)` \|", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    assert rows
    return rows


def fits(message: str, pattern: str) -> bool:
    """Tell whether a message is what the table says; it writes commands without their marks."""
    parts = [re.escape(part.strip()) for part in pattern.split("…")]
    return re.search(".*".join(parts), message.replace("`", "")) is not None


def at(server: Loopback, **more: Any) -> dict[str, Any]:
    """Give the table of a provider that the server stands for."""
    return {"base_url": server.url, "api_key": KEY, "max_retries": 0, **more}


def ollama(server: Loopback, **more: Any) -> dict[str, Any]:
    """Ask Ollama and nobody else."""
    table = {"base_url": server.url.removesuffix("/v1"), "max_retries": 0, **more}
    return {"provider": "ollama", "ollama": table, "fallback": []}


def openai(server: Loopback, **more: Any) -> dict[str, Any]:
    """Ask OpenAI and nobody else."""
    return {"provider": "openai", "openai": at(server, **more), "fallback": []}


def both(server: Loopback, first: Script, second: Script) -> dict[str, Any]:
    """Ask OpenAI and then Groq, who answer so."""
    server.script(first, second)
    return {"provider": "openai", "openai": at(server), "groq": at(server), "fallback": ["groq"]}


def answering(script: Script, config: Callable[..., Any], **more: Any) -> Callable[..., Any]:
    """Let the server answer so, and give the configuration that asks it."""

    def made(server: Loopback) -> Any:
        server.always(script)
        return config(server, **more)

    return made


OUT_OF_ORDER = failure(500)
KEYLESS = {"openai": {}, "fallback": ["groq"]}
# What brings each message about, in the order of the table.
CAUSES: list[Callable[[Loopback], Any]] = [
    lambda _: {"provider": "openai", "fallback": []},
    lambda _: {"provider": "auto"},
    lambda _: {"provider": "opnai"},
    answering(failure(401), openai),
    answering(failure(404), openai),
    answering(failure(429), openai),
    answering(OUT_OF_ORDER, openai),
    lambda server: openai(server, base_url="https://no-such-host.invalid/v1"),
    lambda server: openai(server, base_url=refused_url()),
    lambda server: ollama(server, base_url=refused_url().removesuffix("/v1"), model="llama3.2"),
    answering(raw('{"error": "model \\"x\\" not found"}', status=404), ollama, model="x"),
    answering(raw('{"models": []}'), ollama),
    answering(Script((HANG,), silent=True), openai, first_byte_timeout=0.2),
    lambda server: both(server, OUT_OF_ORDER, OUT_OF_ORDER),
    lambda server: both(server, OUT_OF_ORDER, reply()),
    answering(reply(), lambda server: {**openai(server), "groq": at(server), **KEYLESS}),
]


def test_each_message_has_its_cause() -> None:
    """No message of the page is left without a test, and no two are alike (S3-51)."""
    assert len(CAUSES) == len(messages()) == len(set(messages()))


@pytest.mark.parametrize(("number", "pattern"), list(enumerate(messages())))
def test_the_message_really_comes(
    number: int, pattern: str, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the page says stands in the error or the warning, in one line without a key (S3-51)."""
    names_are_unknown(monkeypatch, "no-such-host.invalid")
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            LLMProviderFactory(CAUSES[number](server)).call_llm("q")
        except LLMPortError as error:
            said.append(str(error))
    said += [str(each.message) for each in caught]

    assert [each for each in said if fits(each, pattern)], said
    assert all("\n" not in each and KEY not in each for each in said)


def test_the_search_tells_messages_apart() -> None:
    """Another message does not fit, so the test above can fail."""
    assert fits(
        "`openai` answered 401 (no): check the key in `X`", "answered 401 … check the key in"
    )
    assert not fits("`openai` answered 403 (no)", "answered 401 … check the key in")

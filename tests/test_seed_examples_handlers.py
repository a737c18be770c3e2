"""The examples of the handlers' own document, run as they are written there.

Only the import is ours, and the addresses lead to a server on this machine.
"""

# ruff: noqa: BLE001, T201, UP045 - as the document has it

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Optional

import pytest
from asking import KEY
from loopback import Loopback, Script, raw, reply

import llmport_magic
from llmport_magic.llm import create_llm_handler
from llmport_magic.llm.selection import close_connectors

pytestmark = pytest.mark.usefixtures("own_registry")


async def example_task_execution(
    prompt: str, preferred_provider: Optional[str] = None, specific_model: Optional[str] = None
) -> None:
    """Do what the document's function of this name does."""
    try:
        # Factory resolves best handler and model based on args and configs
        handler = await create_llm_handler(
            provider_name=preferred_provider, model_name=specific_model
        )

        # The model to use for *this specific generate_text call* is handler.model_name_for_api
        # if you want the handler's configured default, or you can override it here.
        # If specific_model was passed to create_llm_handler, handler.model_name_for_api will be
        # that.
        api_call_model = specific_model or handler.model_name_for_api
        if not api_call_model:  # Should not happen if factory logic is sound
            print("Error: No effective model name could be determined.")
            return

        response = await handler.generate_text(
            prompt=prompt, model=api_call_model, max_tokens=1024, temperature=0.5
        )

        if response and not response.startswith("Error:"):
            print(f"Response from {handler.provider_name}/{api_call_model}:\n{response}")
        else:
            print(f"Error from {handler.provider_name}/{api_call_model}: {response}")

    except Exception as e:
        print(f"An error occurred: {e}")


@pytest.fixture(autouse=True)
async def _close() -> AsyncIterator[None]:
    """Forget the connectors of a test."""
    yield
    await close_connectors()


def _ollama(text: str) -> Script:
    message = {"role": "assistant", "content": text}
    return raw(json.dumps({"model": "m", "message": message, "done": True, "done_reason": "stop"}))


def _gemini(text: str) -> Script:
    candidate = {"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}
    return raw(json.dumps({"candidates": [candidate]}))


def _lead_to(server: Loopback, provider: str, **more: Any) -> None:
    llmport_magic.configure(llm={provider: {"base_url": server.url, "api_key": KEY, **more}})


def test_quicksort_by_ollama(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    """The first call: Ollama and a model of its own, by `asyncio.run` (S2-25, X-06)."""
    _lead_to(server, "ollama")
    server.script(_ollama("def quicksort(items): ..."))

    asyncio.run(
        example_task_execution(
            "Write a Python function for quicksort.",
            preferred_provider="ollama",
            specific_model="deepseek-coder:6.7b-instruct",
        )
    )

    sent = server.requests[0]
    assert capsys.readouterr().out == (
        "Response from ollama/deepseek-coder:6.7b-instruct:\ndef quicksort(items): ...\n"
    )
    assert (sent.path, sent.json["model"]) == ("/api/chat", "deepseek-coder:6.7b-instruct")
    assert sent.json["options"] == {"num_predict": 1024, "temperature": 0.5}


def test_relativity_by_gemini(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    """The second: Gemini's own format and its default model (S2-25, X-06)."""
    _lead_to(server, "gemini")
    server.script(_gemini("Time is relative."))

    asyncio.run(
        example_task_execution(
            "Explain the theory of relativity briefly.", preferred_provider="gemini"
        )
    )

    sent = server.requests[0]
    model = sent.path.rpartition("/")[2].removesuffix(":generateContent")
    assert capsys.readouterr().out == f"Response from gemini/{model}:\nTime is relative.\n"
    assert model.startswith("gemini-")
    assert sent.headers["x-goog-api-key"] == KEY
    assert sent.json["generationConfig"]["maxOutputTokens"] == 1024


def test_summaries_by_groq(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    """The third: Groq, OpenAI's format, its default model (S2-25, X-06)."""
    _lead_to(server, "groq")
    server.script(reply("Read the headings."))

    asyncio.run(
        example_task_execution(
            "What's the fastest way to summarize a document?", preferred_provider="groq"
        )
    )

    sent = server.requests[0]
    assert capsys.readouterr().out == (
        f"Response from groq/{sent.json['model']}:\nRead the headings.\n"
    )
    assert sent.path.endswith("/chat/completions")
    assert sent.headers["authorization"] == f"Bearer {KEY}"


def test_ollama_without_a_model(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    """With nothing but the provider, its Cloud Run default answers (S2-11, S2-25)."""
    _lead_to(server, "ollama")
    server.script(_ollama("yes"))

    asyncio.run(example_task_execution("q", preferred_provider="ollama"))

    assert capsys.readouterr().out == "Response from ollama/codegemma:7b-it:\nyes\n"
    assert server.requests[0].json["model"] == "codegemma:7b-it"


def test_a_failure_reaches_the_documents_except(
    server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the provider fails, the function's own `except` prints why (S2-21, S2-25)."""
    _lead_to(server, "groq", attempts=1)
    server.script(raw(json.dumps({"error": {"message": "worn out"}}), status=500))

    asyncio.run(example_task_execution("q", preferred_provider="groq"))

    said = capsys.readouterr().out
    assert said.startswith("An error occurred: ")
    assert "worn out" in said
    assert KEY not in said


def test_the_keys_of_the_documents_env_file(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys by the names of its `.env` lines reach the providers (S2-06, S2-25)."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("LLMPORT_LLM__GROQ__BASE_URL", server.url)
    monkeypatch.setenv("MINDX_LLM__GEMINI__API_KEY", KEY)
    monkeypatch.setenv("LLMPORT_LLM__GEMINI__BASE_URL", server.url)
    server.script(reply("one"), _gemini("two"))

    asyncio.run(example_task_execution("q", preferred_provider="groq"))
    asyncio.run(example_task_execution("q", preferred_provider="gemini"))

    groq, gemini = server.requests
    assert groq.headers["authorization"] == f"Bearer {KEY}"
    assert gemini.headers["x-goog-api-key"] == KEY

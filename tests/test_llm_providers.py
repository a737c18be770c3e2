"""Every provider by its name, one test each: asked whole, streamed, refused, and unreachable.

pytest tests/test_llm_providers.py
pytest tests/test_llm_providers.py::TestLLMProviders::test_openai_provider
pytest tests/test_llm_providers.py -m "not slow"
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import Loopback, refused_url
from vendors import COMPLETION, PROMPT, VENDORS

from llmport_magic.errors import ConfigError, LLMConnectionError, LLMStatusError
from llmport_magic.llm import LLMProviderFactory
from llmport_magic.llm.mock import MockConnector
from llmport_magic.llm.registry import default_registry

KEY = "planted-key-0123456789abcdef"
FORMATS = {vendor.dialect: vendor for vendor in VENDORS}
ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.usefixtures("own_registry")


async def holds(name: str, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold a provider of the catalogue against what a user may expect of each."""
    registry = default_registry()
    row = registry.provider(name)
    vendor = FORMATS[row.dialect]
    address = server.url.removesuffix("/v1") + vendor.root
    registry.register_provider(replace(row, base_url=address), replace=True)
    if row.key_required:
        monkeypatch.setenv(row.api_key_vars[0], KEY)
    factory = LLMProviderFactory({"provider": name, name: {"model": "m-1", "max_retries": 0}})

    server.always(vendor.whole("hello"))
    response = await factory.generate("q", provider_type=name)
    assert (response.content, response.provider) == ("hello", name)
    assert (response.usage["prompt_tokens"], response.usage["completion_tokens"]) == (
        PROMPT,
        COMPLETION,
    )
    sent = server.requests[0]
    assert vendor.prompt_of(sent.json)[-1] == ("user", "q")
    if row.key_required:
        assert KEY in sent.headers[vendor.key_header]
    assert KEY not in sent.path

    server.always(vendor.stream("hel", "lo"))
    stream = factory.stream("q", provider_type=name)
    assert [text async for text in stream] == ["hel", "lo"]

    server.always(vendor.error(401, f"bad key {KEY}"))
    with pytest.raises(LLMStatusError) as refused:
        await factory.generate("q", provider_type=name)
    assert (refused.value.provider, refused.value.status) == (name, 401)
    assert KEY not in str(refused.value)

    registry.register_provider(replace(row, base_url=refused_url()), replace=True)
    gone = LLMProviderFactory({"provider": name, name: {"model": "m-1", "max_retries": 0}})
    with pytest.raises(LLMConnectionError, match="nobody answers"):
        await gone.generate("q", provider_type=name)


class TestLLMProviders:
    """One test for each provider, so that one can be run by itself (S3-50)."""

    async def test_openai_provider(self, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        """OpenAI answers, streams, and fails by its name (S3-50)."""
        await holds("openai", server, monkeypatch)

    async def test_anthropic_provider(
        self, server: Loopback, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Anthropic answers, streams, and fails by its name (S3-50)."""
        await holds("anthropic", server, monkeypatch)

    async def test_gemini_provider(self, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        """Gemini answers, streams, and fails by its name (S3-50)."""
        await holds("gemini", server, monkeypatch)

    async def test_openrouter_provider(
        self, server: Loopback, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """OpenRouter answers, streams, and fails by its name (S3-50)."""
        await holds("openrouter", server, monkeypatch)

    async def test_groq_provider(self, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        """Groq answers, streams, and fails by its name (S3-50)."""
        await holds("groq", server, monkeypatch)

    async def test_deepseek_provider(
        self, server: Loopback, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DeepSeek answers, streams, and fails by its name (S3-50)."""
        await holds("deepseek", server, monkeypatch)

    async def test_ollama_provider(self, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ollama answers, streams, and fails by its name (S3-50)."""
        await holds("ollama", server, monkeypatch)

    async def test_local_provider(self, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        """A local server answers, streams, and fails by its name (S3-50)."""
        await holds("local", server, monkeypatch)

    async def test_mock_provider(self) -> None:
        """The mock answers where it is named, says that it is the mock, and asks nobody (S3-50)."""
        factory = LLMProviderFactory({"provider": "mock"})
        response = await factory.generate("q")

        assert response.provider == "mock"
        assert isinstance(await factory.get_provider(), MockConnector)

    async def test_embedded_provider(self) -> None:
        """Without its weights the embedded model says how it is installed (S3-50)."""
        factory = LLMProviderFactory({"provider": "embedded"})
        with pytest.raises(ConfigError, match="install"):
            await factory.generate("q")


def test_every_provider_of_the_catalogue_has_a_test() -> None:
    """A provider that is added to the catalogue is missed here (S3-50)."""
    names = [row.name for row in default_registry().providers(installed=False)]

    assert [name for name in names if not hasattr(TestLLMProviders, f"test_{name}_provider")] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["tests/test_llm_providers.py::TestLLMProviders::test_openai_provider"], 1),
        (["tests/test_llm_providers.py", "-m", "not slow"], 11),
    ],
)
def test_the_commands_of_the_document_run(arguments: list[str], count: int) -> None:
    """One provider alone, and all but the slow tests, run as the document has it (S3-50)."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=560, check=False
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{count} passed" in ran.stdout

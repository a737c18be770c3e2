"""What every test stands on: no network, no real keys, a clean home and fresh settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback
from staying import replacements
from vendors import VENDORS

from llmport_magic import bridge, settings
from llmport_magic.llm import embedded
from llmport_magic.llm import provider as provider_module
from llmport_magic.llm.registry import close_connectors, default_registry

_KEY_WORDS = ("API_KEY", "_TOKEN", "LLMPORT", "LLM_PROVIDER", "OLLAMA_HOST")
# `TEST_TRANSPORT=httpx2` runs the tests on the other HTTP library.
_TRANSPORT = os.environ.get("TEST_TRANSPORT", "")


@pytest.fixture(autouse=True)
def only_loopback(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[object]]:
    """Refuse every look-up and connection that would leave the machine, and fail the test (X-05).

    The code under test may catch the refusal, so what was tried is kept and looked at in the end.
    """
    tried: list[object] = []
    if "integration" not in request.keywords:
        for owner, name, function in replacements(tried):
            monkeypatch.setattr(owner, name, function)
    yield tried
    assert not tried, f"the test tried to leave the machine: {tried}"


@pytest.fixture(autouse=True)
def _clean_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Take away real keys and the user's own settings; give a home of its own."""
    if "integration" in request.keywords:
        return
    for name in list(os.environ):
        if any(word in name for word in _KEY_WORDS):
            monkeypatch.delenv(name)
    if _TRANSPORT:
        monkeypatch.setenv("LLMPORT_TRANSPORT", _TRANSPORT)
    if "embedded" not in request.keywords:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home" / "state"))
    (tmp_path / "home" / "ipython").mkdir(parents=True)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "home" / "ipython"))
    settings.reset_configuration()


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Serve what the test scripts."""
    with Loopback() as running:
        yield running


@pytest.fixture
def second() -> Iterator[Loopback]:
    """Serve as the provider that is asked after the first."""
    with Loopback() as running:
        yield running


@pytest.fixture(params=VENDORS, ids=lambda vendor: vendor.dialect)
def vendor(request: pytest.FixtureRequest) -> Any:
    """Take each vendor's format in turn."""
    return request.param


@pytest.fixture(autouse=True)
def _forget_refusals() -> None:
    provider_module._REFUSED.clear()


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the test a fresh registry, nobody on the local port and nothing embedded."""
    monkeypatch.setattr(embedded, "installed", lambda *_: False)
    monkeypatch.setattr("llmport_magic.llm.transport.answers", lambda *_: False)
    default_registry.cache_clear()
    yield
    bridge.run(close_connectors())
    default_registry.cache_clear()

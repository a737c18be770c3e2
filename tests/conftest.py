"""What every test stands on: no network, no real keys, a clean home and fresh settings."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from llmport_magic import settings

_KEY_WORDS = ("API_KEY", "_TOKEN", "LLMPORT", "LLM_PROVIDER", "OLLAMA_HOST")
# `TEST_TRANSPORT=httpx2` runs the tests on the other HTTP library.
_TRANSPORT = os.environ.get("TEST_TRANSPORT", "")
_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex


def _refuse_remote(address: object) -> None:
    if isinstance(address, tuple) and not _is_loopback(str(address[0])):
        raise AssertionError(f"a test tried to leave the machine: {address}")


def _is_loopback(host: str) -> bool:
    return host in {"localhost", "::1", ""} or host.startswith("127.")


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that would leave the machine (X-05)."""

    def connect(self: socket.socket, address: object) -> None:
        _refuse_remote(address)
        return _connect(self, address)  # type: ignore[arg-type]

    def connect_ex(self: socket.socket, address: object) -> int:
        _refuse_remote(address)
        return _connect_ex(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect_ex)


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

"""What every test stands on: no network, no real keys, a clean home and fresh settings."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmport_magic import settings

_KEY_WORDS = ("API_KEY", "_TOKEN", "LLMPORT", "LLM_PROVIDER", "OLLAMA_HOST")
# `TEST_TRANSPORT=httpx2` runs the tests on the other HTTP library.
_TRANSPORT = os.environ.get("TEST_TRANSPORT", "")
_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex
_getaddrinfo = socket.getaddrinfo


def _is_loopback(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    return name in {"localhost", "::1", "0.0.0.0", "::", "", None} or str(name).startswith("127.")


@pytest.fixture(autouse=True)
def only_loopback(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[object]]:
    """Refuse every look-up and connection that would leave the machine, and fail the test (X-05).

    The code under test may catch the refusal, so what was tried is kept and looked at in the end.
    """
    tried: list[object] = []

    def refuse(host: object) -> None:
        if not _is_loopback(host):
            tried.append(host)
            raise AssertionError(f"a test tried to leave the machine: {host!r}")

    def connect(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple):
            refuse(address[0])
        return _connect(self, address)  # type: ignore[arg-type]

    def connect_ex(self: socket.socket, address: object) -> int:
        if isinstance(address, tuple):
            refuse(address[0])
        return _connect_ex(self, address)  # type: ignore[arg-type]

    def getaddrinfo(host: object, *given: Any, **options: Any) -> Any:
        refuse(host)
        return _getaddrinfo(host, *given, **options)  # type: ignore[arg-type]

    if "integration" not in request.keywords:
        monkeypatch.setattr(socket.socket, "connect", connect)
        monkeypatch.setattr(socket.socket, "connect_ex", connect_ex)
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
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

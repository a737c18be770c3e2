"""What every test stands on: no network, no real keys, a clean home and fresh settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import hypothesis
import nbval.kernel
import pytest
from awaiting import PATIENCE
from hypothesis.internal.conjecture import providers as choosing
from kernels import private_manager
from leaping import Leap
from loopback import Loopback
from staying import replacements
from vendors import VENDORS

from llmport_magic import bridge, secrets, settings
from llmport_magic.llm import (
    admission,
    clients,
    detection,
    embedded,
    exchange,
    retirement,
    selection,
    served,
    streams,
    transport,
)
from llmport_magic.llm import provider as provider_module
from llmport_magic.llm.registry import close_connectors, default_registry
from llmport_magic.llm.wire import Limits
from llmport_magic.log import journal, pages
from llmport_magic.modules import loader

_KEY_WORDS = ("API_KEY", "_TOKEN", "LLMPORT", "LLM_PROVIDER", "OLLAMA_HOST")
# `TEST_TRANSPORT=httpx2` runs the tests on the other HTTP library.
# What is known of secrets that were made.
_OF_SECRETS = ("_known", "_exact", "_exact_bytes", "_echoes")
_TRANSPORT = os.environ.get("TEST_TRANSPORT", "")

# The notebooks' kernels start as surely as those of the other tests.
nbval.kernel.KernelManager = private_manager
_message = nbval.kernel.RunningKernel.get_message


def _message_soon(kernel: Any, stream: str, timeout: float | None = None) -> Any:
    """Wait for a notebook's kernel as for the others: nbval's own bounds are 1, 5 and 10 s."""
    return _message(kernel, stream, timeout and max(timeout, PATIENCE))


nbval.kernel.RunningKernel.get_message = _message_soon

# An example takes as long as the machine does. A change is judged by the same examples as the one
# before it; `TEST_EXAMPLES=new` looks for others.
hypothesis.settings.register_profile(
    "untimed",
    deadline=None,
    derandomize=os.environ.get("TEST_EXAMPLES", "") != "new",
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("untimed")
if os.environ.get("TEST_EXAMPLES", "") != "new":
    # It also takes constants out of whatever of ours is loaded by now, which is another thing in
    # each worker, and out of the modules that tests write.
    choosing._get_local_constants = lambda: choosing._local_constants


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


@pytest.fixture
def leap() -> Iterator[Leap]:
    """Let time pass at once for whatever waits on the bridge."""
    leaping = Leap()
    yield leaping
    leaping.end()


@pytest.fixture(params=VENDORS, ids=lambda vendor: vendor.dialect)
def vendor(request: pytest.FixtureRequest) -> Any:
    """Take each vendor's format in turn."""
    return request.param


@pytest.fixture(scope="module", autouse=True)
def _forget_secrets() -> Iterator[None]:
    """Let no file's made-up keys be masked in the texts of another's."""
    before = {name: copy(getattr(secrets, name)) for name in _OF_SECRETS}
    yield
    for name, value in before.items():
        setattr(secrets, name, value)


@pytest.fixture(autouse=True)
def _forget_modules() -> Iterator[None]:
    """Leave no written module imported or to be found: the next test's may have its name."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if isinstance(getattr(sys.modules[name], "__loader__", None), loader.ModuleLoader):
            del sys.modules[name]
    loader.uninstall()


@pytest.fixture(autouse=True)
def _have_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ends of answers and streams come, and what is short for a user, on a busy machine."""
    monkeypatch.setattr(streams, "_CLOSING_SECONDS", PATIENCE)
    monkeypatch.setattr(transport, "_DRAIN_SECONDS", PATIENCE)
    monkeypatch.setattr(transport, "_ERROR_BODY_SECONDS", PATIENCE)
    monkeypatch.setattr(exchange, "_TRAILER_SECONDS", PATIENCE)
    monkeypatch.setattr(detection, "_MOST_SECONDS", PATIENCE)
    monkeypatch.setattr(pages, "_CLOSING_SECONDS", PATIENCE)
    # The journal stays where it is, however slow the disk is.
    monkeypatch.setattr(journal, "_SLOW", PATIENCE)


@pytest.fixture(autouse=True)
def _wait_for_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a connection come as late as a busy machine makes it, where no test says how late."""
    usual, send = Limits().connect, clients.Client.send

    async def patient(self: clients.Client, *given: Any, **parts: Any) -> Any:
        method, url, connect = given
        return await send(self, method, url, PATIENCE if connect == usual else connect, **parts)

    monkeypatch.setattr(clients.Client, "send", patient)


@pytest.fixture(autouse=True)
def _forget_servers() -> None:
    """Know nothing of a server, and have told nothing of a model: a later one may get its port."""
    for known in (provider_module._REFUSED, served._served, selection._probed, retirement._told):
        known.clear()
    for name, shared in list(admission._limiters):
        if not shared:
            del admission._limiters[name, shared]


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the test a fresh registry, nobody on the local port and nothing embedded."""
    monkeypatch.setattr(embedded, "installed", lambda *_: False)
    monkeypatch.setattr("llmport_magic.llm.transport.answers", lambda *_: False)
    default_registry.cache_clear()
    # Nor does it count what the test before found on the local ports, for some seconds.
    selection._probed.clear()
    yield
    bridge.run(close_connectors())
    default_registry.cache_clear()

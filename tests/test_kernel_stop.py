"""The stop button in a real kernel, on what a cell awaits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import Kernel, kernel
from loopback import HANG, Loopback, Script, streamed

pytestmark = pytest.mark.kernel

SETUP = """
from types import SimpleNamespace
from asking import asking
from llmport_magic.llm import BaseLLMConnector, LLMProviderFactory

class Deaf(BaseLLMConnector):
    def call_llm(self, prompt):
        asking(server).call_llm(prompt)

"""
FACTORY = "await LLMProviderFactory(connectors=[{}], timeout=600).generate('q')"


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Give a provider on the loopback."""
    with Loopback() as running:
        yield running


@pytest.fixture
def shell(server: Loopback, tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel whose connectors ask that server, with patience for ten minutes."""
    with kernel(tmp_path / "work") as running:
        begun = running.run(f"{SETUP}\nserver = SimpleNamespace(url={server.url!r})")
        assert begun.status == "ok", begun.error
        yield running


# Whoever is not freed waits for ten minutes.
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "cell",
    [
        "await asking(server).call('q')",
        "async for text in asking(server).stream('q'): print(text)",
        FACTORY.format("asking(server)"),
    ],
    ids=["call", "stream", "factory"],
)
def test_stop_ends_a_cell_that_awaits_and_hangs_up(
    shell: Kernel, server: Loopback, cell: str
) -> None:
    """A cell that awaits an answer which never comes is over after Stop, and its socket closed."""
    server.always(Script((HANG,), silent=True))
    request = shell.start(cell)
    server.wait_for_requests(1)
    shell.interrupt()
    outcome = shell.finish(request)

    assert outcome.name == "CancelledError"
    assert server.requests[0].closed.wait(60)
    assert shell.value("1 + 1") == "2"


@pytest.mark.timeout(400)
def test_stop_ends_a_stream_that_falls_silent(shell: Kernel, server: Loopback) -> None:
    """Between two pieces of a stream a cell can be stopped, too."""
    server.script(streamed("one", HANG, finish=None))
    request = shell.start(
        "async for text in asking(server).stream('q'): display({'text/plain': text}, raw=True)"
    )
    shell.wait_until_shown("one")
    shell.interrupt()

    assert shell.finish(request).name == "CancelledError"
    assert server.requests[0].closed.wait(60)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("cell", ["await Deaf().call('q')", FACTORY.format("Deaf()")])
def test_stop_ends_a_cell_that_awaits_a_connector_of_its_own(
    shell: Kernel, server: Loopback, cell: str
) -> None:
    """What blocks in a connector's own thread is not waited for after Stop."""
    server.always(Script((HANG,), silent=True))
    request = shell.start(cell)
    server.wait_for_requests(1)
    shell.interrupt()

    assert shell.finish(request).name == "CancelledError"

"""What a session has used, as its user sees it: in a real kernel, answers broken off included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import Kernel, kernel
from loopback import HANG, Loopback, streamed
from scripted import GOOD
from test_kernel import wait_for_line

pytestmark = pytest.mark.kernel
CELL = "%%llmport circle\nArea of a circle.\n\n>>> round(area(2), 3)\n12.566\n"


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Give a provider on the loopback."""
    with Loopback() as running:
        yield running


@pytest.fixture
def shell(server: Loopback, tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel that asks the loopback server as OpenAI's cheapest model."""
    setup = "from llmport_magic import configure\nconfigure(provider='openai', model='gpt-4o-mini')"
    key = "test-key-0123456789abcdef"
    where = {"OPENAI_API_KEY": key, "LLMPORT_LLM__OPENAI__BASE_URL": server.url}
    with kernel(tmp_path / "work", **where) as running:
        assert running.run(setup).status == "ok"
        yield running


def test_the_status_counts_every_answer(shell: Kernel, server: Loopback) -> None:
    """`%llmport` shows exact tokens, and says "about" once an answer was interrupted (S4-26)."""
    usage = {"prompt_tokens": 2000, "completion_tokens": 1000}
    model = "gpt-4o-mini"
    whole = streamed(f"```python\n{GOOD}```", usage=usage)
    named = [step.replace(b'"m-1"', f'"{model}"'.encode()) for step in whole.steps]
    server.script(type(whole)(named, 200, whole.headers, chunked=True))
    assert shell.run(CELL).status == "ok"
    exact = shell.run("%llmport").stdout
    assert "1 call · 2,000 + 1,000 tokens · $0.0009" in exact

    server.script(streamed("x" * 4000, HANG))
    cell = shell.start(CELL.replace("circle\n", "disc\n"))
    shell.wait_until_shown("xxx")
    shell.interrupt()
    assert shell.finish(cell).status == "error"
    # What had arrived is counted before it is written down.
    wait_for_line(shell.folder, "RESPONSE", 2)

    estimated = shell.run("%llmport").stdout
    assert "2 calls · about 2," in estimated
    assert " + 2,000 tokens" in estimated
    assert "+ 1 call of unknown price" in estimated

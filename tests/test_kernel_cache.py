"""Kept answers as the user of a notebook sees them, in a real kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import Kernel, kernel
from loopback import Loopback, streamed
from scripted import GOOD

pytestmark = pytest.mark.kernel
CELL = "%%llmport circle {}\nArea of a circle.\n\n>>> round(area(2), 3)\n12.566\n"


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Give a provider on the loopback."""
    with Loopback() as running:
        running.always(streamed(f"```python\n{GOOD}```"))
        yield running


@pytest.fixture
def shell(server: Loopback, tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel that asks the loopback server and keeps its answers."""
    setup = (
        "from llmport_magic import configure\n"
        f"configure(provider='local', base_url={server.url!r}, model='m', cache=True)"
    )
    with kernel(tmp_path / "work") as running:
        assert running.run(setup).status == "ok"
        yield running


def test_no_cache_asks_for_one_cell(shell: Kernel, server: Loopback) -> None:
    """A cell is answered from the cache and says so, unless it has `--no-cache` (S3-62)."""
    fresh = shell.run(CELL.format("--draft"))
    assert fresh.status == "ok", fresh.shown
    assert "7 + 3 tokens" in fresh.shown
    assert "cached" not in fresh.shown

    kept = shell.run(CELL.format("--draft"))
    assert "1 attempt · cached · 0 + 0 tokens" in kept.shown
    assert len(server.requests) == 1

    asked = shell.run(CELL.format("--draft --no-cache"))
    assert "cached" not in asked.shown
    assert len(server.requests) == 2

    again = shell.run(CELL.format("--regenerate"))
    assert again.status == "ok", again.shown
    assert "cached" not in again.shown
    assert len(server.requests) == 3

    assert "3 calls · 21 + 9 tokens · 1 cached" in shell.run("%llmport").stdout


def test_the_command_tells_what_is_kept_and_deletes_it(shell: Kernel, server: Loopback) -> None:
    """`%llmport cache` counts the answers, and `clear` makes the next cell ask (S3-62)."""
    shell.run(CELL.format("--draft"))
    shell.run(CELL.format("--draft"))

    told = shell.run("%llmport cache").stdout
    assert "on (configure()) · 1 answer, 0.0 MB, in " in told
    assert "llmport_magic" in told
    assert "1 answer of them given in this session" in told
    assert shell.run("%llmport cache clear").stdout.strip() == "1 answer deleted"
    assert "0 answers" in shell.run("%llmport cache").stdout

    shell.run(CELL.format("--draft"))
    assert len(server.requests) == 2
    wrong = shell.run("%llmport cache all")
    assert wrong.name == "UsageError"

"""The magics in a real kernel, against a real HTTP server that streams, stalls, cuts and fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import Kernel, kernel
from loopback import CUT, HANG, Loopback, failure, streamed
from scripted import GOOD
from test_kernel import CELL, journal, wait_for_line

pytestmark = pytest.mark.kernel
KEY = "planted-key-0123456789abcdef"
FENCED = f"```python\n{GOOD}```"


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Give a provider on the loopback."""
    with Loopback() as running:
        yield running


@pytest.fixture
def shell(server: Loopback, tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel that asks the loopback server, with a key."""
    setup = (
        "from llmport_magic import configure\n"
        f"configure(provider='local', base_url={server.url!r}, model='m-1', api_key={KEY!r})"
    )
    with kernel(tmp_path / "work") as running:
        assert running.run(setup).status == "ok"
        yield running


def nothing_written(folder: Path) -> bool:
    """Tell whether the store and the module folder are empty."""
    return not list(folder.glob("*.py")) and not list((folder / ".llmport").glob("modules/*/*"))


def test_an_answer_streams_to_the_cell(shell: Kernel, server: Loopback) -> None:
    """Text is on screen before the last of it was sent, and ends as one record (S4-32)."""
    shown = threading.Event()
    server.script(streamed(FENCED[:40], shown, FENCED[40:]))
    request = shell.start(CELL, cell_id="p1")
    shell.wait_until_shown("```python")
    shown.set()
    outcome = shell.finish(request)
    assert outcome.status == "ok", outcome.shown
    (updates,) = outcome.displays.values()
    assert "1 of 1 example passed" in updates[-1]
    assert "7 + 3 tokens" in updates[-1]
    sent = server.requests[0]
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert ">>> round(area(2), 3)" in json.dumps(sent.json["messages"])


@pytest.mark.parametrize(("status", "attempts"), [(401, 1), (400, 1), (404, 1), (500, 3)])
def test_a_refusing_provider_fails_the_cell(
    shell: Kernel, server: Loopback, status: int, attempts: int
) -> None:
    """401 and 500 fail the cell in one line after the right number of attempts (S0-38, S3-07)."""
    server.always(failure(status, f"the server says no to {KEY}"))
    outcome = shell.run(CELL, cell_id="p1")
    assert outcome.status == "error"
    assert "\n" not in outcome.error
    assert len(server.requests) == attempts
    assert KEY not in outcome.shown
    assert "says no" in outcome.error
    assert nothing_written(shell.folder)
    assert journal(shell.folder)[0]["kind"] == "PROMPT"
    assert KEY not in json.dumps(journal(shell.folder))


@pytest.mark.parametrize(
    ("script", "kept"),
    [
        (streamed(FENCED[:60], CUT, finish=None), True),
        (streamed(FENCED[:60], finish="length"), True),
        (streamed(FENCED, finish="length"), True),
        (streamed(FENCED, finish=None), True),
        (streamed("", finish="stop"), False),
        (streamed("I cannot help with that.", finish="content_filter"), True),
    ],
    ids=["cut", "length", "length, and right so far", "no end", "empty", "blocked"],
)
def test_a_broken_answer_writes_nothing(
    shell: Kernel, server: Loopback, script: object, kept: bool
) -> None:
    """A cut, truncated, refused or empty answer leaves no file; the log keeps it (S0-24)."""
    server.always(script)  # type: ignore[arg-type]
    outcome = shell.run(f"{CELL.splitlines()[0]} --tries 1\n" + CELL.partition("\n")[2])
    assert outcome.status == "error"
    assert "\n" not in outcome.error
    assert nothing_written(shell.folder)
    replies = [line for line in journal(shell.folder) if line["kind"] == "RESPONSE"]
    assert replies
    if kept:
        assert "python" in json.dumps(replies[0]) or "cannot help" in json.dumps(replies[0])


def test_an_interrupt_hangs_up(shell: Kernel, server: Loopback) -> None:
    """An interrupt frees a cell whose answer never ends, hangs up and keeps the text (S0-39)."""
    server.script(streamed(FENCED[:40], HANG, finish=None))
    request = shell.start(CELL, cell_id="p1")
    shell.wait_until_shown("python")
    shell.interrupt()
    outcome = shell.finish(request)
    assert outcome.status == "error"
    assert "Interrupted" in outcome.error
    assert server.requests[0].closed.wait(60)
    assert nothing_written(shell.folder)
    wait_for_line(shell.folder, "RESPONSE")
    last = [line for line in journal(shell.folder) if line["kind"] == "RESPONSE"][-1]
    assert "cancelled" in json.dumps(last)
    assert "python" in json.dumps(last)


def test_one_connection_serves_the_session(shell: Kernel, server: Loopback) -> None:
    """Two cells share one client and one TCP connection (S0-27, S4-31)."""
    server.always(streamed(FENCED))
    # Neither the end of an answer nor the next cell comes too late for the connection.
    shell.run("from llmport_magic.llm import transport\ntransport._DRAIN_SECONDS = 60.0")
    assert shell.run("configure(keep_alive=3600)").status == "ok"
    assert shell.run(CELL).status == "ok"
    assert (
        shell.run("%%llmport disc\nArea of a disc.\n\n>>> round(area(2), 3)\n12.566\n").status
        == "ok"
    )
    assert len(server.requests) == 2
    assert server.accepts == 1


def test_the_key_is_in_no_exit(shell: Kernel, server: Loopback) -> None:
    """The key is not in output, history of settings, files, or a verbose traceback (X-07)."""
    server.script(failure(401, f"bad key {KEY[:8]}...{KEY[-4:]}"))
    shell.run("%xmode Verbose")
    outcomes = [shell.run(CELL), shell.run("%llmport config"), shell.run("%llmport")]
    shell.run("%llmport log")
    shell.run("%unload_ext llmport_magic")
    for outcome in outcomes:
        assert KEY not in outcome.shown
    for path in shell.folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path

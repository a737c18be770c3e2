"""A missing key is asked for on the keyboard of a real kernel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kernels import kernel, typed
from loopback import Loopback, Request, Script, failure, streamed

pytestmark = pytest.mark.kernel

KEY = "typed-key-0123456789abcdef"
_CELL = "%%llmport asked_in_a_cell\nSet answer to 42."
_SETUP = """
from llmport_magic import configure
from llmport_magic.llm import register_provider

register_provider("mine", base_url={url!r}, default_model="m", api_key_vars=["MINE_KEY"])
configure(provider="mine", ask_for_key=True)
"""


def _answer(request: Request) -> Script:
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return failure(401, "no such key")
    return streamed("```python\n", "answer = 42\n", "```")


def test_a_cell_asks_for_its_key(tmp_path: Path, server: Loopback) -> None:
    """A prompt cell asks for a missing key once, hidden, and keeps it in memory only (S1-26)."""
    server.always(_answer)
    with kernel(tmp_path) as running:
        assert running.run(_SETUP.format(url=server.url)).status == "ok"

        question, shown = typed(running, _CELL, KEY)
        again, _ = typed(running, "%%llmport another\nSet answer to 43.", "nobody asks")
        value = running.value("asked_in_a_cell.answer")

    assert question == f"Key for `mine` at {server.url}: "
    assert (again, value) == ("", "42")
    assert KEY not in shown
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("journal" in str(path) for path in kept)
    assert not [path for path in kept if KEY in path.read_text("utf-8", "replace")]


def test_a_kernel_without_a_keyboard(tmp_path: Path, server: Loopback) -> None:
    """A notebook that runs by itself gets the error that names the variable (S1-26)."""
    with kernel(tmp_path) as running:
        assert running.run(_SETUP.format(url=server.url)).status == "ok"
        outcome = running.run(_CELL)

    assert outcome.name == "MissingKeyError"
    assert "set `MINE_KEY` in the environment" in json.dumps(outcome.error)
    assert server.requests == []

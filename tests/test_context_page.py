"""What `docs/context.md` shows runs as it stands there, in a real kernel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kernels import kernel
from test_kernel import SETUP, answer

PAGE = Path(__file__).resolve().parents[1] / "docs" / "context.md"
_BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.kernel
def test_the_page_runs(tmp_path: Path) -> None:
    """Each block runs, and what stands below it is in what it prints."""
    checked = 0
    with kernel(tmp_path / "work") as running:
        assert running.run(SETUP).status == "ok"
        answer(running, "fenced(GOOD)")
        printed = ""
        for kind, text in _BLOCK.findall(PAGE.read_text("utf-8")):
            if kind == "python":
                outcome = running.run(text)
                assert outcome.status == "ok", outcome.error
                printed = outcome.shown
            else:
                assert text in printed
                checked += 1
    assert checked == 2

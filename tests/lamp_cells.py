"""A real kernel, and the cells of `%%gmn` and `%gmn` in which a lamp is made and refined."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import Kernel, kernel
from test_kernel import SETUP, answer

CELL = "%%gmn lamp\nA lamp that wants to be bright.\n"
REFINE = '%gmn refine lamp "let it look one step further"'
LINKED = "%%gmn lamp --validate --base "
DRAFTS = "\nfrom drafts import GOOD as LAMP, NO_PROBABILITY, line_of\n"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel whose provider answers what a test scripts."""
    with kernel(tmp_path / "work") as running:
        outcome = running.run(SETUP + DRAFTS)
        assert outcome.status == "ok", outcome.error
        yield running


def made(shell: Kernel) -> str:
    """Make `lamp`; give the cell that is inserted below."""
    answer(shell, "LAMP")
    outcome = shell.run(CELL, cell_id="p1")
    assert outcome.status == "ok", outcome.shown
    return outcome.next_cell

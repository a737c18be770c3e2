"""`mode = frozen`: what is stored is replayed, and no cell asks a model, whatever kind it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kernels import Kernel
from scripted import GOOD, PROMPT, fenced, scripted
from test_api import folder
from test_comm import FakeComm, generate
from test_kernel import CELL, answer, shell

from llmport_magic import configure, llmport, update
from llmport_magic.errors import ConfigError
from llmport_magic.notebook import comm

__all__ = ["folder", "shell"]


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("%%llmport\nPlot a circle.\n", "the code that one gave before is in a cell below"),
        ("%%llmport square\nArea of a square.\n", "this prompt's `square` is not in this folder's"),
        ("%%llmport circle --update\nAdd sector.\n", "this prompt's `circle` is not in this"),
        ("%%llmport circle --regenerate\nArea of a circle.\n", "`circle` stays as it is"),
        ("%%llmport circle --draft\nArea of a circle.\n", "`circle` stays as it is"),
    ],
    ids=["plain", "new", "update", "regenerate", "draft"],
)
def test_a_frozen_cell_asks_nobody_and_stops_no_run(shell: Kernel, cell: str, says: str) -> None:
    """Every kind of prompt cell says that nobody is asked, whose word that is, and goes on."""
    answer(shell, "fenced(GOOD)")
    assert shell.run(CELL, cell_id="p1").status == "ok"
    shell.run("configure(provider='scripted', mode='frozen')")
    outcome = shell.run(cell, cell_id="p2")
    shown = shell.run(cell.replace("\n", " --preview\n", 1)).stdout

    assert outcome.status == "ok", outcome.shown
    assert "`mode = frozen` (set by configure()): no model is asked" in outcome.shown
    assert says in outcome.shown
    assert "`--regenerate`" not in outcome.shown
    assert outcome.next_cell == ""
    assert "running the cell sends nothing: `mode = frozen` (set by configure())" in shown
    assert shell.value("script.calls, round(circle.area(1), 2)") == "(1, 3.14)"
    again = shell.run(CELL, cell_id="p1")
    assert "reused, 0 tokens" in again.shown


@pytest.mark.kernel
def test_a_frozen_explanation_is_refused(shell: Kernel) -> None:
    """`explain` of an error and of a module names the setting, and its preview says the same."""
    answer(shell, "fenced(GOOD)")
    assert shell.run(CELL, cell_id="p1").status == "ok"
    shell.run("configure(provider='scripted', mode='frozen')")
    shell.run("1 / 0")
    for line in ("%llmport explain", "%llmport explain circle"):
        outcome = shell.run(line)
        assert outcome.name == "ConfigError"
        assert "`mode = frozen` (set by configure()): no model is asked" in outcome.error
        shown = shell.run(f"{line} --preview").stdout
        assert "without `--preview` it sends nothing: `mode = frozen`" in shown
    assert shell.value("script.calls") == "1"


@pytest.mark.parametrize(
    "call",
    [
        lambda: llmport("circle", "Another.", provider="scripted", mode="frozen"),
        lambda: llmport("circle", PROMPT, overwrite=True, provider="scripted", mode="frozen"),
        lambda: update("circle", "Add sector.", provider="scripted", mode="frozen"),
    ],
    ids=["new", "overwrite", "update"],
)
def test_a_frozen_call_says_that_it_would_have_to_ask(
    folder: Path, call: Callable[[], object]
) -> None:
    """`llmport()` and `update()` give what is stored; for more they name the setting."""
    with scripted(fenced(GOOD), fenced(GOOD)) as script:
        circle = llmport("circle", PROMPT, provider="scripted")
        assert llmport("circle", PROMPT, mode="frozen") is circle
        with pytest.raises(ConfigError, match=r"`mode = frozen` .*`circle` is not stored for this"):
            call()

    assert script.calls == 1


def test_a_frozen_panel_asks_nobody(folder: Path) -> None:
    """The panel's prompts, for a module and for plain code, are answered by the same words."""
    with scripted(fenced(GOOD), fenced(GOOD)) as script:
        configure(provider="scripted", mode="frozen")
        for name in ("circle", ""):
            front = FakeComm()
            comm.Link(front)
            front.say(generate(name=name))
            assert "no model is asked" in front.wait_for("done")["summary"]

    assert script.calls == 0

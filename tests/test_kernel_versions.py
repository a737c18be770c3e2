"""Versions as a user of a notebook meets them: rollback, superseded cells, files of one's own."""

from __future__ import annotations

import pytest
from kernels import Kernel
from test_kernel import CELL, answer, shell

__all__ = ["shell"]
pytestmark = pytest.mark.kernel
UPDATE = "%%llmport circle --update\nAdd sector.\n\n>>> round(sector(2, 180), 3)\n6.283\n"


def test_rollback_goes_back_and_forth(shell: Kernel) -> None:
    """`%llmport rollback` makes an older version live in the same module object (S0-06)."""
    answer(shell, "fenced(GOOD)", "fenced(BETTER)")
    shell.run(CELL, cell_id="p1")
    shell.run(UPDATE, cell_id="u2")
    back = shell.run("before = id(circle)\n%llmport rollback circle")
    assert back.status == "ok", back.shown
    assert shell.value("id(circle) == before, hasattr(circle, 'sector')") == "(True, False)"
    assert "def sector" not in (shell.folder / "circle.py").read_text(encoding="utf-8")
    forth = shell.run("%llmport rollback circle v2")
    assert forth.status == "ok", forth.shown
    assert shell.value("hasattr(circle, 'sector')") == "True"
    wrong = shell.run("%llmport rollback circle v9")
    assert "there are v1, v2" in wrong.error


def test_rollback_overwrites_no_file_of_the_users(shell: Kernel) -> None:
    """Where `circle.py` was edited since, rollback fails; file, module and names stay (S0-06)."""
    answer(shell, "fenced(GOOD)", "fenced(BETTER)")
    shell.run(CELL, cell_id="p1")
    shell.run(UPDATE, cell_id="u2")
    mine = (shell.folder / "circle.py").read_text(encoding="utf-8") + "\n\nMINE = 1\n"
    (shell.folder / "circle.py").write_text(mine, encoding="utf-8")
    shell.run("from circle import sector")

    outcome = shell.run("%llmport rollback circle")

    assert outcome.name == "ConflictError", outcome.shown
    assert "is left as it is" in outcome.error
    assert (shell.folder / "circle.py").read_text(encoding="utf-8") == mine
    assert shell.value("circle.sector is sector, round(sector(2, 180), 3)") == "(True, 6.283)"


def test_queued_code_does_not_undo_a_new_version(shell: Kernel) -> None:
    """Old code below a changed prompt, queued by the front end, says so and does nothing."""
    answer(shell, "fenced(GOOD)", "fenced(BETTER)")
    old = shell.run(CELL, cell_id="p1").next_cell
    changed = CELL.replace("Area of a circle.", "Areas of circles.")
    assert shell.run(changed, cell_id="p1").status == "ok"
    queued = shell.run(old, cell_id="m1")
    assert queued.status == "ok", queued.shown
    assert "delete this cell" in queued.shown
    assert shell.value("hasattr(circle, 'sector')") == "True"


def test_an_edit_of_an_old_version_is_a_conflict(shell: Kernel) -> None:
    """New text on a version that is not current is refused, and the cell is not lost."""
    answer(shell, "fenced(GOOD)", "fenced(BETTER)")
    old = shell.run(CELL, cell_id="p1").next_cell
    shell.run(UPDATE, cell_id="u2")
    edited = shell.run(old + "\n\ndef mine():\n    return 1\n", cell_id="m1")
    assert edited.name == "ConflictError"
    assert "--base" in edited.error
    assert shell.value("hasattr(circle, 'sector')") == "True"


def test_a_file_of_the_users_own_is_imported_and_kept(shell: Kernel) -> None:
    """A `circle.py` that was there is imported with a notice; an update keeps it as v0 (S0-05)."""
    own = "def area(radius):\n    return 3 * radius**2\n"
    (shell.folder / "circle.py").write_text(own, encoding="utf-8")
    outcome = shell.run(CELL, cell_id="p1")
    assert outcome.status == "ok", outcome.shown
    assert "was here before" in outcome.shown
    assert shell.value("circle.area(1), script.calls") == "(3, 0)"
    answer(shell, "fenced(BETTER)")
    updated = shell.run(UPDATE, cell_id="u2")
    assert updated.status == "ok", updated.shown
    assert "return 3 * radius**2" in shell.run("%llmport show circle v0").shown


@pytest.mark.parametrize(
    "data",
    [
        b"# -*- coding: latin-1 -*-\ndef area(r):\n    return 'gr\xf6\xdfer'\n",
        b"\xef\xbb\xbfdef area(r):\r\n    return 'gr\xc3\xb6\xc3\x9fer'\r\n",
    ],
    ids=["latin-1", "windows"],
)
def test_a_file_in_another_encoding_is_imported(shell: Kernel, data: bytes) -> None:
    """A file of the user's is read as Python reads it, and stays to the byte (S0-05)."""
    (shell.folder / "circle.py").write_bytes(data)
    outcome = shell.run(CELL, cell_id="p1")

    assert outcome.status == "ok", outcome.shown
    assert shell.value("circle.area(1), script.calls") == "('größer', 0)"
    assert (shell.folder / "circle.py").read_bytes() == data


def test_a_file_that_was_edited_since_refreshes_the_notebooks_names(shell: Kernel) -> None:
    """An edit in an editor is live after its prompt cell ran, taken names included (S0-07)."""
    answer(shell, "fenced(GOOD)")
    shell.run(CELL, cell_id="p1")
    shell.run("from circle import area\nbefore = id(circle)")
    (shell.folder / "circle.py").write_text("def area(r):\n    return 7\n", encoding="utf-8")
    outcome = shell.run(CELL, cell_id="p1")

    assert outcome.status == "ok", outcome.shown
    assert "was edited since v1" in outcome.shown
    assert shell.value("area(1), circle.area(1), id(circle) == before") == "(7, 7, True)"


def test_going_back_binds_the_name_and_tells_autoreload(shell: Kernel) -> None:
    """After `rollback` autoreload runs nothing again, and a fresh kernel has the name (S0-07)."""
    answer(shell, "fenced(GOOD)", "fenced(BETTER)")
    shell.run(CELL, cell_id="p1")
    shell.run(UPDATE, cell_id="u2")
    reloader = "get_ipython().magics_manager.registry['AutoreloadMagics']._reloader"
    whole = f"{reloader}.deduper_reloader.enabled = False"  # else it exchanges only what differs
    assert shell.run(f"%load_ext autoreload\n%autoreload 2\n{whole}").status == "ok"
    assert shell.run("%llmport rollback circle\ncircle.math = None").status == "ok"
    assert shell.value("circle.math") == "None"
    shell.restart()
    assert shell.run("%llmport rollback circle v1").status == "ok"
    assert shell.value("round(circle.area(1), 2)") == "3.14"


def test_a_variable_is_not_overwritten_by_a_module(shell: Kernel) -> None:
    """A name that holds a value in the notebook is refused before any call."""
    shell.run("circle = 5")
    outcome = shell.run(CELL)
    assert outcome.status == "error"
    assert "is a variable of this notebook" in outcome.error
    assert shell.value("circle, script.calls") == "(5, 0)"


def test_examples_must_not_use_the_notebooks_variables(shell: Kernel) -> None:
    """An example that only works with the user's variable is reported before any call."""
    shell.run("radius_of_mine = 2")
    outcome = shell.run("%%llmport circle\nArea.\n\n>>> area(radius_of_mine)\n12.566\n")
    assert outcome.status == "error"
    assert "radius_of_mine" in outcome.error
    assert shell.value("script.calls") == "0"


def test_an_edit_that_is_still_held_is_not_registered(shell: Kernel) -> None:
    """Editing a held cell and keeping `--hold` is no consent, for its prompt cell neither."""
    answer(shell, "fenced(HELD)")
    prompt = "%%llmport circle\nArea without examples.\n"
    held = shell.run(prompt, cell_id="p1").next_cell
    edited = shell.run(held + "\n\nEDITED = True\n", cell_id="m1")
    assert "held back" in edited.shown
    again = shell.run(prompt, cell_id="p1")
    assert again.status == "ok", again.shown
    assert "consent" in again.shown
    assert shell.value("'circle' in globals()") == "False"
    assert not (shell.folder / "seen.txt").exists()

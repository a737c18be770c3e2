"""Running a notebook again, editing what is in it, and files that a user edits elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernels import Kernel, Outcome, kernel
from test_kernel import CELL, SETUP, answer, shell

__all__ = ["shell"]
pytestmark = pytest.mark.kernel
UPDATE = "%%llmport circle --update\nAdd sector.\n\n>>> round(sector(2, 180), 3)\n6.283\n"
OWN = "def area(radius):\n    return 3 * radius**2\n"


class Notebook:
    """Cells by id, run from the first to the last; what is placed below a cell becomes one."""

    def __init__(self, shell: Kernel, *, ids: bool) -> None:
        self.shell = shell
        self.ids = ids
        self.cells = {"p1": CELL, "m1": "", "u2": UPDATE, "m2": ""}

    def run(self, cell: str) -> Outcome:
        """Run one cell, and put the code where it belongs."""
        outcome = self.shell.run(self.cells[cell], cell_id=cell if self.ids else None)
        if outcome.next_cell and cell in {"p1", "u2"}:
            self.cells["m" + cell[1]] = outcome.next_cell
        elif outcome.next_cell:
            self.cells[cell] = outcome.next_cell
        return outcome

    def run_all(self, *, queued: bool = False) -> list[Outcome]:
        """Run all cells that hold something; none may fail.

        Args:
            queued: whether the texts are taken before the first one runs, as front ends do.
        """
        texts = dict(self.cells)
        outcomes = []
        for cell in self.cells:
            if queued:
                outcomes.append(self.shell.run(texts[cell], cell_id=cell if self.ids else None))
            elif self.cells[cell]:
                outcomes.append(self.run(cell))
        for outcome in outcomes:
            assert outcome.status == "ok", outcome.shown
        return outcomes

    @property
    def state(self) -> str:
        """What the user has at the end: the module's text and how often somebody was asked."""
        return self.shell.value("(open('circle.py').read(), script.calls)")


@pytest.mark.parametrize("ids", [True, False])
def test_run_all_replays(shell: Kernel, ids: bool) -> None:
    """P1, M1, U2, M2, again and after a restart: no call, the same end (S0-06)."""
    answer(shell, "fenced(GOOD)", "fenced(BETTER)")
    book = Notebook(shell, ids=ids)
    book.run_all()
    first = book.state
    book.run_all()
    assert book.state == first
    assert first.endswith(", 2)")
    shell.restart()
    shell.run(SETUP)
    for outcome in book.run_all():
        assert outcome.next_cell == ""
    assert book.state == first.replace(", 2)", ", 0)")


@pytest.mark.parametrize("queued", [True, False])
@pytest.mark.parametrize("ids", [True, False])
def test_an_edit_in_the_middle_stays(shell: Kernel, ids: bool, queued: bool) -> None:
    """After M1 is edited, Run All keeps the edit, and what U2 adds is added to it (S0-06)."""
    answer(shell, "fenced(GOOD)", "fenced(BETTER)")
    book = Notebook(shell, ids=ids)
    book.run_all()
    edited = 'PLACES = 3\n"""Circles."""\nimport math\n'
    book.cells["m1"] = book.cells["m1"].replace('"""Circles."""\nimport math\n', edited)
    assert "PLACES" in book.cells["m1"]
    answer(shell, "fenced('PLACES = 3\\n' + BETTER)")
    ran = book.run_all(queued=queued)
    assert shell.value("circle.PLACES, hasattr(circle, 'sector'), script.calls") == "(3, True, 3)"
    assert "PLACES = 3" in shell.value("script.prompts[-1]")
    end = book.state
    if queued:
        assert "delete this cell" in ran[-1].shown
        return
    book.run_all()
    assert book.state == end
    shell.restart()
    shell.run(SETUP)
    book.run_all()
    assert book.state == end.replace(", 3)", ", 0)")


def test_a_file_that_the_user_edits_is_never_overwritten(shell: Kernel) -> None:
    """Edited in an editor, the file is imported as it is; an update goes on from it (M67)."""
    answer(shell, "fenced(GOOD)", "fenced(BETTER)", "fenced(BETTER)")
    shell.run(CELL, cell_id="p1")
    file = shell.folder / "circle.py"
    file.write_text(OWN, encoding="utf-8")

    again = shell.run(CELL, cell_id="p1")
    assert again.status == "ok", again.shown
    assert "was edited since v1" in again.shown
    assert shell.value("circle.area(1), script.calls") == "(3, 1)"
    back = shell.run("%llmport rollback circle v1")
    assert back.name == "ConflictError"
    assert file.read_text(encoding="utf-8") == OWN

    updated = shell.run(UPDATE, cell_id="u2")
    assert updated.status == "ok", updated.shown
    assert "return 3 * radius**2" in shell.value("script.prompts[-1]")
    assert "return 3 * radius**2" in shell.run("%llmport show circle v2").shown
    file.write_text(OWN + "MINE = 1\n", encoding="utf-8")
    anew = shell.run(CELL.replace("circle\n", "circle --regenerate\n", 1), cell_id="p1")
    assert anew.status == "ok", anew.shown
    assert "MINE = 1" in shell.run("%llmport show circle v4").shown
    assert "sector" in file.read_text(encoding="utf-8")
    assert shell.run("%llmport rollback circle v4").status == "ok"
    assert shell.value("circle.MINE") == "1"


def test_a_module_folder_that_leads_elsewhere_gets_nothing(tmp_path: Path) -> None:
    """A module folder that is, or becomes, a link is refused; nothing is written there (M66)."""
    outside = tmp_path / "outside"
    outside.mkdir()
    work = tmp_path / "work"
    work.mkdir()
    (work / "gen").symlink_to(outside)
    with kernel(work) as shell:
        shell.run(SETUP + "configure(module_dir='gen')")
        answer(shell, "fenced(GOOD)", "fenced(GOOD)")
        refused = shell.run(CELL)
        assert refused.name == "StoreError", refused.shown
        assert "outside" in refused.error
        (work / "gen").unlink()
        (work / "gen").mkdir()
        assert shell.run(CELL).status == "ok"
        (work / "gen").rename(work / "moved")
        (work / "gen").symlink_to(outside)
        changed = shell.run(CELL.replace("Area of", "Areas of"))
        assert changed.status == "error"
        assert list(outside.iterdir()) == []
        assert shell.value("round(circle.area(1), 2)") == "3.14"


def test_old_objects_work_on_and_the_output_says_so(shell: Kernel) -> None:
    """After a regeneration new code is live; old instances work and are named (M69, S0-07)."""
    first = "class Ball:\\n    def size(self):\\n        return 1\\n"
    first += "\\n\\ndef make():\\n    return Ball()\\n"
    second = first.replace("return 1", "return 2")
    answer(shell, f"fenced('{first}')", f"fenced('{second}')")
    prompt = "%%llmport balls{}\nBalls.\n\n>>> make().size() > 0\nTrue\n"
    assert shell.run(prompt.format(""), cell_id="p1").status == "ok"
    shell.run("from balls import Ball, make\nold, kept = Ball(), balls.__dict__\nballs.counter = 7")
    outcome = shell.run(prompt.format(" --regenerate"), cell_id="p1")
    assert outcome.status == "ok", outcome.shown
    assert "made by the old code and not migrated: `old`" in outcome.shown
    assert "refreshed in your namespace: `Ball`, `make`" in outcome.shown
    assert shell.value("old.size(), Ball().size(), make().size()") == "(1, 2, 2)"
    assert shell.value("isinstance(old, Ball), kept is balls.__dict__, balls.counter") == (
        "(False, True, 7)"
    )

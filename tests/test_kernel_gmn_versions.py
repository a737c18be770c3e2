"""Specifications as versions in a real kernel: run again, edited, refined, replayed, restored."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from awaiting import until
from drafts import GOOD as LAMP
from kernels import Kernel, kernel
from lamp_cells import CELL, LINKED, REFINE, made, shell
from test_kernel import SETUP, answer, journal

__all__ = ["shell"]
pytestmark = pytest.mark.kernel


def test_running_everything_again_calls_nobody(shell: Kernel) -> None:
    """Prompt, linked cell and refinement select what they made, also after a restart (S3-49)."""
    linked = made(shell)
    assert shell.run(linked, cell_id="t1").status == "ok"
    answer(shell, "LAMP.replace('horizon: 2', 'horizon: 3')")
    refined = shell.run(REFINE, cell_id="r1").next_cell
    calls = shell.value("script.calls")
    for _ in range(2):
        for text, version in ((CELL, 1), (linked, 1), (REFINE, 2), (refined, 2)):
            again = shell.run(text)
            assert again.status == "ok", again.shown
            assert f"✓ lamp v{version}" in again.shown
            assert again.next_cell == ""
            assert shell.value("lamp.horizon") == ("3" if version > 1 else "2")
        assert shell.value("script.calls") == calls
        shell.restart()
        assert shell.run(SETUP).status == "ok"
        calls = "0"


def test_an_edited_cell_is_a_version_and_an_old_base_a_conflict(shell: Kernel) -> None:
    """An edit gets a version and its cell the new base; another old text is refused (S3-49)."""
    linked = made(shell)
    assert shell.run(linked, cell_id="t1").status == "ok"
    edited = shell.run(linked.replace("goal(bright, 2.0)", "goal(bright, 4.0)"), cell_id="t1")
    assert edited.status == "ok", edited.shown
    assert "✓ lamp v2 · your text, taken" in edited.shown
    assert edited.next_cell.startswith(LINKED)
    assert edited.next_cell.split()[4] != linked.split()[4]
    assert edited.payload[-1]["replace"]
    assert shell.value("float(lamp.C[0][1])") == "4.0"
    conflict = shell.run(linked.replace("goal(bright, 2.0)", "goal(bright, 9.0)"), cell_id="t2")
    assert conflict.name == "ConflictError"
    assert "`%gmn show lamp`" in conflict.error
    assert shell.value("float(lamp.C[0][1])") == "4.0"
    again = shell.run(CELL, cell_id="p1")
    assert "✓ lamp v2 · reused" in again.shown


def test_feedback_makes_a_version_with_its_difference(shell: Kernel) -> None:
    """A refinement shows what changed, and history and log keep what was said (S3-41)."""
    made(shell)
    answer(shell, "LAMP.replace('horizon: 2', 'horizon: 3')")
    outcome = shell.run(REFINE, cell_id="r1")
    assert outcome.status == "ok", outcome.shown
    assert "✓ lamp v2 · valid" in outcome.shown
    assert "feedback: let it look one step further" in outcome.shown
    assert "\x1b[31m-" in outcome.stdout
    plain = re.sub(r"\x1b\[\d+m", "", outcome.stdout).splitlines()
    assert [line for line in plain if line.startswith(("-", "+"))] == [
        "--- lamp v1",
        "+++ lamp v2",
        "-agent lamp { type: general, horizon: 2, precision: 16.0 }",
        "+agent lamp { type: general, horizon: 3, precision: 16.0 }",
    ]
    assert outcome.next_cell.startswith(LINKED)
    assert shell.value("lamp.horizon") == "3"
    assert "goal(bright, 2.0)" in shell.value("script.prompts[-1]")
    history = shell.run("%gmn history lamp").shown
    assert "2 versions, v2 is current" in history
    assert "A lamp that wants to be bright." in history
    assert "let it look one step further" in history
    text = json.dumps([line for line in journal(shell.folder) if line["kind"] == "NOTE"])
    assert "let it look one step further" in text
    assert "horizon: 3" in text
    assert "✓ lamp v1 · current" in shell.run("%gmn rollback lamp v1").shown
    assert shell.value("lamp.horizon") == "2"
    answer(shell, "LAMP")
    same = shell.run("%gmn refine lamp make it calmer")
    assert "nothing changed: the model gave v1 back as it was" in same.shown


def test_a_specification_that_comes_back_unchanged_keeps_its_text(shell: Kernel) -> None:
    """What was written by hand stays to the letter, and the cell asks nobody when it runs again."""
    text = "# by hand\n" + LAMP
    shell.run(f"%%gmn lamp --validate\n{text}")
    answer(shell, "LAMP")
    cell = "%%gmn lamp --update\nleave it\n"
    same = shell.run(cell, cell_id="u1")
    assert "✓ lamp v2 · valid" in same.shown
    assert "nothing changed: the model gave v1 back as it was" in same.shown
    assert (shell.folder / "lamp.gmn").read_text("utf-8") == text
    assert "reused, 0 tokens" in shell.run(cell, cell_id="u1").shown


def test_what_the_notebook_has_is_what_is_refined(shell: Kernel) -> None:
    """A `Spec` that was made or changed in Python becomes a version, then the next (S3-40)."""
    shell.run("from dataclasses import replace\nfrom llmport_magic.gmn import parse")
    shell.run("lamp = parse(LAMP)")
    answer(shell, *["LAMP.replace('horizon: 2', 'horizon: 3')"] * 2)
    refined = shell.run(REFINE)
    assert refined.status == "ok", refined.shown
    assert "`lamp` as it is in the notebook is v1" in refined.stdout
    assert "✓ lamp v2 · valid" in refined.shown
    shell.run("lamp = replace(lamp, precision=4.0)")
    assert shell.run("%gmn validate lamp").status == "ok"
    again = shell.run("%gmn refine lamp another way")
    assert "is v3" in again.stdout
    assert "precision: 4.0" in shell.value("script.prompts[-1]")
    nothing = shell.run("%gmn refine ghost another way")
    assert "no stored specification `ghost`" in nothing.error
    assert shell.run("%gmn validate ghost").name == "ModuleNotStoredError"


def test_what_an_editor_wrote_is_refined(shell: Kernel) -> None:
    """A file that was edited and taken is what a refinement changes; its text is a version."""
    made(shell)
    path = shell.folder / "lamp.gmn"
    mine = "# mine\n" + path.read_text("utf-8").replace("0.9", "0.7")
    path.write_text(mine, "utf-8")
    assert "taken as it is" in shell.run(CELL, cell_id="p1").shown
    answer(shell, "LAMP.replace('0.9', '0.7').replace('horizon: 2', 'horizon: 3')")
    outcome = shell.run(REFINE, cell_id="r1")
    assert outcome.status == "ok", outcome.shown
    assert "lamp v2 (file, by hand" in outcome.shown
    assert "# mine" in shell.run("%gmn show lamp v2").shown
    assert shell.value("lamp.horizon, lamp.emissions[0].matrix.arguments") == "(3, (0.7,))"


@pytest.mark.parametrize("cell", [REFINE, "%%gmn lamp --update\nlook one step further\n"])
def test_a_saved_text_that_is_not_valid_stays_in_its_file(shell: Kernel, cell: str) -> None:
    """Where the user's own text is not valid, changing it fails, and again, and leaves it."""
    made(shell)
    path = shell.folder / "lamp.gmn"
    open_brace = "# mine\n" + path.read_text("utf-8").rstrip().removesuffix("}")
    answer(shell, *["LAMP"] * 4)
    for mine in (open_brace, open_brace, "", ""):
        path.write_text(mine, "utf-8")
        outcome = shell.run(cell)
        assert outcome.name == "GMNError", outcome.shown
        assert "`lamp.gmn` is not valid: " in outcome.error
        assert path.read_text("utf-8") == mine
    assert "1 version, v1 is current" in shell.run("%gmn history lamp").shown
    assert shell.value("script.calls") == "1"


def test_a_saved_text_is_checked_and_told(shell: Kernel) -> None:
    """`%gmn validate` checks the user's own text beside the version; `%gmn plot` names it."""
    made(shell)
    path = shell.folder / "lamp.gmn"
    path.write_text("# mine\n" + path.read_text("utf-8"), "utf-8")
    checked = shell.run("%gmn validate lamp").shown
    assert "✓ lamp · valid" in checked
    assert "✓ lamp.gmn · valid" in checked
    path.write_text("garbage {", "utf-8")
    for line in ("%gmn validate lamp", "%gmn validate"):
        failed = shell.run(line)
        assert failed.name == "GMNError"
        assert "✓ lamp · valid" in failed.shown
        assert "✗ lamp.gmn · not valid" in failed.shown
    plotted = shell.run("%gmn plot lamp 2")
    assert plotted.status == "ok", plotted.shown
    assert "`lamp.gmn` holds another text, which was not run" in plotted.shown


def test_a_failing_refinement_leaves_the_old_one(shell: Kernel) -> None:
    """Where no answer is valid the specification stays as it was (S3-40)."""
    made(shell)
    answer(shell, *["NO_PROBABILITY"] * 9)
    outcome = shell.run("%gmn refine lamp make it odd --tries 1")
    assert outcome.status == "error"
    assert shell.value("lamp.horizon, float(lamp.A[0][0][0])") == "(2, 0.9)"
    assert "1 version, newest v1 · v1 is current" in shell.run("%gmn").shown
    unknown = shell.run("%gmn refine lampp make it odd")
    assert "did you mean `lamp`" in unknown.error


def test_the_mock_really_adds_a_memory(tmp_path: Path) -> None:
    """`add memory` gives a factor that remembers, and the agent still runs (S3-42)."""
    with kernel(tmp_path / "work") as running:
        running.run("from llmport_magic import configure\nconfigure(provider='mock')")
        outcome = running.run("%%gmn explorer --type explorer\na cautious explorer in a 5x5 grid\n")
        assert outcome.status == "ok", outcome.shown
        assert "location (5x5)" in outcome.shown
        before = running.value("len(explorer.factors), len(explorer.transitions)")
        refined = running.run('%gmn refine explorer "add memory"')
        assert refined.status == "ok", refined.shown
        assert before == "(1, 1)"
        assert running.value("len(explorer.factors), len(explorer.transitions)") == "(2, 2)"
        plotted = running.run("%gmn plot explorer 4 --seed 1")
        assert plotted.status == "ok", plotted.shown
        assert "4 steps" in plotted.shown
        assert running.run("%gmn export explorer").status == "ok"
        exported = json.loads((running.folder / "explorer.json").read_text("utf-8"))
        running.run(f"import json\nfrom llmport_magic.gmn import parse\nback = {exported!r}")
        assert running.value("parse(back) == explorer") == "True"
        assert running.run("%gmn export explorer kept.gmn").status == "ok"
        kept = (running.folder / "kept.gmn").read_text("utf-8")
        assert kept == (running.folder / "explorer.gmn").read_text("utf-8")
        running.run("%gmn rollback explorer v1")
        assert "another text" in running.run("%gmn export explorer kept.gmn").error
        assert "neither JSON nor GMN" in running.run("%gmn export explorer lamp.txt").error
        assert (running.folder / "kept.gmn").read_text("utf-8") == kept


_CORNER = """
import base64, io
from IPython.utils.capture import capture_output
from matplotlib.image import imread

def corner(line):
    with capture_output() as shown:
        get_ipython().run_line_magic("gmn", line)
    pngs = [each.data["image/png"] for each in shown.outputs if "image/png" in each.data]
    return float(imread(io.BytesIO(base64.b64decode(pngs[0])))[0, 0, :3].mean())
"""


def test_a_plot_is_dark_where_it_is_asked_for(shell: Kernel) -> None:
    """`--dark` draws on a dark ground, for a dark notebook; without it the ground is white."""
    made(shell)
    shell.run(_CORNER)
    assert float(shell.value("corner('plot lamp 2')")) == 1.0
    assert float(shell.value("corner('plot lamp 2 --dark')")) < 0.15


_SLOW = """
import pathlib, time
from llmport_magic.gmn import History
def plot(self, **_):
    pathlib.Path("began").touch()
    time.sleep(3_600)
History.plot = plot
"""


def test_an_interrupted_run_says_so(shell: Kernel) -> None:
    """Stopping `%gmn plot` ends the cell in one line, as stopping any other cell of ours."""
    made(shell)
    assert shell.run(_SLOW).status == "ok"
    cell = shell.start("%gmn plot lamp")
    until((shell.folder / "began").exists)
    shell.interrupt()
    outcome = shell.finish(cell)
    assert outcome.error == "Interrupted: nothing was changed; fewer steps take less time"


def test_frozen_asks_nobody(shell: Kernel) -> None:
    """With `mode = frozen` a stored specification is replayed, any other cell says so (S3-49)."""
    made(shell)
    assert shell.run("configure(mode='frozen')").status == "ok"
    assert "reused, 0 tokens" in shell.run(CELL).shown
    other = shell.run("%%gmn other\na lamp\n")
    assert other.status == "ok", other.shown
    assert "no model is asked" in other.shown
    assert "other" not in shell.run("%gmn").shown
    assert shell.value("script.calls") == "1"


def test_a_notebook_without_its_store_asks_nobody(shell: Kernel) -> None:
    """Where the store is missing, the linked cell below stands for its prompt (S3-49)."""
    linked = made(shell)
    cells = [{"cell_type": "code", "source": source} for source in (CELL, linked)]
    shell.folder.joinpath("work.ipynb").write_text(json.dumps({"cells": cells}), "utf-8")
    for path in sorted((shell.folder / ".llmport" / "gmn").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (shell.folder / "lamp.gmn").unlink()
    shell.restart()
    assert shell.run(SETUP).status == "ok"
    left = shell.run(CELL, cell_id="p1")
    assert left.status == "ok", left.shown
    assert "the text in the cell below is used" in left.shown
    assert shell.run(linked, cell_id="t1").status == "ok"
    assert "reused" in shell.run(CELL, cell_id="p1").shown
    assert shell.value("lamp.horizon, script.calls") == "(2, 0)"

"""The panel in a real JupyterLab and Notebook 7, against a real kernel and a model on loopback."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright")
from awaiting import until
from desk import GOOD, PROMPT, Desk, begin, fenced, setup

if TYPE_CHECKING:
    from lab import Lab, Model

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# A cell that runs until the test lets it end.
BUSY = """import pathlib, time
while not pathlib.Path("go").exists():
    time.sleep(0.1)
print("the " + "cell is over")"""
CELL_IS_OVER = "the cell is over"


@pytest.fixture
def desk(page: Any, lab: Lab, model: Model, request: pytest.FixtureRequest) -> Desk:
    """Write a notebook that loads the extension and answers from loopback."""
    sources = [setup(model), BUSY, "print(round(circle.area(2), 3))"]
    return Desk(page, lab, lab.write(request.node.name, sources))


def release(desk: Desk) -> None:
    """Let the busy cell end."""
    (desk.notebook.parent / "go").touch()
    desk.page.get_by_text(CELL_IS_OVER).wait_for()


def test_the_panel_answers_while_a_cell_runs(desk: Desk, model: Model) -> None:
    """Text streams during a long cell; its module is there once the new cell has run (S0-42)."""
    model.answer = fenced(GOOD)
    begin(desk)
    desk.run(1)
    desk.ask()
    desk.answer.get_by_text("import math").wait_for()
    desk.summary.get_by_text("run the cell to register it").wait_for()
    assert desk.page.get_by_text(CELL_IS_OVER).count() == 0
    assert len(model.prompts) == 1

    placed = 2
    assert desk.wait_for_source(placed, "return math.pi * radius**2").startswith(
        "%%llmport_module circle"
    )
    assert not (desk.notebook.parent / "circle.py").exists()

    release(desk)
    desk.run(placed)
    desk.wait_until_run(placed)
    desk.run(placed + 1)
    desk.cell(placed + 1).get_by_text("12.566").wait_for()
    assert (desk.notebook.parent / "circle.py").read_text(encoding="utf-8") == GOOD
    assert desk.errors == []


def test_stop_closes_the_connection(desk: Desk, model: Model) -> None:
    """Stop ends a request that the model would never have ended, while a cell runs (S3-60).

    How soon it does is measured by benchmarks/stopping.py.
    """
    model.answer, model.hangs = fenced(GOOD), True
    begin(desk)
    desk.run(1)
    desk.ask()
    desk.answer.get_by_text("import math").wait_for()
    assert not model.prompts[0].closed.is_set()
    desk.button("Stop").click()
    assert model.prompts[0].closed.wait(60)
    desk.panel.get_by_text("Stopped").first.wait_for()
    assert desk.page.get_by_text(CELL_IS_OVER).count() == 0
    assert desk.page.get_by_text("%%llmport_module").count() == 0


def test_script_in_an_answer_stays_text(desk: Desk, model: Model) -> None:
    """Markup in an answer is shown as text: nothing of it runs or is fetched (S0-42)."""
    payload = '<img src=x onerror="window.broken = 1"><script>window.broken = 2</script>'
    model.answer = f"{payload}\n" + fenced(f"# {payload}\n" + GOOD)
    begin(desk)
    fetched: list[str] = []
    desk.page.on("request", lambda request: fetched.append(request.url))
    desk.ask()
    desk.summary.get_by_text("run the cell to register it").wait_for()
    assert payload in str(desk.answer.text_content())
    assert desk.panel.locator("img, script").count() == 0
    desk.wait_for_source(1, payload)
    assert desk.page.evaluate("window.broken") is None
    assert not [url for url in fetched if url.endswith("/x")]


def test_the_keyboard_is_enough(desk: Desk, model: Model) -> None:
    """Everything from loading the extension to the module works without a pointer (S0-42)."""
    model.answer, model.hangs = fenced(GOOD), True
    desk.open()
    keyboard = desk.page.keyboard
    desk.run(0)
    desk.wait_until_run(0)
    keyboard.press("Control+Shift+Y")
    desk.wait_until_ready()
    keyboard.type(PROMPT)
    keyboard.press("Tab")
    keyboard.type("circle")
    keyboard.press("Control+Enter")
    desk.answer.get_by_text("import math").wait_for()
    keyboard.press("Escape")
    desk.panel.get_by_text("Stopped").first.wait_for()
    model.hangs = False
    keyboard.press("Control+Enter")
    desk.summary.get_by_text("run the cell to register it").wait_for()
    for label in ("Provider", "Model", "Update", "Send"):
        keyboard.press("Tab")
        focused = desk.page.evaluate(
            "[document.activeElement.labels?.[0]?.textContent, document.activeElement.textContent]"
        )
        assert label in focused


def test_the_extension_is_loaded_with_one_click(page: Any, lab: Lab) -> None:
    """The panel loads the extension and connects, and again after a restart (X-09)."""
    desk = Desk(page, lab, lab.write("plain", ["x = 1"]))
    desk.open()
    desk.show_panel()
    for _ in range(2):
        desk.panel.get_by_text("The extension is not loaded in this kernel.").wait_for()
        desk.button("Load llmport_magic").click()
        desk.wait_until_ready()
        # Not by keyboard: the second of two keys may come too late on a busy machine.
        page.locator('[data-command="notebook:restart-kernel"]').first.click()
        page.get_by_role("button", name="Confirm Kernel Restart").click()
    assert desk.errors == []


def test_the_panel_answers_where_subshells_are_switched_off(desk: Desk, model: Model) -> None:
    """The panel takes a subshell of its own if comms have none by the user's settings (S0-42)."""
    model.answer = fenced(GOOD)
    with desk.lab.setting("apputils-extension", "kernels-settings", commsOverSubshells="disabled"):
        begin(desk)
        desk.run(1)
        desk.ask()
        desk.summary.get_by_text("run the cell to register it").wait_for()
    assert desk.page.get_by_text(CELL_IS_OVER).count() == 0


def test_an_older_kernel_queues_the_request(page: Any, lab: Lab, model: Model) -> None:
    """Without subshells the panel says that a request waits, and it runs once (S0-42)."""
    desk = Desk(page, lab, lab.write("older", [setup(model), BUSY], kernel="older"))
    model.answer = fenced(GOOD)
    begin(desk)
    desk.run(1)
    desk.ask()
    desk.panel.get_by_text("Kernel busy, queued").first.wait_for()
    assert model.prompts == []
    release(desk)
    desk.summary.get_by_text("run the cell to register it").wait_for()
    assert len(model.prompts) == 1


def test_an_update_replaces_the_cell_and_can_be_undone(desk: Desk, model: Model) -> None:
    """An update from the panel replaces the linked cell; one undo takes it back (S0-42)."""
    model.answer = fenced(GOOD)
    begin(desk)
    desk.ask()
    desk.summary.get_by_text("circle v1").wait_for()
    desk.run(1)
    desk.wait_until_run(1)
    model.answer = fenced(GOOD.replace("Circles", "Round things"))
    desk.panel.get_by_label("Update").check()
    desk.ask("Call them round things.\n\n>>> round(area(1), 3)\n3.142")
    desk.summary.get_by_text("circle v2").wait_for()
    desk.wait_for_source(1, "Round things")
    assert desk.cell(1).locator(".jp-OutputArea-child").count() == 0
    assert desk.page.get_by_text("%%llmport_module").count() == 1
    desk.run(1)
    desk.wait_until_run(1)
    desk.cell(1).locator(".jp-OutputArea-output").get_by_text("circle v2").wait_for()
    desk.cell(1).locator(".jp-InputArea-prompt").click()
    desk.page.keyboard.press("z")
    desk.cell(1).get_by_text("Circles").wait_for()


def test_an_edited_cell_gets_its_new_base(desk: Desk, model: Model) -> None:
    """Running an edited module cell renews its first line and leaves the text alone (S0-04)."""
    model.answer = fenced(GOOD)
    begin(desk)
    desk.ask()
    desk.summary.get_by_text("circle v1").wait_for()
    desk.run(1)
    desk.wait_until_run(1)
    first = desk.source(1).partition("\n")[0]
    desk.cell(1).locator(".cm-content").click()
    desk.page.keyboard.press("Control+End")
    desk.page.keyboard.type("\nEDITED = True")
    desk.page.keyboard.press("Control+Enter")
    desk.cell(1).locator(".jp-OutputArea-output").get_by_text("circle v2").wait_for()
    desk.cell(1).get_by_text(first).wait_for(state="detached")
    renewed, _, rest = desk.source(1).partition("\n")
    assert re.fullmatch(r"%%llmport_module circle --base [0-9a-f]{16}", renewed)
    assert "EDITED = True" in rest
    assert desk.page.get_by_text("%%llmport_module").count() == 1


def test_a_cell_magic_places_its_cell_by_id(page: Any, lab: Lab, model: Model) -> None:
    """The magic's cell stands below its prompt; asking again replaces it, once (S0-04)."""
    notebook = lab.write("magic", [setup(model), f"%%llmport circle\n{PROMPT}", "last = 1"])
    desk = Desk(page, lab, notebook)
    model.answer = fenced(GOOD)
    desk.open()
    desk.run(0)
    desk.wait_until_run(0)
    desk.wait_until_ready(shown=False)
    desk.run(1)
    desk.cell(2).get_by_text("%%llmport_module circle").wait_for()
    assert desk.source(3) == "last = 1"
    model.answer = fenced(GOOD.replace("Circles", "Round things"))
    desk.cell(1).locator(".cm-content").click()
    page.keyboard.press("Control+Home")
    page.keyboard.press("End")
    page.keyboard.type(" --regenerate")
    page.keyboard.press("Control+Enter")
    desk.cell(2).get_by_text("Round things").wait_for()
    page.keyboard.press("Control+s")
    cells: list[dict[str, Any]] = []

    def is_saved() -> bool:
        cells[:] = _saved(notebook)
        return "Round things" in "".join(map(_source, cells))

    until(is_saved)
    kept = [cell for cell in cells if _source(cell).strip()]
    assert len(kept) == 4
    assert kept[2]["metadata"]["llmport"]["name"] == "circle"
    assert desk.errors == []


def _saved(notebook: Path) -> list[dict[str, Any]]:
    """Give the cells of a notebook's file, or none while the file is being written."""
    try:
        cells: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except ValueError:
        return []
    return cells


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_the_panel_works_in_notebook_7(desk: Desk, model: Model) -> None:
    """The same panel generates and places a cell in Notebook 7 (S0-42)."""
    model.answer = fenced(GOOD)
    desk.open("notebooks")
    desk.run(0)
    desk.wait_until_run(0)
    desk.show_panel()
    desk.wait_until_ready()
    desk.ask()
    desk.summary.get_by_text("run the cell to register it").wait_for()
    desk.wait_for_source(1, "%%llmport_module circle")

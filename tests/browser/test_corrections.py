"""Trials, corrections, kept examples and diffs, as somebody sees them in a real JupyterLab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright")
from desk import GOOD, PROMPT, Desk, begin, fenced, setup

if TYPE_CHECKING:
    from lab import Lab, Model

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FAILING = "values = []\nsum(values) / len(values)"
FIXED = "values = []\nsum(values) / max(len(values), 1)"
FIX, REPLACE = "%llmport fix", "%llmport fix --replace"
PAYLOAD = "<img src=x onerror='window.broken = 1'><script>window.broken = 2</script>"
TABLE = f"import pandas as pd\nsales = pd.DataFrame({{'month': [1, 1, 2], {PAYLOAD!r}: [3, 4, 5]}})"
MONTHLY = f'''"""Totals. {PAYLOAD}"""

import pandas as pd


def monthly(sales: pd.DataFrame) -> pd.DataFrame:
    """Return the totals of each month."""
    return sales.groupby("month").sum()
'''
# The column that it groups by is not there.
INVENTED = MONTHLY.replace('"month"', '"day"')


def test_a_correction_is_placed_where_it_belongs(page: Any, lab: Lab, model: Model) -> None:
    """A fix comes below the cell that failed or, where that was not edited, takes its place."""
    notebook = lab.write("fix", [setup(model), "first = 1", FAILING, "last = 1", FIX, REPLACE])
    desk = Desk(page, lab, notebook)
    model.answer = fenced(f"{FIXED}\n")
    begin(desk)
    desk.run(2)
    desk.output("ZeroDivisionError").wait_for()

    desk.run(4)
    desk.output("placed below: read it").wait_for()
    others = ["last = 1", FIX, REPLACE]
    desk.wait_for_sources([setup(model), "first = 1", FAILING, FIXED, *others])

    desk.cell(2).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("  # mine")
    desk.run(6)
    desk.output("it was edited since").wait_for()
    edited = f"{FAILING}  # mine"
    desk.wait_for_sources([setup(model), "first = 1", edited, FIXED, FIXED, *others])

    desk.cell(2).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    for _ in "  # mine":
        page.keyboard.press("Backspace")
    desk.run(7)
    desk.output("placed in cell [2]").wait_for()
    desk.wait_for_sources([setup(model), "first = 1", FIXED, FIXED, FIXED, *others])
    assert desk.cell(2).locator(".jp-OutputArea-child").count() == 0
    assert len(model.prompts) == 3
    assert desk.errors == []


def test_a_kept_example_is_written_into_its_prompt(page: Any, lab: Lab, model: Model) -> None:
    """`keep` asks, changes the prompt's own cell, and running that asks no model."""
    prompt, keep = f"%%llmport circle\n{PROMPT}", "%llmport keep circle.area(1)"
    desk = Desk(page, lab, lab.write("keep", [setup(model), prompt, keep]))
    model.answer = fenced(GOOD)
    begin(desk)
    desk.run(1)
    desk.output("circle v1 · 1 of 1 example passed").wait_for()
    desk.cell(2).get_by_text("%%llmport_module circle").wait_for()

    desk.run(3)
    answer = page.locator("input.jp-Stdin-input")
    answer.fill("y")
    answer.press("Enter")
    desk.output("the prompt's cell has the example now").wait_for()
    placed = desk.source(2)
    kept = f"{prompt}\n\n>>> circle.area(1)\n3.141592653589793"
    desk.wait_for_sources([setup(model), kept, placed, keep])

    desk.run(1)
    desk.output("circle v2 · reused, 0 tokens · 2 of 2 examples passed").wait_for()
    assert len(model.prompts) == 1
    assert desk.errors == []


def test_a_trial_is_told_and_what_it_names_stays_text(page: Any, lab: Lab, model: Model) -> None:
    """Script in a column's name, in an explanation or in a diff is shown, never run (S0-42)."""
    prompt = "%%llmport totals --with sales\n`monthly(sales)` gives the totals of each month."
    again = "%%llmport totals --update\nSay less in the docstring."
    asked = ["%llmport diff totals", "%llmport explain totals"]
    desk = Desk(page, lab, lab.write("trial", [setup(model), TABLE, prompt, again, *asked]))
    shorter = MONTHLY.replace("Return the totals", "Totals")
    prose = f"It adds up. {PAYLOAD}"
    model.answers = [fenced(answer) for answer in (INVENTED, MONTHLY)]
    model.answers += [fenced(shorter.replace("Totals. ", "")), prose]
    begin(desk)
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    desk.run(1)
    desk.wait_until_run(1)

    desk.run(2)
    desk.output("tried on all 3 rows").wait_for()
    told = str(desk.cell(2).locator(".jp-OutputArea").inner_text())
    assert "sales has no column 'day'; its columns are " in told
    assert PAYLOAD in told
    assert "sales 3x2 -> monthly(sales) 2x1; sales unchanged" in told
    # The record is shown first, and the cell placed then.
    assert desk.wait_for_source(3, "%%llmport_module").startswith("%%llmport_module totals")
    desk.run(4)
    desk.output("totals v2").wait_for()
    desk.wait_for_source(5, "%%llmport_module")
    desk.run(6)
    desk.output("+++ totals v2").wait_for()
    desk.run(7)
    desk.output("✓ explanation of totals v2").wait_for()

    for index in (6, 7):
        assert PAYLOAD in str(desk.cell(index).locator(".jp-OutputArea").inner_text())
    assert page.locator(".jp-OutputArea").locator("img, script").count() == 0
    assert page.evaluate("window.broken") is None
    assert not [url for url in fetched if url.endswith("/x")]
    assert desk.errors == []


def test_a_difference_is_in_colour(page: Any, lab: Lab, model: Model) -> None:
    """`diff` shows lines that went in red, lines that came in green, and marks words (S0-06)."""
    cells = [f"%%llmport circle\n{PROMPT}", "%%llmport circle --update\nOf a disc.\n"]
    desk = Desk(page, lab, lab.write("diff", [setup(model), *cells, "%llmport diff circle"]))
    model.answers = [fenced(GOOD), fenced(GOOD.replace("of a circle", "of a disc"))]
    begin(desk)
    desk.run(1)
    desk.cell(2).get_by_text("%%llmport_module circle").wait_for()
    desk.run(3)
    desk.output("circle v2").wait_for()
    desk.wait_for_source(4, "%%llmport_module")
    desk.run(5)
    desk.output("+++ circle v2").wait_for()
    output = desk.cell(5).locator(".jp-OutputArea-output")
    output.locator(".ansi-green-bg").last.wait_for()
    assert output.locator(".ansi-bold").first.inner_text() == "--- circle v1"
    gone = output.locator(".ansi-red-fg, .ansi-red-bg").all_inner_texts()
    come = output.locator(".ansi-green-fg, .ansi-green-bg").all_inner_texts()
    assert '-    """Return the area of a circle."""' in "".join(gone)
    assert '+    """Return the area of a disc."""' in "".join(come)
    assert output.locator(".ansi-red-bg").last.inner_text() == "circle"
    assert output.locator(".ansi-green-bg").last.inner_text() == "disc"
    assert desk.errors == []

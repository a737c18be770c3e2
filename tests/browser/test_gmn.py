"""Specifications of agents, as somebody sees them in a real JupyterLab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright")
from desk import LOAD, Desk, begin
from test_gmn_graph import hostile

from llmport_magic.gmn.pictures.graph import factor_graph

if TYPE_CHECKING:
    from lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SETUP = f"{LOAD}\nfrom llmport_magic import configure\nconfigure(provider='mock')"
PROMPT = "%%gmn explorer --type explorer\na cautious explorer in a 5x5 grid"
AGAIN = "%%gmn explorer --update\nadd memory"
LINKED = "%%gmn explorer --validate --base "
RUN = "explorer.agent(seed=0).run(explorer.environment(seed=0), steps=6).plot()"
PAYLOAD = "<img src=x onerror='window.broken = 1'><script>window.broken = 2</script>"
HOSTILE = f"""%%gmn hostile --validate
agent hostile {{ horizon: 1, description: "{PAYLOAD}" }}
node state room {{ labels: ["{PAYLOAD}", bright] }}
node observation sensor {{ size: 2 }}
node emission sense {{ to: sensor, from: room, matrix: noisy(0.9), description: "{PAYLOAD}" }}"""


def test_a_sentence_becomes_a_cell_a_graph_and_a_plot(page: Any, lab: Lab) -> None:
    """`%%gmn` places the specification below; the agent's graph and beliefs are shown (S3-49)."""
    desk = Desk(page, lab, lab.write("gmn", [SETUP, PROMPT, AGAIN, "explorer", RUN]))
    begin(desk)
    desk.run(1)
    desk.output("✓ explorer v1 · valid").wait_for()
    desk.cell(2).get_by_text(LINKED).wait_for()
    desk.wait_for_source(2, "node transition walk")
    assert desk.source(3) == AGAIN

    desk.run(2)
    desk.output("✓ explorer v1 · taken · valid").wait_for()
    desk.run(3)
    desk.output("✓ explorer v2 · valid").wait_for()
    desk.cell(4).get_by_text(LINKED).wait_for()
    desk.wait_for_source(4, "node transition remember")
    # Each prompt has its own cell: the second has not replaced the first one's.
    assert [text.split("\n")[0].split(" --base")[0] for text in desk.sources()[1:5]] == [
        "%%gmn explorer --type explorer",
        "%%gmn explorer --validate",
        "%%gmn explorer --update",
        "%%gmn explorer --validate",
    ]

    desk.run(5)
    graph = desk.cell(5).locator(".jp-OutputArea-output img")
    graph.wait_for()
    # All of it can be seen: it is no wider than the output that it stands in.
    room = desk.cell(5).locator(".jp-OutputArea-output")
    assert graph.bounding_box()["width"] <= room.bounding_box()["width"]
    desk.run(6)
    picture = desk.cell(6).locator(".jp-OutputArea-output img[src^='data:image/png']")
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 400
    assert desk.errors == []


def test_an_edit_is_a_version_and_its_cell_says_so(page: Any, lab: Lab) -> None:
    """Editing the placed cell and running it makes a version; its first line follows (S3-49)."""
    desk = Desk(page, lab, lab.write("gmnedit", [SETUP, PROMPT]))
    begin(desk)
    desk.run(1)
    desk.cell(2).get_by_text(LINKED).wait_for()
    first = desk.source(2).split("\n")[0]
    desk.cell(2).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("\n# mine")
    desk.run(2)
    desk.output("✓ explorer v2 · your text, taken").wait_for()
    # It is told first, and the cell's first line renewed then.
    desk.cell(2).get_by_text(first).wait_for(state="detached")
    changed = desk.source(2).split("\n")
    assert changed[0].startswith(LINKED)
    assert changed[0] != first
    assert changed[-1] == "# mine"
    desk.run(1)
    desk.output("✓ explorer v2 · reused, 0 tokens").wait_for()
    assert len(desk.sources()) == 3
    assert desk.errors == []


def test_names_of_a_specification_stay_text(page: Any, lab: Lab) -> None:
    """Markup in labels and descriptions is shown, in record and graph, and never run (S0-42)."""
    desk = Desk(page, lab, lab.write("gmnhostile", [SETUP, HOSTILE, "hostile"]))
    begin(desk)
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    desk.run(1)
    desk.output("hostile").wait_for()
    assert PAYLOAD in str(desk.cell(1).locator(".jp-OutputArea").inner_text())
    desk.run(2)
    desk.cell(2).locator(".jp-OutputArea-output img").wait_for()
    assert page.locator(".jp-OutputArea").locator("script").count() == 0
    assert page.evaluate("window.broken") is None
    assert not [url for url in fetched if url.endswith("/x")]
    assert desk.errors == []


def test_no_text_leaves_its_box(page: Any) -> None:
    """In Chromium every text of a box is narrower than it, names of 60 characters too (S3-49)."""
    measure = """[...document.querySelectorAll('g')].flatMap(box => {
        const room = box.querySelector('rect').getBBox().width
        return [...box.querySelectorAll('text')].map(text => room - text.getBBox().width)
    })"""
    page.set_content(factor_graph(hostile()))
    left_over = page.evaluate(measure)

    assert len(left_over) == 2 * 7
    assert min(left_over) >= 6

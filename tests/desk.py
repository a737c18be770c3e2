"""A notebook in a page, as somebody who works in it sees it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from awaiting import PATIENCE

if TYPE_CHECKING:
    from lab import Lab, Model

GOOD = '''"""Circles."""

import math


def area(radius: float) -> float:
    """Return the area of a circle."""
    return math.pi * radius**2
'''
PROMPT = "Area of a circle.\n\n>>> round(area(2), 3)\n12.566"
# A page on a busy machine has time to place a cell.
LOAD = f"""%load_ext llmport_magic
from llmport_magic.notebook import comm
comm._PLACE_SECONDS = {PATIENCE}"""
STARTED = re.compile(r"\[(\d+|\*)\]")
ENDED = re.compile(r"\[\d+\]")


def fenced(source: str) -> str:
    """Wrap a source as models do."""
    return f"Here it is:\n\n```python\n{source}```\n"


def setup(model: Model) -> str:
    """Give the cell that loads the extension and chooses the model on loopback."""
    return (
        f"{LOAD}\n"
        "from llmport_magic import configure\n"
        f"configure(provider='local', base_url={model.url!r}, model='loopback-1')"
    )


def _starts_a_kernel(response: Any) -> bool:
    return response.request.method == "POST" and "/api/sessions" in response.url


class Desk:
    """A notebook that is open in a page, and its panel."""

    def __init__(self, page: Any, lab: Lab, notebook: Path) -> None:
        self.page = page
        self.lab = lab
        self.notebook = notebook
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, interface: str = "lab/tree") -> None:
        """Load the page and wait for its kernel: without one, a cell that is run asks for one."""
        with self.page.expect_response(_starts_a_kernel):
            self.page.goto(self.lab.address(self.notebook, interface=interface))
        self.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()

    def cell(self, index: int) -> Any:
        """Give a code cell."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(index)

    def source(self, index: int) -> str:
        """Give the text of a cell as it is shown."""
        return "\n".join(self.cell(index).locator(".cm-line").all_text_contents())

    def sources(self) -> list[str]:
        """Give the texts of all code cells."""
        return [
            self.source(i) for i in range(self.page.locator(".jp-Notebook .jp-CodeCell").count())
        ]

    def wait_for_sources(self, expected: list[str]) -> None:
        """Wait until the code cells have these texts: what places a cell may tell of it before."""
        end = time.monotonic() + PATIENCE
        while (found := self.sources()) != expected:
            assert time.monotonic() < end, found
            self.page.wait_for_timeout(50)

    def wait_for_source(self, index: int, text: str) -> str:
        """Wait until a cell has a line with the text, and give the cell's."""
        self.cell(index).locator(".cm-line").filter(has_text=text).first.wait_for(state="attached")
        return self.source(index)

    def output(self, text: str) -> Any:
        """Give the first output of a cell that has the text."""
        return self.page.locator(".jp-OutputArea-output").filter(has_text=text).first

    def run(self, index: int) -> None:
        """Run a cell by keyboard."""
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        self.cell(index).locator(".jp-InputArea-prompt").get_by_text(STARTED).wait_for()

    def wait_until_run(self, index: int) -> None:
        """Wait until a cell has been run."""
        prompt = self.cell(index).locator(".jp-InputArea-prompt")
        prompt.get_by_text(ENDED).wait_for()

    def show_panel(self) -> None:
        """Show the panel by keyboard and wait until it knows who answers."""
        self.page.keyboard.press("Control+Shift+Y")
        self.prompt.wait_for()

    def wait_until_ready(self, *, shown: bool = True) -> None:
        """Wait until the kernel has said who answers, to a panel that is shown or not."""
        ready = self.page.locator(".llmport-standing[data-link=ready]")
        ready.wait_for(state="visible" if shown else "attached")

    def button(self, name: str) -> Any:
        """Give a button of the panel."""
        return self.panel.get_by_role("button", name=name, exact=True)

    def ask(self, prompt: str = PROMPT, name: str = "circle") -> None:
        """Fill in the form and send it."""
        self.panel.get_by_label("Module name").fill(name)
        self.prompt.fill(prompt)
        self.button("Send").click()

    @property
    def panel(self) -> Any:
        """The panel."""
        return self.page.locator(".llmport-Panel")

    @property
    def prompt(self) -> Any:
        """The box for the prompt."""
        return self.page.get_by_label("Prompt", exact=True)

    @property
    def answer(self) -> Any:
        """Where the answer is shown."""
        return self.panel.get_by_role("log")

    @property
    def summary(self) -> Any:
        """The line that ends a request."""
        return self.panel.locator(".llmport-summary")


def begin(desk: Desk) -> None:
    """Open the notebook, load the extension and show the panel."""
    desk.open()
    desk.run(0)
    desk.wait_until_run(0)
    desk.show_panel()
    desk.wait_until_ready()

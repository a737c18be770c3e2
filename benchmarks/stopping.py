"""How soon a stop reaches the model: the interrupt of a cell, and the panel's Stop in a browser.

    python benchmarks/stopping.py [ROUNDS]

The model is on the loopback and never ends its answer. A cell's time is from the kernel's
interrupt, the panel's from the click in a real Chromium while a cell runs; both end when the server
sees the socket closed. The panel must be built; without Chromium or Playwright, cells only.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
import time
from pathlib import Path

from machine import machine, summary

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kernels import kernel
from loopback import HANG, Loopback, Request, streamed

ANSWER = "```python\nimport math\n"
BUSY = "import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.1)"


def milliseconds(began: float, request: Request) -> float:
    """Give the time from `began` until the socket of a request was closed, in milliseconds."""
    if not request.closed.wait(60) or request.closed_at is None:
        raise RuntimeError("the connection was still open after a minute")
    return 1_000 * (request.closed_at - began)


def cells(rounds: int, folder: Path) -> list[float]:
    """Interrupt a cell that streams, each time in the same kernel."""
    taken = []
    with Loopback() as server, kernel(folder) as running:
        server.always(streamed(ANSWER, HANG))
        setup = "from llmport_magic import configure\n"
        running.run(f"{setup}configure(provider='local', base_url={server.url!r}, model='m-1')")
        for number in range(rounds):
            request = running.start(f"%%llmport circle\nArea of circle {number}.\n")
            running.wait_until_shown("import math")
            began = time.monotonic()
            running.interrupt()
            taken.append(milliseconds(began, server.requests[-1]))
            running.finish(request)
    return taken


def panels(rounds: int, home: Path) -> list[float]:
    """Press the panel's Stop while a cell runs, each time on the same page."""
    from desk import Desk, begin, setup
    from lab import Model, new_page, running_chromium, running_lab

    taken = []
    with (
        Model() as model,
        running_lab(home) as lab,
        running_chromium() as browser,
        new_page(browser) as page,
    ):
        model.answer, model.hangs = ANSWER, True
        desk = Desk(page, lab, lab.write("stop", [setup(model), BUSY]))
        begin(desk)
        desk.run(1)
        for number in range(rounds):
            desk.ask(f"Area of circle {number}.")
            desk.answer.get_by_text("import math").wait_for()
            stop = desk.button("Stop")
            began = time.monotonic()
            stop.click()
            taken.append(milliseconds(began, model.prompts[-1]))
            desk.button("Send").wait_for()
    return taken


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        taken = cells(rounds, Path(folder, "cells"))
        print(f"interrupt of a cell  {summary(taken, 'ms')}, at most {max(taken):.1f}")
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        if chromium is None or importlib.util.find_spec("playwright") is None:
            print("Stop in the panel    not measured: there is no Chromium or no Playwright")
            return
        home = Path(folder, "lab")
        home.mkdir()
        taken = panels(rounds, home)
        print(f"Stop in the panel    {summary(taken, 'ms')}, at most {max(taken):.1f}")


if __name__ == "__main__":
    main()

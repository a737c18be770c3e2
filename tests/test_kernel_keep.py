"""`%llmport keep` in a real kernel: an observed value becomes an example of the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import Kernel, kernel, typed
from test_kernel import CELL, SETUP, answer

pytestmark = pytest.mark.kernel
MADE = '''"""Circles."""
import math


class Ring:
    """A ring."""


def area(radius):
    """Area of a circle."""
    if radius < 0:
        raise ValueError(f"a radius of {radius} is none")
    return math.pi * radius**2


def table(size):
    """Many lines."""
    print("\\n".join(map(str, range(size))))


def nested():
    """Braces."""
    return {"a": {"b": 1}}


def loud():
    """Say it."""
    print("one")
    print()
    print("two")
'''


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel with the module `circle`, made by its prompt cell."""
    with kernel(tmp_path / "work") as running:
        assert running.run(SETUP).status == "ok"
        answer(running, f"fenced({MADE!r})")
        outcome = running.run(CELL, cell_id="p1")
        assert outcome.status == "ok", outcome.shown
        yield running


def test_an_observed_value_is_added_after_asking(shell: Kernel) -> None:
    """The example is shown and asked for; the changed cell selects the code that is there."""
    question, printed = typed(shell, "%llmport keep circle.area(1)", "y")

    assert ">>> circle.area(1)\n3.141592653589793" in printed
    assert "Add this example to the prompt of `circle`?" in question
    assert "circle v2" in printed
    assert "2 of 2 examples passed" in printed


def test_the_changed_cell_asks_nobody(shell: Kernel) -> None:
    """Running the prompt with its new example is free, also after a restart."""
    kept = shell.run("%llmport keep --yes circle.area(1)")
    assert kept.status == "ok", kept.error
    assert kept.next_cell == CELL + "\n>>> circle.area(1)\n3.141592653589793"
    again = shell.run(kept.next_cell, cell_id="p1")
    assert again.status == "ok", again.shown
    assert "circle v2 · reused, 0 tokens" in again.shown
    assert "2 of 2 examples passed" in again.shown
    assert shell.value("script.calls") == "1"

    shell.restart()
    after = shell.run(kept.next_cell, cell_id="p1")
    assert "circle v2 · reused, 0 tokens" in after.shown
    assert shell.run(CELL, cell_id="p1").shown.count("reused, 0 tokens") == 1


def test_no_is_no(shell: Kernel) -> None:
    """Whatever is not yes keeps nothing: no version, no cell."""
    question, printed = typed(shell, "%llmport keep circle.area(1)", "")

    assert question
    assert "nothing was kept" in printed
    assert "v2" not in shell.run("%llmport modules").shown


def test_where_nobody_can_be_asked_it_says_how_to_agree(shell: Kernel) -> None:
    """A front end without input is told to use `--yes`, and nothing is kept."""
    outcome = shell.run("%llmport keep circle.area(1)")

    assert outcome.status == "error"
    assert "%llmport keep --yes circle.area(1)" in outcome.error
    assert ">>> circle.area(1)" in outcome.stdout
    assert outcome.next_cell == ""


@pytest.mark.parametrize(
    ("expression", "example"),
    [
        (
            "circle.area('x' * 0 == '' and 2) > 12",
            ">>> circle.area('x' * 0 == '' and 2) > 12\nTrue",
        ),
        ("circle.area(-1)", "Traceback (most recent call last):\n    ...\nValueError: a radius"),
        ("circle.loud()", ">>> circle.loud()\none\n<BLANKLINE>\ntwo"),
        ("circle.nested()", ">>> circle.nested()\n{'a': {'b': 1}}}}"),
    ],
)
def test_whatever_holds_in_the_sandbox_can_be_kept(
    shell: Kernel, expression: str, example: str
) -> None:
    """Values, errors, printed text and braces come back as they were observed."""
    outcome = shell.run(f"%llmport keep --yes {expression}")

    assert outcome.status == "ok", outcome.error
    assert example in outcome.next_cell
    again = shell.run(outcome.next_cell)
    assert "reused, 0 tokens" in again.shown, again.shown
    assert "2 of 2 examples passed" in again.shown


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("circle.Ring()", "which is another one each time"),
        ("circle.table(30)", "more than 20 lines"),
        ("circle.area(radius)", "`radius` is known to your notebook only"),
        ("again.area(1)", "`again` is known to your notebook only"),
        ("circle.area(", "is no expression"),
        ("x = 1", "is no expression"),
        ("", "adds what EXPR gives now"),
        ("1 + 1", "uses no module that a prompt of this notebook made"),
        ("circle.are(1)", "fails: AttributeError"),
        ("circle.area(len(counted()))", "`counted` is known to your notebook only"),
        ("circle.area(1), 'sk-0123456789abcdefghij0123'", "looks like a key"),
    ],
)
def test_what_cannot_stand_in_a_prompt_is_refused(
    shell: Kernel, expression: str, says: str
) -> None:
    """Addresses, long texts, the notebook's names and mistakes are refused with what to do."""
    shell.run("radius = 2; import circle as again\ndef counted(): return [1]")
    outcome = shell.run(f"%llmport keep --yes {expression}")

    assert outcome.status == "error"
    assert says in outcome.error
    assert "\n" not in outcome.error
    assert outcome.next_cell == ""
    assert "v2" not in shell.run("%llmport modules").shown


def test_what_differs_in_the_sandbox_is_not_kept(shell: Kernel) -> None:
    """A value that only this kernel's state gives is refused: the prompt would never pass."""
    shell.run("circle.math = type('m', (), {'pi': 3})")
    outcome = shell.run("%llmport keep --yes circle.area(1)")

    assert outcome.status == "error"
    assert "the sandbox does not give what your notebook gives" in outcome.error
    assert outcome.next_cell == ""


def test_a_hand_edit_is_kept_and_not_left_behind(shell: Kernel) -> None:
    """The example is stored with the edited code; another prompt still may not drop the edit."""
    edited = MADE.replace("Area of a circle.", "Area of a disc.")
    shell.run("from llmport_magic import session, settings")
    newest = "session.session().store(settings.resolve()).versions('circle')[-1].id"
    cell = "%%llmport_module circle --base " + shell.value(newest).strip("'")
    shell.run("from llmport_magic.session import close_session; close_session()")
    assert shell.run(CELL, cell_id="p1").status == "ok"
    assert shell.run(f"{cell}\n{edited}", cell_id="m1").status == "ok"
    kept = shell.run("%llmport keep --yes circle.area(1)")
    assert kept.status == "ok", kept.error
    again = shell.run(kept.next_cell, cell_id="p1")

    assert "reused, 0 tokens" in again.shown
    assert shell.value("circle.area.__doc__") == "'Area of a disc.'"
    other = shell.run(kept.next_cell + "\nAnd a square.", cell_id="p1")
    assert other.status == "error"
    assert "edited by hand" in other.error


def test_the_module_cell_can_be_edited_after_an_example_was_kept(shell: Kernel) -> None:
    """The cell below still holds the current text: an edit of it follows the new version."""
    again = shell.run(CELL, cell_id="p1")
    assert again.status == "ok"
    base = shell.run("%llmport modules").shown
    assert "circle" in base
    record = next((shell.folder / ".llmport" / "modules" / "circle").glob("v0001.json"))
    identity = __import__("json").loads(record.read_text("utf-8"))["id"]
    shell.run("%llmport keep --yes circle.area(1)")
    edited = MADE.replace("Area of a circle.", "Area of a disc.")
    outcome = shell.run(f"%%llmport_module circle --base {identity}\n{edited}", cell_id="m1")

    assert outcome.status == "ok", outcome.error
    assert shell.value("circle.area.__doc__") == "'Area of a disc.'"


def test_an_update_keeps_its_line(shell: Kernel) -> None:
    """The example of an updated module goes to the update's cell, and both cells stay free."""
    more = MADE + '\n\ndef double(radius):\n    """Twice."""\n    return 2 * radius\n'
    answer(shell, f"fenced({more!r})")
    update = "%%llmport circle --update\nAdd double.\n\n>>> double(2)\n4\n"
    assert shell.run(update, cell_id="u1").status == "ok"
    kept = shell.run("%llmport keep --yes circle.double(5)")
    assert kept.status == "ok", kept.error
    assert kept.next_cell.startswith("%%llmport circle --update\nAdd double.")

    for restarted in (False, True):
        if restarted:
            shell.restart()
            shell.run(CELL, cell_id="p1")
        again = shell.run(kept.next_cell, cell_id="u1")
        assert again.status == "ok", again.shown
        assert "reused, 0 tokens" in again.shown
        assert shell.value("circle.double(1)") == "2"


FRONT = """
import threading
from test_comm import FakeComm
from llmport_magic.notebook import comm
comm._PLACE_SECONDS = 120
front = FakeComm()
comm._opened(front, {})
hello = {"v": 1, "type": "hello", "id": "h1", "cells": True}
listening = threading.Thread(target=front.say, args=(hello,))
listening.start()
listening.join()
"""


def test_our_front_end_changes_the_prompts_cell(shell: Kernel) -> None:
    """With the panel, the cell itself gets the example where it still holds what was run."""
    assert shell.run(FRONT).status == "ok"
    kept = shell.run("%llmport keep --yes circle.area(1)")
    assert kept.status == "ok", kept.error
    placed = "[m for m in front.sent if m['type'] == 'place'][-1]"

    assert kept.next_cell == ""
    assert "the prompt's cell has the example now" in kept.shown
    assert shell.value(f"{placed}['after']") == "'p1'"
    assert shell.value(f"{placed}['rewrite']") == "True"
    assert shell.value(f"{placed}['was']") == repr(CELL.rstrip("\n"))
    changed = CELL + "\n>>> circle.area(1)\n3.141592653589793"
    assert shell.value(f"{placed}['cell']['source']") == repr(changed)


def test_a_second_example_goes_into_the_cell_of_the_first(shell: Kernel) -> None:
    """The options of the cell stay, although the cell that `keep` inserted was not run."""
    cell = CELL.replace("circle", "circle --tries 2 --no-cell", 1)
    assert shell.run(cell, cell_id="p1").status == "ok"
    first = shell.run("%llmport keep --yes circle.area(1)")
    second = shell.run("%llmport keep circle.area(0) --yes")

    assert second.status == "ok", second.error
    assert second.next_cell == first.next_cell + "\n\n>>> circle.area(0)\n0.0"
    assert second.next_cell.startswith("%%llmport circle --tries 2 --no-cell\n")


def test_a_cell_that_was_edited_since_is_left_alone(shell: Kernel) -> None:
    """Where the front end does not change the cell, a new one comes below."""
    assert shell.run(FRONT + "front.answers_placing = False").status == "ok"
    kept = shell.run("%llmport keep --yes circle.area(1)")

    assert kept.status == "ok", kept.error
    assert kept.next_cell.endswith(">>> circle.area(1)\n3.141592653589793")
    assert "the cell below has the whole prompt" in kept.shown

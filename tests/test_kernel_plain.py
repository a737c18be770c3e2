"""What the cell says of code that no module holds, and of what waits: true, and what to do next."""

from __future__ import annotations

import pytest
from kernels import Kernel
from test_kernel import CELL, answer, shell

__all__ = ["shell"]
pytestmark = pytest.mark.kernel


def test_a_plain_cell_that_fails_names_no_draft(shell: Kernel) -> None:
    """No draft is kept of a plain cell, so none is named; the answers are in the log."""
    answer(shell, "fenced('x = (1\\n')", "fenced('x = (1\\n')")
    outcome = shell.run("%%llmport --tries 2\nAdd one.\n")

    assert outcome.name == "VerificationError"
    assert "no cell: 2 answers" in outcome.error
    assert "`%llmport log` has the answers" in outcome.error
    assert "--draft" not in outcome.error
    assert outcome.next_cell == ""
    answer(shell, "fenced('print(().__class__.__base__.__subclasses__())\\n')")
    refused = shell.run("%%llmport\nList classes.\n")
    assert "the cell was refused, neither placed nor run: line 1: " in refused.error
    assert "--draft" not in refused.error


def test_a_plain_cell_says_what_it_lacks_and_what_was_not_checked(shell: Kernel) -> None:
    """A missing package, examples that nobody ran and who answered stand below the prompt."""
    answer(shell, "fenced('import cv2\\nx = cv2\\n')")
    outcome = shell.run("%%llmport\nRead it.\n\n>>> x\n1\n")

    assert outcome.status == "ok", outcome.shown
    first, *more = outcome.shown.strip().split("\n")
    assert first == "✓ cell · not run · static only"
    assert more[0] == (
        "  the examples are not checked: a cell is not run, `%%llmport NAME` makes a module"
    )
    assert more[1].startswith("  scripted s1 · 1 attempt · ")
    assert more[2:] == [
        "  line 1: `cv2` is not installed: run `%pip install opencv-python`",
    ]


def test_a_plain_cell_that_acts_is_to_be_read_first(shell: Kernel) -> None:
    """Of code in a cell nobody has to agree to anything: it is to be read before it is run."""
    answer(shell, "fenced('def f(s):\\n    return eval(s)\\n')")
    outcome = shell.run("%%llmport\nWhat a text comes to.\n")

    assert "read it before you run it" in outcome.shown
    assert "consent" not in outcome.shown


def test_an_update_without_a_name_sends_nothing(shell: Kernel) -> None:
    """`--update` needs a module; it is not left out in silence."""
    outcome = shell.run("%%llmport --update\nAdd one.\n")

    assert outcome.name == "UsageError"
    assert "`%%llmport NAME --update`" in outcome.error
    assert shell.value("script.calls") == "0"


def test_an_example_that_is_no_python_costs_nothing(shell: Kernel) -> None:
    """The prompt's line is named, and nobody is asked (S0-43)."""
    outcome = shell.run("%%llmport circle\nArea.\n\n>>> area(2) -> 12.566\n")

    assert outcome.name == "UsageError"
    assert "line 3 of the prompt, `>>> area(2) -> 12.566`" in outcome.error
    assert shell.value("script.calls") == "0"


def test_a_preview_names_what_is_copied_and_what_becomes_of_a_cell(shell: Kernel) -> None:
    """A function is described, and no copy of it is promised; a plain cell is not stored."""
    shell.run("def clean(x):\n    return x\n\n\nrates = [1.5, 2.5]")
    code = shell.run("%%llmport circle --with clean --preview\nLike clean.\n").shown
    both = shell.run("%%llmport --with rates,clean --preview\nMean.\n").shown

    assert "the answer is then checked in the sandbox, stored as a version of `circle`" in code
    assert (
        "the answer is then checked as text, tried in the sandbox on a copy of `rates` of at most "
        "1,000 sampled rows, put into a cell below, neither stored nor run"
    ) in both


def test_what_waits_for_consent_is_listed_with_the_way_on(shell: Kernel) -> None:
    """`%llmport modules` says that a version waits for you, until you allow it."""
    answer(shell, "fenced(HELD)")
    shell.run(CELL.replace("12.566", "2"))
    waiting = shell.run("%llmport modules").shown
    allowed = shell.run("%llmport rollback circle v1")

    assert (
        "v1 waits for your consent: read it with `%llmport show circle v1`, then `%llmport "
        "rollback circle v1`"
    ) in waiting
    assert allowed.status == "ok", allowed.shown
    assert "stays stored" not in allowed.shown
    assert "waits" not in shell.run("%llmport modules").shown


def test_an_edit_that_fails_an_example_says_which(shell: Kernel) -> None:
    """Your own text is registered, and below it stands what the examples say of it."""
    answer(shell, "fenced(GOOD)")
    cell = shell.run(CELL, cell_id="p1").next_cell
    outcome = shell.run(cell.replace("math.pi *", "3 *"), cell_id="m1")

    assert outcome.status == "ok", outcome.shown
    assert "✗ circle v2 · your edit, registered · 0 of 1 example passed" in outcome.shown
    assert "  line 3: round(area(2), 3) gave 12, expected 12.566" in outcome.shown
    again = shell.run(CELL, cell_id="p1").shown
    assert "✗ circle v2 · reused, 0 tokens · 0 of 1 example passed" in again
    assert "✓ circle v1 · registered" in shell.run("%llmport rollback circle v1").shown
    assert "✗ circle v2 · registered" in shell.run("%llmport rollback circle v2").shown


def test_versions_that_stand_alone_say_so(shell: Kernel) -> None:
    """`diff` and `rollback` never speak of a version before, or of going back, that is not."""
    answer(shell, "fenced(GOOD)", "fenced(GOOD + 'X = 1\\n')")
    shell.run(CELL)
    shell.run(CELL.replace("Area of", "The area of"))
    alone = shell.run("%llmport diff circle").error
    back = shell.run("%llmport rollback circle").error
    again = shell.run("%llmport rollback circle v2").error

    assert "`circle` v2 was made from no other version: name one, as in `%llmport diff" in alone
    assert "as in `%llmport rollback circle v1`" in back
    assert "`circle` v2 is current already" in again
    assert "X = 1" in shell.run("%llmport diff circle v1").stdout
    assert "two versions are compared" in shell.run("%llmport diff circle 1 2 1").error
    surplus = {"rollback circle 1 2": "2", "show circle v1 v2": "v2", "show circle --draft 1": "1"}
    for line, word in surplus.items():
        assert f"`{word}` is one word too many: `%llmport" in shell.run(f"%llmport {line}").error

"""A failed update in a real kernel leaves file, module, versions and names as they were."""

from __future__ import annotations

import pytest
from kernels import Kernel
from test_kernel import CELL, answer, shell

__all__ = ["shell"]
pytestmark = pytest.mark.kernel
UPDATE = "%%llmport circle --update --tries 1\nChange it.\n"
GONE = "__import__('llmport_magic.errors', fromlist=['x']).LLMStreamError"
STATE = (
    "(open('circle.py').read(), id(circle), sorted(vars(circle)), __import__('sys').modules"
    "['circle'] is circle, area is circle.area, round(area(1), 2))"
)


def state(shell: Kernel) -> str:
    """Everything that a failed update must leave."""
    texts = sorted((shell.folder / ".llmport" / "modules" / "circle").glob("*.py"))
    held = [each.read_text("utf-8") for each in texts]
    return f"{shell.value(STATE)} {[text for text in held if 'def area' in text]}"


@pytest.fixture
def working(shell: Kernel) -> Kernel:
    """Give a kernel with a module that works, and a name taken from it."""
    answer(shell, "fenced(GOOD)")
    assert shell.run(CELL, cell_id="p1").status == "ok"
    shell.run("from circle import area")
    return shell


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("fenced('def area(:\\n')", "VerificationError"),
        ("fenced('raise RuntimeError(1)\\n')", "VerificationError"),
        ("fenced('import llmport_test_nope\\n')", "MissingPackageError"),
        ("''", "LLMOutputError"),
        ("'no code at all'", "LLMOutputError"),
        ("fenced('import sys\\nsys.exit()\\n')", "VerificationError"),
        ("fenced('raise KeyboardInterrupt\\n')", "VerificationError"),
        ("fenced('while True:\\n    pass\\n')", "VerificationError"),
        ("fenced('x = 1\\n' * 400_000)", "LLMOutputError"),
        (f"{GONE}('gone')", "LLMStreamError"),
    ],
    ids=[
        "syntax",
        "raise",
        "import",
        "empty",
        "prose",
        "exit",
        "interrupt",
        "loop",
        "long",
        "gone",
    ],
)
def test_an_update_that_fails_changes_nothing(working: Kernel, reply: str, error: str) -> None:
    """Whatever the answer is, module, file and names stay, and the cell says why (S0-09)."""
    before = state(working)
    answer(working, reply)
    # What ends by itself has the time that it needs.
    seconds = 3 if "while True" in reply else 120
    working.run(f"configure(provider='scripted', sandbox_seconds={seconds})")

    outcome = working.run(UPDATE, cell_id="u2")

    assert outcome.status == "error", outcome.shown
    assert outcome.name == error, outcome.shown
    assert "\n" not in outcome.error
    assert outcome.next_cell == ""
    assert state(working) == before
    again = working.run(CELL, cell_id="p1")
    assert again.status == "ok", again.shown
    assert working.value("script.calls") == "2"


def test_an_example_that_ends_the_process_is_only_a_failure(working: Kernel) -> None:
    """`os._exit` in what an example calls ends the child, and counts as failed (S0-09)."""
    before = state(working)
    answer(working, "fenced(GOOD + '\\n\\ndef off():\\n    import os\\n    os._exit(0)\\n')")

    outcome = working.run(UPDATE + "\n>>> off()\n>>> area(0)\n0.0\n", cell_id="u2")

    assert outcome.name == "VerificationError", outcome.shown
    assert state(working) == before


def test_a_module_that_fails_only_in_the_kernel_leaves_the_old_one(working: Kernel) -> None:
    """What passes in the sandbox and fails here stays stored, and can be retried (S0-09, V64)."""
    working.run("import builtins\nbuiltins.llmport_test_here = True")
    before = working.value(STATE)
    code = 'import builtins\\n\\nLIMIT = 1 / (not hasattr(builtins, "llmport_test_here"))\\n'
    answer(working, f"fenced(GOOD + '\\n{code}')")

    outcome = working.run(UPDATE, cell_id="u2")

    assert outcome.name == "VerificationError", outcome.shown
    assert "ZeroDivisionError" in outcome.error
    assert working.value(STATE) == before
    assert "2 versions, newest v2 · v1 is current" in working.run("%llmport modules").shown
    working.run("del builtins.llmport_test_here")
    retried = working.run("%llmport retry circle")
    assert retried.status == "ok", retried.shown
    assert working.value("circle.LIMIT, script.calls") == "(1.0, 2)"


def test_an_update_of_what_is_not_there_says_what_is(working: Kernel) -> None:
    """Updating a missing module names the file, the way to it and the known ones (S0-08, S0-37)."""
    outcome = working.run("%%llmport squares --update\nChange it.\n")

    assert outcome.name == "ModuleNotStoredError"
    assert str(working.folder / "squares.py") in outcome.error
    assert "%%llmport squares" in outcome.error
    assert "`circle`" in outcome.error
    assert working.value("script.calls") == "1"
    called = working.run("from llmport_magic import update\nupdate('squares', 'Change it.')")
    assert called.name == "ModuleNotStoredError"
    assert working.value("issubclass(__import__('llmport_magic.errors', fromlist=['x'])"
                         ".ModuleNotStoredError, FileNotFoundError)") == "True"  # fmt: skip


def test_a_file_that_cannot_be_read_hides_no_other_module(shell: Kernel) -> None:
    """`%llmport modules` says it in that module's line, and lists the rest."""
    answer(shell, "fenced(GOOD)", "fenced(GOOD)")
    shell.run(CELL)
    shell.run(CELL.replace("circle", "sphere", 1))
    (shell.folder / "circle.py").write_bytes(b'x = "\xe4"\n')
    circle, sphere = shell.run("%llmport modules").stdout.strip().splitlines()

    assert "newest v1" in circle
    assert "circle.py` is not readable as Python text" in circle
    assert sphere.endswith("newest v1 · v1 is current")


def test_a_broken_file_of_the_users_own_is_named_with_the_ways_on(shell: Kernel) -> None:
    """A prompt cell that finds it says which file does not execute, why, and what helps."""
    (shell.folder / "circle.py").write_text("def broken(:\n", encoding="utf-8")
    outcome = shell.run(CELL)

    assert outcome.name == "VerificationError", outcome.shown
    assert "`circle.py` is your own text and does not execute: SyntaxError" in outcome.error
    assert "`--update`" in outcome.error
    assert "`--regenerate`" in outcome.error
    answer(shell, "fenced(GOOD)")
    assert shell.run(CELL.replace("circle", "circle --update", 1)).status == "ok"
    assert shell.value("round(circle.area(1), 2)") == "3.14"

"""What an update does to the examples of before: run on it, told in one line, never in its way."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from awaiting import PATIENCE
from kernels import Kernel
from sandboxed import overdue_at
from scripted import BETTER, GOOD, PROMPT, fenced, scripted
from test_api import folder
from test_comm import FakeComm, generate
from test_kernel import CELL, answer, journal, shell

from llmport_magic import llmport, update
from llmport_magic.modules.sandbox import sandboxing
from llmport_magic.modules.store import ModuleStore
from llmport_magic.notebook import comm
from llmport_magic.settings import configure

__all__ = ["folder", "shell"]
ZERO = '"""Circles."""\n\n\ndef area(radius):\n    """Not the area."""\n    return 0\n'
HANGS = '"""Circles."""\n\n\ndef area(radius):\n    """Wait."""\n    while radius:\n        pass\n'
MARKS = HANGS.replace("pass", 'open("hangs", "w").close()')
COUNTER = '''"""A counter."""


class Counter:
    """Counts."""

    def __init__(self):
        self.total = 0

    def add(self, number):
        """Add."""
        self.total += number

    def reset(self):
        """Begin again."""
        self.total = 0
'''


def _notes(folder: Path) -> list[str]:
    said = [each["body"]["text"] for each in journal(folder) if each["kind"] == "NOTE"]
    return [text for text in said if "of before" in text]


@pytest.fixture
def told(folder: Path) -> Callable[..., list[str]]:
    """Make `circle` of prompts and answers, updates from the second on; give what the last told."""

    def make(*asked: tuple[str, str], **settings: object) -> list[str]:
        told: list[str] = []
        with scripted(*(fenced(source) for _, source in asked)):
            for number, (prompt, _) in enumerate(asked):
                before, ask = len(_notes(folder)), update if number else llmport
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    given = {"sandbox_seconds": PATIENCE, **settings}
                    ask("circle", prompt, provider="scripted", **given)  # type: ignore[arg-type]
                told = _notes(folder)[before:]
        return told

    return make


def test_an_update_that_breaks_an_example_of_before_says_so(
    told: Callable[..., list[str]], folder: Path
) -> None:
    """What an earlier prompt proved and the update breaks is told and logged (S0-07)."""
    line = told((PROMPT, GOOD), ("Another area.", ZERO))

    says = "1 of 1 example of before no longer holds: `round(area(2), 3)` gave 0, was 12.566; "
    assert line == [f"{says}`%llmport rollback circle v1` goes back"]
    newest = ModuleStore(folder).versions("circle")[-1]
    assert (newest.number, newest.source) == (2, ZERO)


def test_the_examples_of_all_earlier_prompts_are_run(told: Callable[..., list[str]]) -> None:
    """Those of every ancestor's prompt count, and where all hold, that is said."""
    second = ("Add sector.\n\n>>> sector(2, 0)\n0.0", BETTER)
    assert told((PROMPT, GOOD), second, ("Say more.", BETTER + "\nX = 1\n")) == [
        "the 2 examples of before hold"
    ]


def test_the_newest_prompt_of_an_expression_wins(told: Callable[..., list[str]]) -> None:
    """An expression that stands in a newer prompt, too, is held to that one only."""
    same = PROMPT.replace("12.566", "0")
    assert told((PROMPT, GOOD), (same, ZERO), ("Say more.", ZERO + "\n\nX = 1\n")) == [
        "the example of before holds"
    ]


def test_an_expression_of_two_earlier_prompts_is_counted_once(
    told: Callable[..., list[str]],
) -> None:
    """What several earlier prompts have is one example of before, also where it breaks."""
    again = PROMPT.replace("Area", "The area")
    twice = (PROMPT, GOOD), (again, GOOD + "\n\nX = 1\n")
    assert told(*twice, ("Say more.", GOOD + "\n\nX = 2\n")) == ["the example of before holds"]


def test_an_example_that_the_update_states_anew_is_superseded(
    told: Callable[..., list[str]],
) -> None:
    """Where the update's own prompt has the expression, nothing of before is looked for."""
    assert told((PROMPT, GOOD), (PROMPT.replace("12.566", "0"), ZERO)) == []


def test_what_was_broken_before_is_told_once(told: Callable[..., list[str]]) -> None:
    """An update is not blamed for an example that its parent breaks already."""
    assert told((PROMPT, GOOD), ("Not.", ZERO), ("Say more.", ZERO + "\n\nX = 1\n")) == []


def test_an_example_of_before_has_what_stands_above_it(told: Callable[..., list[str]]) -> None:
    """Examples of one prompt run together, those that a newer prompt repeats included."""
    first = "Count.\n\n>>> c = Counter()\n>>> c.add(2)\n>>> c.total\n2\n"
    second = "Reset.\n\n>>> c = Counter()\n>>> c.reset()\n>>> c.total\n0\n"
    assert told((first, COUNTER), (second, COUNTER + "\n\nX = 1\n")) == [
        "the example of before holds"
    ]


def test_an_example_of_before_that_hangs_leaves_the_verdict_alone(
    told: Callable[..., list[str]],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The update passes by its own examples, whatever those of before do to the process."""
    checks = tmp_path_factory.mktemp("checks")
    monkeypatch.setattr(sandboxing.tempfile, "tempdir", str(checks))
    overdue_at(0, monkeypatch, lambda: any(checks.glob("*/hangs")))

    line = told((PROMPT, GOOD), ("Wait.\n\n>>> area(0)", MARKS), sandbox_warm=False)

    assert len(line) == 1
    assert line[0].startswith("1 of 1 example of before no longer holds: `round(area(2), 3)` did")
    newest = ModuleStore(folder).versions("circle")[-1]
    assert newest.verdict is not None
    assert (newest.source, newest.verdict["proof"]) == (MARKS, "passed")
    assert [each["status"] for each in newest.verdict["examples"]] == ["passed"]


def test_an_example_that_cannot_be_run_is_not_told_as_broken(
    told: Callable[..., list[str]],
) -> None:
    """What the sandbox does not run says nothing about the update."""
    reads = "Area.\n\n>>> area(len(open('data.csv').read()))\n12.566"
    assert told((reads, GOOD), ("Another area.", ZERO)) == [
        "1 example of before not run: it reads, writes, asks or connects"
    ]
    both = f"{PROMPT}\n>>> area(len(open('data.csv').read()))\n12.566"
    assert told((both, GOOD), ("Say more.", GOOD + "\nX = 1\n")) == [
        "the example of before holds, 1 not run"
    ]


def test_a_script_is_warned_of_what_broke_only(folder: Path) -> None:
    """`update()` warns of an example of before that no longer holds, not of those that hold."""
    with scripted(fenced(GOOD), fenced(BETTER), fenced(ZERO)):
        patient = {"provider": "scripted", "sandbox_seconds": PATIENCE}
        llmport("circle", PROMPT, **patient)  # type: ignore[arg-type]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            update("circle", "Add sector.", **patient)  # type: ignore[arg-type]
            assert _ours(caught) == []
            update("circle", "Make it nothing.", **patient)  # type: ignore[arg-type]
    assert _ours(caught) == ["1 of 1 example of before no longer "]


def _ours(caught: list[warnings.WarningMessage]) -> list[str]:
    """Give how our warnings begin: a file that another test left open may be told at any time."""
    return [str(each.message)[:35] for each in caught if each.category is UserWarning]


@pytest.mark.kernel
def test_a_cell_says_what_came_of_the_examples_of_before(shell: Kernel) -> None:
    """The line stands below the update's cell; a draft's says nothing of going back."""
    answer(shell, "fenced(GOOD)", f"fenced({ZERO!r})", "fenced(BETTER)")
    shell.run(CELL, cell_id="p1")
    draft = shell.run("%%llmport circle --update --draft\nAnother area.\n", cell_id="u2").shown
    assert "no longer holds: `round(area(2), 3)` gave 0, was 12.566\n" in draft
    outcome = shell.run("%%llmport circle --update\nAdd sector.\n", cell_id="u2")

    assert outcome.status == "ok", outcome.shown
    assert "✓ circle v2 · no examples" in outcome.shown
    assert "the example of before holds" in outcome.shown


@pytest.mark.kernel
def test_an_interrupt_while_an_example_of_before_hangs_tells_what_is_stored(shell: Kernel) -> None:
    """The line names the version that is stored, the one that stays in use, and what was not run.

    The command in it takes the stored one.
    """
    shell.run("configure(sandbox_seconds=600)")
    answer(shell, "fenced(GOOD)", f"fenced({HANGS!r})")
    shell.run(CELL, cell_id="p1")
    request = shell.start("%%llmport circle --update\nWait.\n\n>>> area(0)\n", cell_id="u2")
    shell.wait_until_shown("running the examples of before …")
    shell.interrupt()

    assert shell.finish(request).error == (
        "Interrupted: `circle` v2 is stored, but not in use: v1 stays, not all examples of before "
        "were run; `%llmport rollback circle v2` takes it"
    )
    assert shell.value("round(circle.area(1), 2)") == "3.14"
    assert shell.run("%llmport rollback circle v2").status == "ok"
    assert shell.value("circle.area.__doc__") == "'Wait.'"


def test_a_panel_that_stops_an_example_of_before_gets_the_cell_of_what_is_stored(
    folder: Path,
) -> None:
    """Stop ends the examples of before only: the version is stored, so that its cell is placed."""
    configure(provider="scripted", sandbox_seconds=600.0)
    front = FakeComm()
    comm.Link(front)
    with scripted(fenced(GOOD), fenced(HANGS)):
        llmport("circle", PROMPT)
        front.say(generate(prompt="Wait.\n\n>>> area(0)", update=True))
        front.wait_for("note", text="running the examples of before …")
        front.say({"v": 1, "type": "cancel", "id": "c1", "re": "g1"})
        done = front.wait_for("done")

    newest = ModuleStore(folder).versions("circle")[-1]
    assert (newest.number, done["version"]) == (2, newest.id)
    assert "not all examples of before were run" in done["summary"]
    assert front.wait_for("place")["cell"]["source"].endswith(HANGS)

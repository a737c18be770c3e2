"""Two real kernels on one module: two versions or one clear refusal, and never a mixed text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kernels import Kernel, kernel
from test_kernel import SETUP

from llmport_magic.modules.store import ModuleStore

pytestmark = pytest.mark.kernel

# Each answer is one text, long enough to be seen mixed, whose every line says whose it is.
ANSWERS = """
def text(who, turn):
    head = f"WHO = {who!r}\\nTURN = {turn}\\n\\n\\n"
    body = head + "def area(radius):\\n    return 3.14159 * radius**2\\n"
    return fenced(body + f"# {who} {turn}\\n" * 300)
"""
PROMPT = "%%llmport circle{options}\nArea, {who} {turn}.\n\n>>> round(area(2), 1)\n12.6\n"


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Kernel, Kernel]]:
    """Give two kernels in one folder, of one user."""
    with ExitStack() as stack:
        both = [stack.enter_context(kernel(tmp_path / "work")) for _ in range(2)]
        for running in both:
            for code in (SETUP, ANSWERS):
                outcome = running.run(code)
                assert outcome.status == "ok", outcome.error
        yield both[0], both[1]


def whose(text: str) -> str:
    """Give who wrote a text; fails where it is of several."""
    marks = set(re.findall(r"^# (\w+ \d+)$", text, re.MULTILINE))
    assert len(marks) == 1, marks
    mark = marks.pop()
    who, turn = mark.split()
    assert text.startswith(f"WHO = '{who}'\nTURN = {turn}\n")
    assert text.count(f"# {mark}\n") == 300
    return mark


def test_two_kernels_at_once_never_mix_texts(two: tuple[Kernel, Kernel], tmp_path: Path) -> None:
    """Generating, updating, editing and going back in both at once keeps every text (C21)."""
    names = ("left", "right")
    folder = tmp_path / "work"
    for turn in range(4):
        options = "" if turn == 0 else " --update" if turn % 2 else " --regenerate"
        for who, running in zip(names, two, strict=True):
            running.run(f"script.answers[:] = [text({who!r}, {turn})]")
        started = [
            running.start(
                PROMPT.format(options=options, who=who, turn=turn), cell_id=f"{who}{turn}"
            )
            for who, running in zip(names, two, strict=True)
        ]
        done = [running.finish(each) for running, each in zip(two, started, strict=True)]
        for outcome in done:
            assert outcome.status == "ok" or outcome.name in {"ConflictError", "StoreError"}, (
                outcome.shown
            )
        assert any(outcome.status == "ok" for outcome in done)
        whose((folder / "circle.py").read_text("utf-8"))
    commands = ("%llmport rollback circle v1", "%llmport rollback circle v2")
    started = [running.start(code) for running, code in zip(two, commands, strict=True)]
    for running, each in zip(two, started, strict=True):
        outcome = running.finish(each)
        assert outcome.status == "ok", outcome.shown

    store = ModuleStore(folder)
    versions = store.versions("circle")
    assert [version.number for version in versions] == list(range(1, len(versions) + 1))
    assert len(versions) >= 5
    marks = [whose(version.source) for version in versions]
    assert {mark.split()[0] for mark in marks} == {"left", "right"}
    assert store.current_text("circle") in {versions[0].source, versions[1].source}
    for who, running in zip(names, two, strict=True):
        live = running.value("(circle.WHO, circle.TURN)")
        assert any(f"('{mark.split()[0]}', {mark.split()[1]})" == live for mark in marks), who
        seen = running.run("%llmport modules").shown
        assert f"{len(versions)} versions" in seen
    with kernel(folder) as third:
        assert f"{len(versions)} versions" in third.run("%llmport modules").shown
        shown = third.run("%llmport show circle").shown
        assert whose(shown.partition("WHO")[1] + shown.partition("WHO")[2]) in marks[:2]


def test_an_edit_in_one_kernel_is_not_lost_in_the_other(
    two: tuple[Kernel, Kernel], tmp_path: Path
) -> None:
    """A kernel whose module another one edited keeps both texts, and says which is which (C21)."""
    one, other = two
    for turn, running in enumerate(two):
        running.run(f"script.answers[:] = [text('left', {turn})]")
    prompt = PROMPT.format(options="", who="left", turn=0)
    cell = one.run(prompt, cell_id="p1").next_cell
    assert other.run(prompt, cell_id="p1").status == "ok"
    assert other.value("script.calls") == "0"
    edited = one.run(cell.replace("3.14159", "3.1416"), cell_id="m1")
    assert edited.status == "ok", edited.shown

    again = other.run(prompt, cell_id="p1")

    assert again.status == "ok", again.shown
    assert other.value("circle.area(1)") == "3.1416"
    update = other.run(PROMPT.format(options=" --update", who="left", turn=1), cell_id="u2")
    assert update.status == "ok", update.shown
    assert "3.1416 * radius**2" in other.value("script.prompts[-1]")
    sources = [version.source for version in ModuleStore(tmp_path / "work").versions("circle")]
    assert [("3.1416" in source, "TURN = 1" in source) for source in sources] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_an_update_says_that_the_file_held_another_kernels_version(
    two: tuple[Kernel, Kernel],
) -> None:
    """What another kernel made since is not lost without a word: the cell names both."""
    update = "%%llmport circle --update\nAdd {}.\n"
    for number, running in enumerate(two):
        running.run("script.answers[:] = [fenced(GOOD)]")
        assert running.run(PROMPT.format(options="", who="both", turn=0)).status == "ok", number
    for running, name in zip(two, "xy", strict=True):
        running.run(f"script.answers[:] = [fenced(GOOD + '{name} = 1\\n')]")
    left = two[0].run(update.format("x"))
    right = two[1].run(update.format("y"))

    assert "✓ circle v2" in left.shown
    assert "grew from" not in left.shown
    assert "✓ circle v3" in right.shown
    assert "grew from v1; circle.py held v2, which stays stored" in right.shown

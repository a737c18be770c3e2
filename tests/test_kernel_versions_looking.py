"""Versions looked at: what differs, in colour and without, and where a text comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernels import Kernel, kernel
from test_kernel import CELL, SETUP, answer, shell

from llmport_magic.notebook.differences import difference

__all__ = ["shell"]
UPDATE = "%%llmport circle --update\nAdd sector.\n\n>>> round(sector(2, 180), 3)\n6.283\n"
_ANSI = re.compile(r"\x1b\[[\d;]*m")
_LINES = st.lists(st.sampled_from(["a = 1", "a = 2", "", "- x", "+ y", "--- z", "+++ w", "@@"]))


@given(old=_LINES, new=_LINES)
def test_colour_changes_no_letter(old: list[str], new: list[str]) -> None:
    """Without its colours a coloured difference is the plain one, line by line."""
    texts = ("\n".join(old), "\n".join(new))

    plain = difference(*texts, names=("one", "two"), colour=False)
    coloured = difference(*texts, names=("one", "two"))

    assert [_ANSI.sub("", line) for line in coloured] == plain
    assert all(line.count("\x1b") == 0 or line.endswith("\x1b[0m") for line in coloured)
    assert (plain == []) == (texts[0].splitlines() == texts[1].splitlines())


def test_changed_words_are_marked() -> None:
    """In lines that are alike, what changed stands out; others are not covered with marks."""
    (_, old, new) = difference("area(radius, 2)\n", "area(radius, 3)\n")

    assert old == "\x1b[31m-area(radius, \x1b[7m2\x1b[27m)\x1b[0m"
    assert new == "\x1b[32m+area(radius, \x1b[7m3\x1b[27m)\x1b[0m"
    assert "\x1b[7m" not in "".join(difference("import os\n", "x = [1, 2]\n"))


def test_no_escape_code_of_a_text_reaches_the_screen() -> None:
    """What moves the cursor or sets a title is shown as one odd letter."""
    shown = "\n".join(difference("x\n", "x = '\x1b]0;title\x07\x9b2J'\n", colour=False))

    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert "\ufffd]0;title" in shown


@pytest.fixture
def uncoloured(tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel whose user wants no colours."""
    with kernel(tmp_path / "work", NO_COLOR="1") as running:
        assert running.run(SETUP).status == "ok"
        yield running


@pytest.mark.kernel
def test_diff_says_who_made_what_and_what_changed_in_the_prompt(shell: Kernel) -> None:
    """The head names both versions, prompts and code are compared, in colour (S0-06)."""
    answer(shell, "fenced(GOOD)", "fenced(BETTER)")
    shell.run(CELL, cell_id="p1")
    updated = shell.run(UPDATE, cell_id="u2")
    shown = shell.run("%llmport diff circle").stdout
    plain = _ANSI.sub("", shown)
    head, prompt, *rest = plain.splitlines()
    assert re.fullmatch(
        r"circle v1 \(prompt, scripted s1, \d{4}-\d\d-\d\d\) -> "
        r"v2 \(update, scripted s1, \d{4}-\d\d-\d\d\)",
        head,
    )
    assert prompt == "prompt:"
    assert {"-Area of a circle.", "+Add sector."} <= set(rest)
    assert {"--- circle v1", "+++ circle v2", "+def sector(radius, degrees):"} <= set(rest)
    assert "\x1b[32m+def sector" in shown
    edited = updated.next_cell.replace("degrees / 360", "degrees / 360.0")
    assert shell.run(edited, cell_id="m2").status == "ok"
    by_hand = _ANSI.sub("", shell.run("%llmport diff circle").stdout)
    assert "v3 (cell, by hand, " in by_hand.splitlines()[0]
    assert "prompt:" not in by_hand
    backward = _ANSI.sub("", shell.run("%llmport diff circle v2 v1").stdout)
    assert "-def sector(radius, degrees):" in backward
    same = shell.run("%llmport diff circle v1 v1").stdout
    assert "the code is the same" in same
    missing = shell.run("%llmport diff circle v1 v9")
    assert "there are v1, v2, v3" in missing.error


@pytest.mark.kernel
def test_no_colour_where_none_is_wanted(uncoloured: Kernel) -> None:
    """`NO_COLOR` leaves the signs alone, which say everything."""
    answer(uncoloured, "fenced(GOOD)", "fenced(BETTER)")
    uncoloured.run(CELL, cell_id="p1")
    uncoloured.run(UPDATE, cell_id="u2")
    for command in ("diff circle", "show circle --colour"):
        shown = uncoloured.run(f"%llmport {command}")
        assert shown.status == "ok", shown.shown
        assert "\x1b" not in shown.stdout
        assert "def sector(radius, degrees):" in shown.stdout


@pytest.mark.kernel
def test_show_says_where_a_text_comes_from(shell: Kernel) -> None:
    """Above the code, which stays Python: parent, prompt, verdict; coloured where asked (S0-06)."""
    answer(shell, "fenced(GOOD)", "fenced(BETTER)")
    shell.run(CELL, cell_id="p1")
    shell.run(UPDATE, cell_id="u2")
    shown = shell.run("%llmport show circle v2").stdout
    assert "# circle v2 · update · scripted s1 · " in shown
    assert "# from v1 (prompt, scripted s1)" in shown
    assert "# prompt: Add sector. … and 3 more lines" in shown
    assert "1 of 1 example passed" in shown
    compile(shown, "shown", "exec")
    coloured = shell.run("%llmport show circle v2 --colour").stdout
    assert "\x1b[" in coloured
    assert _ANSI.sub("", coloured).rstrip() == shown.rstrip()
    wrong = shell.run("%llmport show circle --verbose")
    assert "there is no `--verbose`" in wrong.error


@pytest.mark.kernel
def test_going_back_forgets_nothing(shell: Kernel) -> None:
    """After rollback and restart every text is there; the next update builds on v1 (S0-06)."""
    answer(shell, "fenced(GOOD)", "fenced(BETTER)", "fenced(GOOD + 'X = 1\\n')")
    shell.run(CELL, cell_id="p1")
    shell.run(UPDATE, cell_id="u2")
    texts = [shell.run(f"%llmport show circle v{n}").stdout for n in (1, 2)]
    back = shell.run("%llmport rollback circle")
    assert "v2 stays stored; `%llmport rollback circle v2` goes back" in back.shown
    assert "no longer defined: `sector`" in back.shown
    assert shell.run("%llmport rollback circle").error.count("no version before it") == 1
    other = shell.run("%%llmport circle --update\nAdd X.\n", cell_id="u3")
    assert other.status == "ok", other.shown
    assert "def sector" not in shell.value("script.prompts[-1]")
    assert "# from v1 (" in shell.run("%llmport show circle v3").stdout
    shell.restart()
    for n, text in zip((1, 2), texts, strict=True):
        again = shell.run(f"%llmport show circle v{n}").stdout
        assert again.replace(" · allowed by you", "") == text.replace(" · allowed by you", "")
    assert "3 versions" in shell.run("%llmport modules").shown


@pytest.mark.kernel
def test_a_stored_escape_code_is_not_obeyed(shell: Kernel) -> None:
    """Drafts and texts of a folder from elsewhere are shown without what moves the cursor."""
    answer(shell, "fenced(\"X = '\\x1b]0;owned\\x07'\\n\")")
    refused = shell.run("%%llmport titles --tries 1\nTitles.\n")
    assert refused.status == "error"
    assert "\x1b]" not in refused.shown
    plant = """
from llmport_magic.modules.store import ModuleStore, NewVersion, version_key
key = version_key("planted", "", "p", {})
text = {"source": "X = '\\x1b[2J'\\n", "prompt": "\\x1b[2Jp", "provider": "p", "model": "\\x9b2J"}
new = NewVersion(name="planted", key=key, **text)
_ = ModuleStore(".").add(new)
"""
    planted = shell.run(plant)
    assert planted.status == "ok", planted.error
    for command in ("show titles --draft", "show planted", "diff planted v1 v1"):
        shown = shell.run(f"%llmport {command}")
        assert shown.status == "ok", shown.shown
        assert "\x1b" not in shown.stdout
        assert "\x9b" not in shown.stdout
    assert "owned" in shell.run("%llmport show titles --draft").stdout

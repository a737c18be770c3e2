"""`%llmport templates` in a real kernel: the words that models are told, changed between cells."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import Kernel, kernel
from test_kernel import CELL, SETUP, answer

from llmport_magic.modules.templates import TEMPLATES

pytestmark = pytest.mark.kernel
AGAIN = CELL.replace("circle", "circle --regenerate", 1)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel whose provider answers what a test scripts."""
    with kernel(tmp_path / "work") as running:
        outcome = running.run(SETUP)
        assert outcome.status == "ok", outcome.error
        yield running


def sent(shell: Kernel) -> str:
    """Give the last prompt that was sent."""
    return str(eval(shell.value("script.prompts[-1]")))


def test_written_templates_are_ours_and_never_overwritten(shell: Kernel) -> None:
    """`write` gives every text with a comment, says what to set, and leaves a file be (S0-22)."""
    outcome = shell.run("%llmport templates write mine.toml")
    path = shell.folder / "mine.toml"

    assert outcome.status == "ok", outcome.error
    assert tomllib.loads(path.read_text("utf-8")) == dict(TEMPLATES)
    assert str(path) in outcome.stdout
    assert "LLMPORT_TEMPLATES" in outcome.stdout
    assert "%llmport trust" in outcome.stdout
    comments = [line for line in path.read_text("utf-8").split("\n") if line.startswith("#")]
    assert len(comments) > len(TEMPLATES)

    same = shell.run("%llmport templates write mine.toml")
    assert same.status == "ok", same.error
    assert same.stdout == outcome.stdout.replace("written:", "there already, with this text:")
    path.write_text("mine")
    again = shell.run("%llmport templates write mine.toml")
    assert again.status == "error"
    assert "nothing is overwritten" in again.error
    assert path.read_text() == "mine"


def test_the_list_tells_whose_each_template_is(shell: Kernel) -> None:
    """Each template is ours, replaced or the same, with file and line (S0-22)."""
    before = shell.run("%llmport templates").stdout
    assert all(f"{name:<21} ours" in before for name in TEMPLATES)
    path = shell.folder / "mine.toml"
    cell = f"cell = '''{TEMPLATES['cell']}'''"
    path.write_text(f"# mine\n\nmodule = 'Briefly: <<prompt>>'\n{cell}\n")
    shell.run(f"configure(templates={str(path)!r})")
    after = shell.run("%llmport templates").stdout

    assert f"{'module':<21} replaced: `{path}`, line 3" in after
    assert f"{'cell':<21} the same as ours: `{path}`, line 4" in after
    assert f"{'update':<21} ours" in after
    assert "Briefly: <<prompt>>" in shell.run("%llmport templates module").stdout
    near = shell.run("%llmport templates modul")
    assert "did you mean `module`" in near.error


def test_an_edit_counts_in_the_next_cell(shell: Kernel) -> None:
    """An edited file counts at once; a broken one is named and nothing is sent (S4-35, S0-22)."""
    path = shell.folder / "mine.toml"
    path.write_text("module = 'In the style of Ada: <<prompt>>'")
    shell.run(f"configure(templates={str(path)!r})")
    answer(shell, *["fenced(GOOD)"] * 4)
    assert shell.run(CELL).status == "ok"
    assert "style of Ada" in sent(shell)

    path.write_text("module = 'In the style of Bob: <<prompt>>'")
    assert shell.run(AGAIN).status == "ok"
    assert "style of Bob" in sent(shell)

    for broken, said in (
        ("module = 'In the style\n", "line 1"),
        ("\n\nmodul = '<<prompt>>'", "line 3: did you mean `module`?"),
        ("\nmodule = 'no wish'", "line 2 lacks `<<prompt>>`"),
    ):
        path.write_text(broken)
        outcome = shell.run(AGAIN)
        assert outcome.status == "error"
        assert outcome.name == "ConfigError"
        assert said in outcome.error
        assert "\n" not in outcome.error
        assert shell.value("script.calls") == "2"

    path.write_text("module = 'In the style of Cy: <<prompt>>'")
    assert shell.run(AGAIN).status == "ok"
    assert "style of Cy" in sent(shell)

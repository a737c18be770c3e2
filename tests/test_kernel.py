"""The magics in a real kernel, against a provider that a third party wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from awaiting import until
from kernels import Kernel, kernel

pytestmark = pytest.mark.kernel

SETUP = """
from scripted import BETTER, GOOD, HELD, PROMPT, fenced, scripted, slow
from llmport_magic import configure
configure(provider="scripted")
_manager = scripted()
script = _manager.__enter__()
"""
CELL = "%%llmport circle\nArea of a circle.\n\n>>> round(area(2), 3)\n12.566\n"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel whose provider answers what a test scripts."""
    with kernel(tmp_path / "work") as running:
        outcome = running.run(SETUP)
        assert outcome.status == "ok", outcome.error
        yield running


def answer(shell: Kernel, *expressions: str) -> None:
    """Script the next answers."""
    outcome = shell.run(f"script.answers[:] = [{', '.join(expressions)}]")
    assert outcome.status == "ok", outcome.error


def test_a_prompt_becomes_a_module_and_a_cell(shell: Kernel) -> None:
    """A prompt gives a live module, its file, and one cell with its source (S0-01, S0-04)."""
    answer(shell, "fenced(GOOD)")
    outcome = shell.run(CELL, cell_id="p1")
    assert outcome.status == "ok", outcome.shown
    assert "1 of 1 example passed" in outcome.shown
    assert shell.value("round(circle.area(1), 2)") == "3.14"
    assert shell.value("__import__('circle') is circle") == "True"
    source = (shell.folder / "circle.py").read_text(encoding="utf-8")
    first, _, body = outcome.next_cell.partition("\n")
    assert first.startswith("%%llmport_module circle --base ")
    assert body == source
    assert shell.value("circle.__file__").strip("'").endswith("circle.py")


def test_the_examples_arrive_to_the_letter(shell: Kernel) -> None:
    """IPython's `>>>` stripping and dedenting do not touch a prompt (S0-04)."""
    answer(shell, "fenced(GOOD)")
    outcome = shell.run("%%llmport circle\n    Area.\n    >>> area(0)\n    0.0\n")
    assert outcome.status == "ok", outcome.shown
    assert "    Area.\\n    >>> area(0)\\n    0.0" in shell.value("script.prompts[0]")


def test_running_again_is_free(shell: Kernel) -> None:
    """The second run selects the stored version: no call, no second cell (S0-05, S0-06)."""
    answer(shell, "fenced(GOOD)")
    shell.run(CELL, cell_id="p1")
    again = shell.run(CELL, cell_id="p1")
    assert again.status == "ok", again.shown
    assert "reused, 0 tokens" in again.shown
    assert again.next_cell == ""
    assert shell.value("script.calls") == "1"


def test_a_restarted_kernel_selects_without_a_provider(shell: Kernel) -> None:
    """After a restart the module comes from the store, and the log goes on (X-09, S0-05)."""
    answer(shell, "fenced(GOOD)")
    shell.run(CELL, cell_id="p1")
    shell.restart()
    again = shell.run("import os; os.environ['LLMPORT_PROVIDER'] = 'nobody'\n")
    again = shell.run(CELL, cell_id="p1")
    assert again.status == "ok", again.shown
    assert "reused, 0 tokens" in again.shown
    assert shell.value("round(circle.area(1), 2)") == "3.14"


def test_an_update_keeps_the_module_object(shell: Kernel) -> None:
    """`--update` changes the module in place and refreshes the notebook's names (S0-07, S0-37)."""
    answer(shell, "fenced(GOOD)", "fenced(BETTER)")
    shell.run(CELL, cell_id="p1")
    shell.run("from circle import area\nbefore = (id(circle), area)")
    update = "%%llmport circle --update\nAdd sector.\n\n>>> round(sector(2, 180), 3)\n6.283\n"
    outcome = shell.run(update, cell_id="u2")
    assert outcome.status == "ok", outcome.shown
    assert shell.value("id(circle) == before[0], area is circle.area") == "(True, True)"
    assert shell.value("round(circle.sector(2, 180), 3)") == "6.283"
    assert "def area" in shell.value("script.prompts[1]")
    diff = shell.run("%llmport diff circle")
    assert "+def sector(radius, degrees):" in diff.shown


def test_a_failed_update_leaves_the_module_working(shell: Kernel) -> None:
    """A wrong update fails the cell with expected and got, and the module stays (S0-09, S0-38)."""
    answer(shell, "fenced(GOOD)", *["fenced('def area(radius):\\n    return 1\\n')"] * 5)
    shell.run(CELL, cell_id="p1")
    outcome = shell.run("%%llmport circle --update\nBreak it.\n\n>>> area(0)\n0.0\n")
    assert outcome.status == "error"
    assert outcome.name == "VerificationError"
    assert "0.0" in outcome.error
    assert "\n" not in outcome.error
    assert shell.value("round(circle.area(1), 2)") == "3.14"
    assert "math.pi" in (shell.folder / "circle.py").read_text(encoding="utf-8")


def test_nothing_is_registered_when_no_answer_passes(shell: Kernel) -> None:
    """An impossible example ends as an honest failure, with a draft to look at (S0-26)."""
    answer(shell, *["fenced(GOOD)"] * 5)
    outcome = shell.run("%%llmport circle --tries 2\nArea.\n\n>>> area(0)\n7\n")
    assert outcome.status == "error"
    assert "nothing was registered" in outcome.error.lower()
    assert "is the example right" in outcome.error
    checks = [line for line in journal(shell.folder) if line["kind"] == "VERIFY"]
    assert "gave 0.0, expected 7" in json.dumps(checks)
    assert not (shell.folder / "circle.py").exists()
    assert outcome.next_cell == ""
    assert shell.value("script.calls") == "2"
    assert "def area" in shell.run("%llmport show circle --draft").shown


@pytest.mark.parametrize(
    "reply", ["''", "'   \\n'", "\"I'm sorry, I can't help with that.\"", "'# only a comment'"]
)
def test_an_answer_without_code_writes_nothing(shell: Kernel, reply: str) -> None:
    """An empty or refused answer fails the cell and leaves no file (S0-25)."""
    answer(shell, *[reply] * 5)
    outcome = shell.run(CELL)
    assert outcome.status == "error"
    assert not (shell.folder / "circle.py").exists()
    assert list((shell.folder / ".llmport").glob("modules/*/*")) == []


@pytest.mark.parametrize("name", ["json", "numpy", "class", "1x", "a.b", "../x", "print"])
def test_a_bad_name_writes_nothing(shell: Kernel, name: str) -> None:
    """A name that cannot be a module's fails before anything is sent or written (S0-30)."""
    outcome = shell.run(f"%%llmport {name}\nAnything.\n")
    assert outcome.status == "error"
    assert "\n" not in outcome.error
    assert shell.value("script.calls") == "0"
    assert not list(shell.folder.glob("**/*.py"))


def test_an_edited_module_cell_is_a_new_version(shell: Kernel) -> None:
    """Editing the module cell and running it registers the edit, and Run All keeps it (S0-06)."""
    answer(shell, "fenced(GOOD)")
    cell = shell.run(CELL, cell_id="p1").next_cell
    edited = cell.replace("Area of a circle.", "Area of a disc.")
    outcome = shell.run(edited, cell_id="m1")
    assert outcome.status == "ok", outcome.shown
    assert shell.value("circle.area.__doc__") == "'Area of a disc.'"
    assert shell.run(CELL, cell_id="p1").status == "ok"
    assert shell.value("circle.area.__doc__") == "'Area of a disc.'"
    assert shell.value("script.calls") == "1"


def test_a_broken_edit_leaves_the_module(shell: Kernel) -> None:
    """A module cell that does not import fails in one line and changes nothing (S0-09)."""
    answer(shell, "fenced(GOOD)")
    cell = shell.run(CELL, cell_id="p1").next_cell
    outcome = shell.run(cell + "\nraise RuntimeError('no')\n", cell_id="m1")
    assert outcome.status == "error"
    assert "\n" not in outcome.error
    assert shell.value("round(circle.area(1), 2)") == "3.14"


def test_code_that_needs_consent_is_held(shell: Kernel) -> None:
    """An answer with import-time effects comes with `--hold` and registers on the user's act."""
    answer(shell, "fenced(HELD)")
    outcome = shell.run("%%llmport circle\nArea without examples.\n", cell_id="p1")
    assert outcome.status == "ok", outcome.shown
    assert "consent" in outcome.shown
    assert "--hold" in outcome.next_cell.splitlines()[0]
    assert outcome.shown.count("needs your consent") == 1
    assert shell.value("'circle' in globals()") == "False"
    held = shell.run(outcome.next_cell, cell_id="m1")
    assert "held back" in held.shown
    assert shell.value("'circle' in globals()") == "False"
    agreed = shell.run(outcome.next_cell.replace(" --hold", "", 1), cell_id="m1")
    assert agreed.status == "ok", agreed.shown
    assert shell.value("circle.area(3)") == "3"
    assert shell.run("%%llmport circle\nArea without examples.\n", cell_id="p1").status == "ok"


def test_refused_code_is_only_text(shell: Kernel) -> None:
    """An answer that the policy refuses fails the cell; its text is kept as a draft."""
    answer(shell, "fenced('import os\\nos.system(\\'touch owned\\')\\n')")
    outcome = shell.run("%%llmport circle\nArea without examples.\n", cell_id="p1")
    assert outcome.status == "error"
    assert "refused" in outcome.error
    assert "\n" not in outcome.error
    assert not list(shell.folder.glob("owned"))
    assert outcome.next_cell == ""
    assert "os.system" in shell.run("%llmport show circle --draft").shown


def test_a_missing_package_is_named_with_its_distribution(shell: Kernel) -> None:
    """A module that needs a package is stored, not registered, and says what to install (S0-34)."""
    answer(shell, "fenced('import cv2\\n\\n\\ndef area(r):\\n    return cv2.norm(r)\\n')")
    outcome = shell.run("%%llmport circle\nArea with a library.\n")
    assert outcome.status == "error"
    assert outcome.name == "MissingPackageError"
    assert "opencv-python" in outcome.error
    assert not (shell.folder / "circle.py").exists()
    again = shell.run("%%llmport circle\nArea with a library.\n")
    assert again.name == "MissingPackageError"
    assert shell.value("script.calls") == "1"


def test_no_name_gives_a_plain_cell(shell: Kernel) -> None:
    """Without a name the answer is a plain code cell below, checked and not run."""
    answer(shell, "fenced('x = undefined_yet + 1\\n')")
    outcome = shell.run("%%llmport\nAdd one.\n", cell_id="p1")
    assert outcome.status == "ok", outcome.shown
    assert outcome.next_cell == "x = undefined_yet + 1\n"
    assert shell.value("'x' in globals()") == "False"


def test_preview_and_draft_leave_nothing_behind(shell: Kernel) -> None:
    """`--preview` sends nothing; `--draft` sends, and stores and registers nothing (S0-43)."""
    preview = shell.run("%%llmport circle --preview -p openai\nArea {{ 1 + 1 }}.\n")
    assert preview.status == "ok", preview.shown
    assert "Area 2." in preview.shown
    assert shell.value("script.calls") == "0"
    answer(shell, "fenced(GOOD)")
    draft = shell.run("%%llmport circle --draft\nArea.\n\n>>> area(0)\n0.0\n")
    assert draft.status == "ok", draft.shown
    assert "def area" in draft.shown
    assert draft.next_cell == ""
    assert shell.value("script.calls, 'circle' in globals()") == "(1, False)"
    assert not (shell.folder / "circle.py").exists()
    assert list((shell.folder / ".llmport").glob("modules/*/*")) == []


def test_an_interrupt_frees_the_cell_and_keeps_the_prompt(shell: Kernel) -> None:
    """An interrupt ends the cell in one line; the prompt is in the log, no file is left (S0-39)."""
    answer(shell, "slow(fenced(GOOD), 200)")
    request = shell.start(CELL, cell_id="p1")
    wait_for_line(shell.folder, "PROMPT")
    shell.interrupt()
    outcome = shell.finish(request)
    assert outcome.status == "error"
    assert "Interrupted" in outcome.error
    assert not (shell.folder / "circle.py").exists()
    wait_for_line(shell.folder, "RESPONSE")
    kinds = [line["kind"] for line in journal(shell.folder)]
    assert kinds[:2] == ["PROMPT", "RESPONSE"]
    statuses = [json.dumps(line) for line in journal(shell.folder) if line["kind"] == "RESPONSE"]
    assert "cancelled" in statuses[0]


def test_every_prompt_and_answer_is_in_the_log_notebook(shell: Kernel) -> None:
    """The log notebook is valid, holds prompt and code, and no key (S0-33, X-07)."""
    answer(shell, "fenced(GOOD)")
    shell.run("configure(api_key='planted-key-0123456789')")
    shell.run(CELL, cell_id="p1")
    where = shell.run("%llmport log")
    assert where.status == "ok", where.shown
    page = shell.folder / "llmport_log.ipynb"
    log = nbformat.read(page, as_version=4)
    nbformat.validate(log)
    text = page.read_text(encoding="utf-8")
    assert "Area of a circle." in text
    assert "math.pi" in text
    assert "planted-key" not in text


def test_a_notebook_without_its_store_runs(shell: Kernel) -> None:
    """Where only the notebook travelled, its module cells are used and nobody is asked."""
    answer(shell, "fenced(GOOD)")
    cell = shell.run(CELL, cell_id="p1").next_cell
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(CELL.strip()), nbformat.v4.new_code_cell(cell.strip())]
    )
    elsewhere = shell.folder.parent / "elsewhere"
    elsewhere.mkdir()
    nbformat.write(book, elsewhere / "shared.ipynb")
    with kernel(elsewhere) as other:
        other.run(SETUP)
        prompt = other.run(CELL, cell_id="p1")
        assert prompt.status == "ok", prompt.shown
        assert "no model is asked" in prompt.shown
        module = other.run(cell, cell_id="m1")
        assert module.status == "ok", module.shown
        assert other.value("round(circle.area(1), 2), script.calls") == "(3.14, 0)"
        again = other.run(CELL, cell_id="p1")
        assert "reused, 0 tokens" in again.shown


def test_unloading_undoes_everything(shell: Kernel) -> None:
    """`%unload_ext` leaves no magic, transform or comm target; loading works again (S0-40)."""
    probe = (
        "ip = get_ipython(); ["
        "'llmport' in ip.magics_manager.magics['cell'], "
        "'llmport_module' in ip.magics_manager.magics['cell'], "
        "'llmport' in ip.kernel.comm_manager.targets, "
        "any(t.__module__.startswith('llmport') for t in "
        "ip.input_transformer_manager.cleanup_transforms if hasattr(t, '__module__')), "
        "any('llmport' in type(f).__module__ for f in __import__('sys').meta_path)]"
    )
    answer(shell, "fenced(GOOD)")
    shell.run(CELL)
    assert shell.run("%unload_ext llmport_magic").status == "ok"
    probed = shell.run(probe)
    assert probed.result == "[False, False, False, False, False]", probed.shown
    assert shell.run("%load_ext llmport_magic").status == "ok"
    assert shell.run("%reload_ext llmport_magic").status == "ok"
    assert "reused" in shell.run(CELL).shown


def test_help_and_completion_know_every_option(shell: Kernel) -> None:
    """`%%llmport?` documents the options and TAB completes them (S0-36)."""
    reply = shell.client.inspect("%%llmport", 9, reply=True, timeout=60)
    text = reply["content"]["data"]["text/plain"]
    assert "--regenerate" in text
    line = "%%llmport --reg"
    reply = shell.client.complete(line, len(line), reply=True, timeout=60)
    assert "--regenerate" in reply["content"]["matches"]


def test_status_and_lists_work_without_a_key(shell: Kernel) -> None:
    """Every look-up command answers in a fresh folder (S0-36)."""
    for command in ("", "models", "config", "modules", "help", "model"):
        outcome = shell.run(f"%llmport {command}")
        assert outcome.status == "ok", (command, outcome.error)
        assert outcome.stdout.strip(), command


def journal(folder: Path) -> list[dict[str, object]]:
    """Read every line of a folder's journals; what has no end yet is still being written."""
    lines: list[dict[str, object]] = []
    for path in sorted((folder / ".llmport" / "journal").glob("*.jsonl")):
        whole, _, _ = path.read_bytes().rpartition(b"\n")
        lines += [json.loads(line) for line in whole.splitlines()]
    return lines


def wait_for_line(folder: Path, kind: str, count: int = 1) -> None:
    """Wait until the journal has so many lines of this kind: a stopped cell ends before its own."""
    until(lambda: [line["kind"] for line in journal(folder)].count(kind) >= count)

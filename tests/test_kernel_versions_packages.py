"""Missing packages in a real kernel: named, installed, and the stored module registered."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from awaiting import PATIENCE
from kernels import Kernel
from test_kernel import answer, shell

__all__ = ["shell"]
pytestmark = pytest.mark.kernel

PROMPT = "%%llmport edges\nEdges with a library.\n\n>>> double(2)\n4\n"
NEEDS = "fenced('import cv2\\n\\n\\ndef double(x):\\n    return cv2.twice(x)\\n')"


def wheel(folder: Path) -> Path:
    """Write a wheel of `opencv-python` that is small, and ours."""
    path = folder / "opencv_python-9.9.9-py3-none-any.whl"
    info = "opencv_python-9.9.9.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("cv2/__init__.py", "def twice(x):\n    return 2 * x\n")
        file.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: opencv-python\nVersion: 9.9.9\n"
        )
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    return path


def install(shell: Kernel) -> None:
    """Install the wheel into a folder on the kernel's path, with the magic that was named."""
    made, place = wheel(shell.folder), shell.folder.parent / "installed"
    shell.run(f"import sys\nsys.path.append({str(place)!r})")
    options = f"--quiet --no-index --no-deps --disable-pip-version-check --target {place}"
    done = shell.run(f"%pip install {options} {made}", timeout=3 * PATIENCE)
    assert done.status == "ok", done.shown
    assert (place / "cv2" / "__init__.py").is_file(), done.shown


@pytest.mark.parametrize("way", ["%llmport retry edges", PROMPT])
def test_after_the_install_the_module_is_registered_without_a_call(shell: Kernel, way: str) -> None:
    """A stored module waits for its package; `retry` or the next run registers it (S0-34)."""
    answer(shell, NEEDS)
    failed = shell.run(PROMPT, cell_id="p1")
    assert failed.name == "MissingPackageError"
    assert "`cv2` is not installed: run `%pip install opencv-python`" in failed.error
    assert "then `%llmport retry edges`: no model is asked" in failed.error
    assert "\n" not in failed.error
    assert (
        shell.value("'edges' in __import__('sys').modules, 'edges' in globals()")
        == "(False, False)"
    )
    assert not (shell.folder / "edges.py").exists()
    assert "v1 waits for `cv2`" in shell.run("%llmport modules").shown
    too_early = shell.run("%llmport retry edges")
    assert too_early.name == "MissingPackageError"

    install(shell)
    done = shell.run(way, cell_id="p1")

    assert done.status == "ok", done.shown
    assert "1 of 1 example passed" in done.shown
    assert shell.value("edges.double(21), script.calls") == "(42, 1)"
    assert "import cv2" in (shell.folder / "edges.py").read_text("utf-8")
    assert "v1 is current" in shell.run("%llmport modules").shown
    if way.startswith("%llmport"):
        assert done.next_cell.startswith("%%llmport_module edges --base ")
        again = shell.run(way)
        assert "edges v1 · current" in again.shown
        assert again.next_cell == ""


def test_the_log_says_that_the_import_failed(shell: Kernel) -> None:
    """A module that waits for a package leaves an IMPORT ERROR in the journal (S0-34)."""
    answer(shell, NEEDS)
    shell.run(PROMPT)
    (journal,) = (shell.folder / ".llmport" / "journal").glob("*.jsonl")
    kinds = [json.loads(line)["kind"] for line in journal.read_text("utf-8").splitlines()]
    assert "IMPORT ERROR" in kinds, kinds
    assert kinds.index("IMPORT ERROR") > kinds.index("RESPONSE")


@pytest.mark.parametrize(
    ("imports", "said"),
    [
        ("import numpy.nothing_here", "numpy.nothing_here"),
        ("from numpy import nothing_here", "cannot import name 'nothing_here'"),
        ("from . import sibling", "relative import"),
        ("from .sibling import thing", "relative import"),
    ],
)
def test_what_no_install_mends_is_the_answers_fault(shell: Kernel, imports: str, said: str) -> None:
    """A missing submodule or name, or a relative import, is no install problem (S0-34, M70)."""
    code = f"fenced('{imports}\\n\\n\\ndef double(x):\\n    return 2 * x\\n')"
    answer(shell, code, code, code)
    outcome = shell.run(PROMPT.replace("edges", "edges --tries 1"))
    assert outcome.name == "VerificationError", outcome.shown
    assert said in outcome.error
    assert "install" not in outcome.error
    assert shell.value("'edges' in __import__('sys').modules") == "False"


def test_a_package_that_is_broken_itself_is_named(shell: Kernel) -> None:
    """An error inside an installed package is the package's: nothing to install (S0-34)."""
    place = shell.folder.parent / "installed"
    (place / "brokenlib_x").mkdir(parents=True)
    (place / "brokenlib_x" / "__init__.py").write_text(
        "raise ImportError('libfoo.so: not there')\n"
    )
    shell.run(f"import sys\nsys.path.append({str(place)!r})")
    answer(shell, "fenced('import brokenlib_x\\n\\n\\ndef double(x):\\n    return 2 * x\\n')")
    outcome = shell.run(PROMPT)
    assert outcome.status == "error"
    assert "libfoo.so: not there" in outcome.error
    assert "pip install" not in outcome.error
    assert shell.value("'edges' in __import__('sys').modules") == "False"
    assert "v1" in shell.run("%llmport modules").shown


def test_a_package_that_is_gone_again_is_named(shell: Kernel) -> None:
    """A checked module whose package was removed since says what to install (S0-34)."""
    answer(shell, NEEDS)
    install(shell)
    assert shell.run(PROMPT, cell_id="p1").status == "ok"
    shell.restart()
    outcome = shell.run("%llmport rollback edges v1")
    assert outcome.name == "MissingPackageError", outcome.shown
    assert "`edges` v1 is not registered" in outcome.error
    assert "`%pip install opencv-python`" in outcome.error


def test_an_install_that_the_answer_asks_for_is_flagged_and_not_run(shell: Kernel) -> None:
    """`pip install` in an answer stays text, and unknown packages are said to be unknown (K74)."""
    answer(shell, "'Run `pip install foo-bar-utils` first.\\n' + fenced(GOOD)")
    outcome = shell.run("%%llmport circle\nArea of a circle.\n\n>>> round(area(2), 3)\n12.566\n")
    assert outcome.status == "ok", outcome.shown
    assert "`foo-bar-utils`, not known to llmport" in outcome.shown
    assert "nothing was installed" in outcome.shown

"""Missing packages met in plain Python: the error says what to install, and no half is left."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

import pytest
from scripted import fenced, scripted
from test_api import folder

from llmport_magic import llmport
from llmport_magic.errors import LLMError, MissingPackageError, VerificationError

__all__ = ["folder"]
PROMPT = "Twice.\n\n>>> twice(2)\n4"
CODE = "import {}\n\n\ndef twice(x):\n    return 2 * x\n"


def test_the_error_is_an_import_error_that_says_what_to_install(folder: Path) -> None:
    """`MissingPackageError` names module and distribution; a later call asks nobody (S0-34)."""
    with scripted(fenced(CODE.format("cv2"))) as script:
        with pytest.raises(MissingPackageError) as caught:
            llmport("circle", PROMPT, provider="scripted")
        error = caught.value
        assert isinstance(error, ImportError)
        assert isinstance(error, LLMError)
        assert (error.module, error.distribution) == ("cv2", "opencv-python")
        assert str(error) == (
            "`circle` v1 is stored, but not registered: `cv2` is not installed: run `pip install "
            "opencv-python`; then call again: no model is asked"
        )
        assert "circle" not in sys.modules
        assert not (folder / "circle.py").exists()
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("circle")

        installed = folder / "installed"
        installed.mkdir()
        (installed / "cv2.py").write_text("")
        sys.path.append(str(installed))
        try:
            assert llmport("circle", PROMPT, provider="scripted").twice(4) == 8
        finally:
            sys.path.remove(str(installed))
            sys.modules.pop("cv2", None)
        assert script.calls == 1


@pytest.mark.parametrize(
    ("name", "near"), [("reqeusts", "requests"), ("foo_bar_utils", ""), ("lodash", "")]
)
def test_an_invented_package_gets_no_command(folder: Path, name: str, near: str) -> None:
    """A package that nobody knows is said to be unknown, with the near name at most (K75)."""
    with scripted(fenced(CODE.format(name))), pytest.raises(MissingPackageError) as caught:
        llmport("circle", PROMPT, provider="scripted")

    assert caught.value.distribution is None
    assert "may not exist" in str(caught.value)
    assert "install" not in str(caught.value)
    assert (f"did you mean `{near}`?" in str(caught.value)) is bool(near)
    assert str(caught.value).endswith("; call again with `overwrite=True` for code without it")


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("from circle import nothing", "'nothing'"),
        ("import sibling", "'late'"),
        ("from .sibling import thing", "relative import"),
        ("from .. import thing", "relative import"),
    ],
)
def test_imports_in_a_circle_name_what_is_missing(folder: Path, code: str, missing: str) -> None:
    """A module that imports itself, in a circle or relatively says which name is missing (M70)."""
    (folder / "sibling.py").write_text("from circle import late\n")
    text = f"{code}\n\n\ndef twice(x):\n    return 2 * x\n\n\nlate = 1\n"
    with scripted(fenced(text)), pytest.raises(VerificationError) as caught:
        llmport("circle", PROMPT, provider="scripted", tries=1)

    assert missing in str(caught.value)
    assert "install" not in str(caught.value)
    assert not {"circle", "sibling"} & set(sys.modules)
    assert not (folder / "circle.py").exists()


def test_a_module_may_import_itself(folder: Path) -> None:
    """`import circle` in `circle` is legal Python, and gives the module itself (M70)."""
    text = "import circle\n\n\ndef twice(x):\n    return circle.factor * x\n\n\nfactor = 2\n"
    with scripted(fenced(text)):
        circle = llmport("circle", PROMPT, provider="scripted")

    assert ast.parse((folder / "circle.py").read_text())
    assert circle.twice(3) == 6
    circle.factor = 5
    assert circle.twice(3) == 15

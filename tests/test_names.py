"""A module's name shadows nothing, and a bad one is refused in one helpful line."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from llmport_magic.errors import ModuleNameError
from llmport_magic.modules.names import check_module_name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give an empty module folder."""
    path = tmp_path / "modules"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    "name", ["circle", "_x", "naïve", "größe", "circle2", "my_module", "Circle", "名前", "match"]
)
def test_good_name_is_kept(name: str, folder: Path) -> None:
    """An identifier that means nothing else is a module's name (S0-30)."""
    assert check_module_name(name, directory=folder) == name


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "a b", "a.b", "a-b", "1x", "../x", "/etc/passwd", "a/b", "a\\b", "..", ".hidden",
        "class", "None", "lambda", "list", "print", "json", "os", "JSON", "Os", "numpy", "pandas",
        "NumPy", "torch", "pytest", "IPython", "sitecustomize", "usercustomize", "conftest",
        "setup", "test", "this", "antigravity", "con", "NUL", "com1", "lpt9", "aux", "_", "__",
        "__main__", "__init__", "In", "x" * 51, "x\n", "x\0", "a;b", "$(ls)", "llmport_magic",
        "cv2", "PIL", "yaml", "sklearn",
    ],
)  # fmt: skip
def test_bad_name_is_refused(name: str, folder: Path) -> None:
    """A name that is none, or that means something else, is refused; nothing is written (S0-30)."""
    with pytest.raises(ModuleNameError) as caught:
        check_module_name(name, directory=folder)

    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "offered"),
    [("a b", "a_b"), ("a.b", "a_b"), ("../circle", "circle"), ("1x", "m_1x"), ("json", "my_json")],
)
def test_refusal_offers_a_name_that_works(name: str, offered: str, folder: Path) -> None:
    """The error offers a near name, and that name is accepted (S0-30)."""
    with pytest.raises(ModuleNameError, match=f"try `{offered}`"):
        check_module_name(name, directory=folder)

    assert check_module_name(offered, directory=folder) == offered


def test_composed_and_decomposed_names_are_one(folder: Path) -> None:
    """A name is given as Python's import sees it, in its composed form (S0-30)."""
    assert check_module_name("nai\u0308ve", directory=folder) == "na\u00efve"


def test_file_that_differs_by_case_is_a_clash(folder: Path) -> None:
    """`Circle.py` stops `circle`: a folder may move to a disk that ignores case (S0-30)."""
    (folder / "Circle.py").write_text("")

    with pytest.raises(ModuleNameError, match="case"):
        check_module_name("circle", directory=folder)
    assert check_module_name("Circle", directory=folder) == "Circle"


def test_own_module_stays_allowed_once_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of this folder that is already imported keeps its name (S0-30)."""
    module = types.ModuleType("circle")
    module.__file__ = str(folder / "circle.py")
    monkeypatch.setitem(sys.modules, "circle", module)

    assert check_module_name("circle", directory=folder) == "circle"


def test_foreign_module_that_is_imported_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that somebody imported from elsewhere is not clobbered (S0-30)."""
    module = types.ModuleType("circle")
    module.__file__ = "/elsewhere/circle.py"
    monkeypatch.setitem(sys.modules, "circle", module)

    with pytest.raises(ModuleNameError, match="already imported"):
        check_module_name("circle", directory=folder)


def test_module_elsewhere_on_the_path_is_not_hidden(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module in another folder of the import path keeps its name to itself (S0-30)."""
    (folder / "lib").mkdir()
    (folder / "lib" / "circle_of_mine.py").write_text("")
    monkeypatch.syspath_prepend(str(folder / "lib"))

    with pytest.raises(ModuleNameError, match="another folder"):
        check_module_name("circle_of_mine", directory=folder)


def test_package_folder_is_not_hidden(folder: Path) -> None:
    """A package of that name in the module folder would win the import: refused (S0-30)."""
    (folder / "circle").mkdir()
    (folder / "circle" / "__init__.py").write_text("")

    with pytest.raises(ModuleNameError, match="package"):
        check_module_name("circle", directory=folder)

"""Import names lead to distributions by a shipped table; unknown names get no command."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from llmport_magic.modules import packages
from llmport_magic.modules.packages import (
    distribution_for,
    install_hint,
    is_installed,
    missing_imports,
    nearest_known,
    well_known_names,
)


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("yaml", "PyYAML"), ("cv2", "opencv-python"), ("PIL", "Pillow"), ("bs4", "beautifulsoup4"),
        ("sklearn", "scikit-learn"), ("dotenv", "python-dotenv"), ("attr", "attrs"),
        ("sklearn.linear_model", "scikit-learn"), ("google.cloud.storage", "google-cloud-storage"),
        ("matplotlib.pyplot", "matplotlib"), ("Crypto.Cipher", "pycryptodome"),
        ("hydra", "hydra-core"),
    ],
)  # fmt: skip
def test_import_name_has_its_distribution(name: str, distribution: str) -> None:
    """A well-known import name leads to what is really to be installed (S0-34)."""
    assert distribution_for(name) == distribution


def test_table_is_dated_and_large() -> None:
    """The shipped table says when it was reviewed and holds the packages people use (S0-34)."""
    table = tomllib.loads(Path(packages._TABLE).read_text("utf-8"))

    assert table["reviewed"].startswith("20")
    assert len(table["distributions"]) >= 300
    assert {"numpy", "pandas", "pil"} <= well_known_names()


@pytest.mark.parametrize("name", ["foo_bar_utils", "requestz", "huggingface_cli", "left_pad"])
def test_unknown_package_gets_no_command(name: str) -> None:
    """A name that nobody knows is said to be unknown, and never to be installed (S0-34)."""
    hint = install_hint(name)

    assert "may not exist" in hint
    assert "install" not in hint


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("reqeusts", "requests"), ("numpi", "numpy"), ("panda", "pandas"), ("Numpy", "numpy"),
     ("skleran", "sklearn"), ("matplotlibb", "matplotlib")],
)  # fmt: skip
def test_typo_is_named(typo: str, meant: str) -> None:
    """A name one letter from a well-known one is told with the near name (S0-34)."""
    assert nearest_known(typo) == meant
    assert f"did you mean `{meant}`" in install_hint(typo)


def test_known_package_gets_its_command() -> None:
    """A known package that is missing is told with the line to run (S0-34)."""
    assert install_hint("cv2") == "`cv2` is not installed: run `%pip install opencv-python`"


def test_submodule_of_an_installed_package_is_no_install_problem() -> None:
    """A missing submodule of what is installed gets no install command (S0-34)."""
    hint = install_hint("yaml.nothing_here")

    assert "pip" not in hint
    assert "installed `yaml`" in hint


def test_missing_imports_are_found_once_with_line_and_distribution() -> None:
    """Each missing package is reported once, at its first import (S0-34)."""
    source = "import math, cv2\nimport os.path\nimport cv2.aruco\nfrom nowhere_at_all import x\n"

    found = missing_imports(source)

    assert [(m.name, m.line, m.distribution) for m in found] == [
        ("cv2", 1, "opencv-python"),
        ("nowhere_at_all", 4, None),
    ]
    assert found[0].message == "line 1: `cv2` is not installed: run `%pip install opencv-python`"


def test_guarded_imports_are_not_missing() -> None:
    """What the code can do without is not missing; a handler's own fallback neither (S0-34)."""
    source = (
        "from typing import TYPE_CHECKING\n"
        "try:\n    import nowhere_a\nexcept ImportError:\n    import nowhere_b\n"
        "if TYPE_CHECKING:\n    import nowhere_c\n"
        "try:\n    import nowhere_d\nexcept KeyError:\n    pass\n"
        "from . import sibling\n"
    )

    assert [m.name for m in missing_imports(source)] == ["nowhere_d"]


def test_import_in_a_function_is_deferred() -> None:
    """An import that runs at the call does not stop the module from importing (S0-34)."""
    source = "def f():\n    import nowhere_a\n    return nowhere_a\n"

    assert [(m.name, m.deferred) for m in missing_imports(source)] == [("nowhere_a", True)]
    assert not missing_imports(source + "import nowhere_a\n")[0].deferred


def test_sibling_modules_are_found(tmp_path: Path) -> None:
    """Modules in the module folder and registered ones are not missing (S0-34)."""
    (tmp_path / "sibling_of_mine.py").write_text("")
    source = "import sibling_of_mine\nimport registered_one\n"

    found = missing_imports(source, search_path=[str(tmp_path)], own_names={"registered_one"})

    assert found == ()
    assert [m.name for m in missing_imports(source)] == ["sibling_of_mine", "registered_one"]


def test_looking_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a package is installed is told without running any of it (S0-43)."""
    (tmp_path / "runs_when_imported.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert is_installed("runs_when_imported")
    assert is_installed("runs_when_imported.sub")

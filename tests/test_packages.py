"""Import names lead to distributions by a shipped table; unknown names get no command."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llmport_magic.modules import packages
from llmport_magic.modules.installs import install_notices, unknown_installs
from llmport_magic.modules.packages import (
    distribution_for,
    install_hint,
    is_installed,
    missing_imports,
    nearest_known,
    well_known_names,
)

TODAY = date(2026, 11, 21)


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
    table = packages._table()

    assert abs((TODAY - date.fromisoformat(packages.reviewed())).days) < 100
    assert len(table.distributions) >= 4_000
    assert len(table.well_known) >= 1_000
    assert {"numpy", "pandas", "pil", "boto3", "langgraph"} <= well_known_names()


def test_table_is_read_when_it_is_first_asked() -> None:
    """Loading the package and the extension reads nothing of the table."""
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'llmport_magic')\n"
        "from llmport_magic.modules import packages\n"
        "print(packages._table.cache_info().misses, packages.reviewed()[:2])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["0", "20"]


@pytest.mark.parametrize(
    "name",
    ["foo_bar_utils", "requestz", "huggingface_cli", "left_pad", "lodash", "express", "axios",
     "react", "google.cloud.invented", "azure.nothing_known", "pandas_auto_clean",
     "sklearn_utils_pro"],
)  # fmt: skip
def test_unknown_package_gets_no_command(name: str) -> None:
    """A name that nobody knows, invented or npm's, gets no install command (S0-34, K75)."""
    hint = install_hint(name)

    assert "may not exist" in hint
    assert "install" not in hint


_LETTERS = "abcdefghijklmnopqrstuvwxyz_0"


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(packages._table().distributions)),
    at=st.integers(0, 40),
    letter=st.sampled_from(_LETTERS),
    act=st.sampled_from(["add", "drop", "change", "swap", "prefix", "suffix"]),
)
def test_no_name_near_a_known_one_gets_a_command(name: str, at: int, letter: str, act: str) -> None:
    """One letter from any of 4,600 names, or with a word more, is no known name (K75, S0-34)."""
    at %= len(name)
    near = {
        "add": name[:at] + letter + name[at:],
        "drop": name[:at] + name[at + 1 :],
        "change": name[:at] + letter + name[at + 1 :],
        "swap": name[:at] + name[at : at + 2][::-1] + name[at + 2 :],
        "prefix": f"{letter}{name}",
        "suffix": f"{name}_utils",
    }[act]
    top = near.partition(".")[0]
    assume(near.isidentifier() and not packages._row(near) and not is_installed(top))

    assert distribution_for(near) is None
    assert "may not exist" in install_hint(near)
    assert "run `" not in install_hint(near)
    hints = packages.install_hints([near, "cv2"])
    assert hints.startswith("`cv2` is not installed: run `pip install opencv-python`; ")
    assert hints.count("run `") == 1


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("reqeusts", "requests"), ("numpi", "numpy"), ("panda", "pandas"), ("Numpy", "numpy"),
     ("skleran", "sklearn"), ("matplotlibb", "matplotlib"), ("pydanticc", "pydantic"),
     ("scipi", "scipy"), ("torhc", "torch")],
)  # fmt: skip
def test_typo_is_named(typo: str, meant: str) -> None:
    """A name one letter from a well-known one is told with the near name only (S0-34, K75)."""
    assert nearest_known(typo) == meant
    hint = install_hint(typo)
    assert f"`{typo}` is not a package known to llmport" in hint
    assert hint.endswith(f"did you mean `{meant}`?")
    assert "install" not in hint


def test_known_package_gets_its_command() -> None:
    """A known package that is missing is told with the line to run in a shell (S0-34)."""
    assert install_hint("cv2") == "`cv2` is not installed: run `pip install opencv-python`"


def test_in_a_notebook_the_command_is_a_magic(monkeypatch: pytest.MonkeyPatch) -> None:
    """In IPython the line installs into the kernel's own environment (S0-34)."""
    monkeypatch.setattr("IPython.get_ipython", object)

    assert install_hint("cv2") == "`cv2` is not installed: run `%pip install opencv-python`"


def test_what_is_not_known_names_the_way_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package to be installed is followed by `retry`, an unknown one by asking anew (S0-34)."""
    monkeypatch.setattr(packages, "in_ipython", lambda: True)

    def said(*names: str) -> str:
        return str(packages.lacking("stored", "circle", names))

    assert said("nowhere_at_all").endswith("run the cell with `--regenerate` for code without it")
    assert said("cv2").endswith("; then `%llmport retry circle`: no model is asked")
    assert "--regenerate" in said("cv2", "nowhere_at_all")
    assert "retry" not in said("nowhere_at_all")


def test_several_packages_are_one_command() -> None:
    """What is missing and known is installed by one line, what is unknown by none (S0-34)."""
    assert packages.install_hints(["cv2", "dlib", "nowhere_at_all"]) == (
        "`cv2` and `dlib` are not installed: run `pip install opencv-python dlib`; "
        "`nowhere_at_all` is not a package known to llmport; it may not exist"
    )


@pytest.mark.parametrize(
    ("source", "distribution"),
    [
        ("from google.cloud import storage", "google-cloud-storage"),
        ("import google.cloud.storage.blob", "google-cloud-storage"),
        ("from azure.storage.blob import BlobClient", "azure-storage-blob"),
        ("from google.cloud import invented", None),
        ("import azure.invented", None),
    ],
)
def test_part_of_a_shared_namespace_has_its_own_package(
    source: str, distribution: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands below `google` or `azure` leads to its own distribution, or to none (S0-34)."""
    monkeypatch.setattr(packages, "is_installed", lambda *_, **__: False)

    (found,) = missing_imports(source)

    assert found.distribution == distribution
    assert ("install `" in found.message or "pip install" in found.message) is bool(distribution)


def test_installs_that_an_answer_asks_for_are_flagged() -> None:
    """Unknown packages that a text says to install are named, known ones not (K74)."""
    text = (
        "First `pip install foo-bar-utils requests[socks]>=2 -U`, then\n"
        "```\n$ uv pip install 'left-pad-py' numpy==1.0\n```\n"
        "pip install -r wanted.txt\npip install them.\nWe pip install bar-foo-x and go.\n"
        "!pip install evil-one\n# python -m pip install evil-two\n"
    )

    assert unknown_installs(text) == (
        "foo-bar-utils", "left-pad-py", "bar-foo-x", "evil-one", "evil-two",
    )  # fmt: skip
    (notice,) = install_notices(text)
    assert "`foo-bar-utils`" in notice
    assert "nothing was installed" in notice
    assert install_notices("Run `pip install pandas matplotlib python-dateutil pyyaml`.") == ()


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
    assert found[0].message == "line 1: `cv2` is not installed: run `pip install opencv-python`"


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

"""What ships is what works: the wheel, built from a clean copy and installed elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
EXTENSION = "share/jupyter/labextensions/llmport-magic"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def _run(command: list[str], folder: Path, **variables: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    return output


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of what is under version control."""
    if not (REPOSITORY / "node_modules").is_dir():
        pytest.skip("no `node_modules`: run `npm ci`")
    clone = tmp_path_factory.mktemp("clone")
    tracked = _run(["git", "ls-files", "-z"], REPOSITORY).split("\0")
    for name in filter(None, tracked):
        if (REPOSITORY / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, clone / name)
    # The packages of the front end are big and only read: links will do.
    shutil.copytree(
        REPOSITORY / "node_modules",
        clone / "node_modules",
        symlinks=True,
        copy_function=_link_or_copy,
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"]
    _run(build, clone, PATH=path, npm_config_offline="true")
    (built,) = (clone / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone into a new environment, with no Node to be found."""
    environment = tmp_path_factory.mktemp("installed") / "env"
    _run([sys.executable, "-m", "venv", "--without-pip", str(environment)], environment.parent)
    found = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(found), "--disable-pip-version-check"]
    install = [*pip, "install", "--no-deps", "--no-index", str(wheel)]
    _run(install, environment, PATH=str(found.parent))
    # The dependencies are those of the tests' own environment: a `.pth` file in a folder that a
    # `.pth` file adds is not read, so the editable installation there stays out of the way.
    own = _run(
        [str(found), "-c", "import sysconfig as s; print(s.get_path('purelib'))"], wheel.parent
    )
    shared = Path(pytest.__file__).parents[1]
    (Path(own.strip()) / "dependencies.pth").write_text(f"{shared}\n", "utf-8")
    return found


def test_wheel_carries_what_it_needs(wheel: Path) -> None:
    """The catalogue, the type marker and the built panel are in the wheel, once (X-02, X-03)."""
    names = zipfile.ZipFile(wheel).namelist()
    shared = f"llmport_magic-{version('llmport-magic')}.data/data/{EXTENSION}"
    tracked = _run(["git", "ls-files", "llmport_magic"], REPOSITORY).splitlines()

    assert "llmport_magic/py.typed" in names
    assert set(tracked) <= set(names)
    assert f"{shared}/package.json" in names
    assert f"{shared}/install.json" in names
    assert any(name.startswith(f"{shared}/static/remoteEntry.") for name in names)
    assert any(name.startswith(f"{shared}/schemas/") for name in names)
    assert not [name for name in names if name.startswith("llmport_magic/labextension")]
    assert not [name for name in names if "node_modules" in name or name.endswith(".pyc")]


def test_installed_package_works_elsewhere(python: Path, tmp_path: Path) -> None:
    """Away from the source, the installed package loads and knows its providers (X-03)."""
    code = """
import llmport_magic, json
from llmport_magic.llm.registry import provider_rows
from llmport_magic.llm.weights import catalogue
from llmport_magic.modules.packages import distribution_for
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "llmport_magic")
print(json.dumps({"file": llmport_magic.__file__, "version": llmport_magic.__version__,
    "providers": [row.name for row in provider_rows()], "weights": sorted(catalogue()),
    "known": distribution_for("sklearn"),
    "magic": shell.find_cell_magic("llmport") is not None}))
"""
    said = _run([str(python), "-c", code], tmp_path).splitlines()
    # A warning of somebody's may stand around it.
    told = json.loads(next(line for line in said if line.startswith("{")))

    assert Path(told["file"]).is_relative_to(python.parents[1])
    assert told["version"] == json.loads((REPOSITORY / "package.json").read_text())["version"]
    assert {"openai", "local", "embedded"} <= set(told["providers"])
    assert told["weights"] == ["large", "small"]
    assert told["known"] == "scikit-learn"
    assert told["magic"] is True


def test_panel_is_enabled_and_ok(python: Path, tmp_path: Path) -> None:
    """`jupyter labextension list` finds the installed panel, enabled and OK (X-03)."""
    pytest.importorskip("jupyterlab")
    code = "import sys; from jupyterlab.labextensions import main; sys.argv[1:] = ['list']; main()"
    listed = _run(
        [str(python), "-c", code],
        tmp_path,
        JUPYTER_CONFIG_DIR=str(tmp_path / "config"),
        JUPYTER_DATA_DIR=str(tmp_path / "data"),
        NO_COLOR="1",
    )
    (line,) = (line for line in listed.splitlines() if "llmport-magic" in line)

    assert "enabled" in line
    assert "OK" in line
    assert str(python.parents[1] / "share") in listed

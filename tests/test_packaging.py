"""The wheel: the panel and the catalogue are in it, and installing it needs no Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
EXTENSION = REPOSITORY / "llmport_magic" / "labextension"
SHARED = "share/jupyter/labextensions/llmport-magic"
LARGEST_BUNDLE = 150_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel of the tree as it is, with the panel as it was built."""
    if not (EXTENSION / "package.json").is_file():
        pytest.skip("the panel is not built: run `npm ci && npm run build:prod`")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=REPOSITORY,
        env=os.environ | {"HATCH_JUPYTER_BUILDER_SKIP_NPM": "1"},
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_the_wheel_carries_panel_and_catalogue(wheel: Path) -> None:
    """The built panel and the provider catalogue are in the wheel, each once (X-03)."""
    names = zipfile.ZipFile(wheel).namelist()
    shared = [name.partition(".data/data/")[2] for name in names]
    assert f"{SHARED}/package.json" in shared
    assert f"{SHARED}/install.json" in shared
    assert f"{SHARED}/schemas/llmport-magic/panel.json" in shared
    assert [name for name in shared if name.startswith(f"{SHARED}/static/remoteEntry.")]
    assert [name for name in names if name.startswith("llmport_magic/llm/catalog/")]
    assert "llmport_magic/py.typed" in names
    assert not [name for name in names if name.startswith("llmport_magic/labextension/")]


def test_the_version_is_the_one_of_the_panel(wheel: Path) -> None:
    """`package.json` holds the one version of package and panel (X-03)."""
    version = json.loads((REPOSITORY / "package.json").read_text(encoding="utf-8"))["version"]
    assert wheel.name.split("-")[1] == version
    built = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))
    assert built["version"] == version


def test_an_installed_wheel_needs_no_node(wheel: Path, tmp_path: Path) -> None:
    """The wheel installs without Node, and JupyterLab shows it enabled and OK (X-03)."""
    pytest.importorskip("jupyterlab")
    prefix, empty = tmp_path / "prefix", tmp_path / "bin"
    empty.mkdir()
    environment = os.environ | {
        "PATH": str(empty),
        "JUPYTER_PATH": str(prefix / "share" / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
    }
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run(
        [*pip, "--ignore-installed", "--prefix", str(prefix), str(wheel)],
        env=environment,
        check=True,
    )
    assert shutil.which("node", path=str(empty)) is None
    listed = subprocess.run(
        [sys.executable, "-m", "jupyterlab.labextensions", "list"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    shown = listed.stdout + listed.stderr
    part = shown[shown.index(str(prefix)) :]
    line = next(line for line in part.splitlines() if "llmport-magic" in line)
    assert "enabled" in line
    assert "OK" in line


def test_the_panel_is_small() -> None:
    """The panel's scripts stay below 150 kB (S0-42)."""
    if not EXTENSION.is_dir():
        pytest.skip("the panel is not built: run `npm ci && npm run build:prod`")
    scripts = (EXTENSION / "static").glob("*.js")
    assert sum(script.stat().st_size for script in scripts) < LARGEST_BUNDLE

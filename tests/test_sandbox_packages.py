"""Packages that the notebook can import can be imported in the sandbox, cold and warm."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from awaiting import PATIENCE
from sandboxed import confined, posix

pytestmark = posix

# Run in a Python of its own, which has the site-packages of the test: `run` checks in each mode.
PROGRAM = """
import asyncio, json, sys
sys.path[:0] = json.loads(sys.argv[1])
from llmport_magic.modules.sandbox import sandboxing
from llmport_magic.modules.sandbox import wrapping
from llmport_magic.modules.sandbox import warming
from llmport_magic.modules.sandbox import fork
from llmport_magic.modules.sandbox.job import SandboxJob
fork._ANSWER_SECONDS = {patience!r}
{prepare}

async def run(warm):
    job = SandboxJob(
        source={source!r}, module_name="m", examples=list(enumerate({examples!r})), warm=warm,
        preload={preload!r}, search_path=tuple(sys.path), seconds={patience!r},
    )
    if warm:
        warming.prepare(job, sandboxing._CHILD, wrapping.offered())
        assert warming.ready({patience!r}), warming._STATE.notes
    result = await sandboxing.run(job)
    values = [seen.value or seen.error for seen in result.observations.values()]
    return [result.status, result.warm, values, str(result.failure)]

print("=" + json.dumps([asyncio.run(run(warm)) for warm in (False, True)]))
warming.close_worker()
"""
REPOSITORY = Path(__file__).parents[1]


def _in_a_python(
    source: str,
    *examples: str,
    path: tuple[str, ...] = (),
    preload: tuple[str, ...] | None = None,
    prepare: str = "",
    python: str = sys.executable,
    **environment: str,
) -> list[str]:
    """Check a source cold and warm in a fresh Python; give the values, which are the same."""
    program = PROGRAM.format(
        source=textwrap.dedent(source),
        examples=list(examples),
        preload=preload,
        prepare=prepare,
        patience=PATIENCE,
    )
    done = subprocess.run(
        [python, "-c", program, json.dumps(list(path))],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nowhere", **environment},
    )
    assert done.returncode == 0, done.stderr
    cold, warm = json.loads(done.stdout.rpartition("=")[2])
    assert cold[:2] == ["ok", False], cold
    assert warm[:2] == ["ok", True], warm
    assert cold[2] == warm[2]
    return list(cold[2])


def _user_site(base: Path) -> Path:
    """Give the site-packages of a user base, in the way that this Python lays it out."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = base / "lib" / version / "site-packages"
    site.mkdir(parents=True)
    return site


def _outside_a_venv() -> str:
    """Give the Python under the virtual environment: only that one reads a user site."""
    python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}"
    if not python.exists():
        pytest.skip("the Python under this environment is not where it should be")
    return str(python)


def _ours() -> tuple[str, ...]:
    """Give the path of this package and of what it stands on."""
    return (str(REPOSITORY), *(entry for entry in sys.path if entry.endswith("site-packages")))


@confined
def test_a_user_site_is_read(tmp_path: Path) -> None:
    """Packages of `pip install --user` are there, with the `.pth` files of that folder (S0-43)."""
    site = _user_site(tmp_path / "base")
    project = tmp_path / "project" / "src"
    for folder in (site / "of_user", project / "by_pth", tmp_path / "egg" / "by_egg_link"):
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(f"NAME = {folder.name!r}\n")
    (site / "project.pth").write_text(f"{project}\n")
    (site / "easy-install.pth").write_text(f"{tmp_path / 'egg'}\n")
    (site / "by-egg-link.egg-link").write_text(f"{tmp_path / 'egg'}\n.")

    values = _in_a_python(
        "import by_egg_link, by_pth, of_user",
        "of_user.NAME",
        "by_pth.NAME",
        "by_egg_link.NAME",
        path=_ours(),
        python=_outside_a_venv(),
        PYTHONUSERBASE=str(tmp_path / "base"),
    )

    assert values == ["'of_user'", "'by_pth'", "'by_egg_link'"]


@confined
def test_an_editable_install_with_a_hook_in_a_user_site_works(tmp_path: Path) -> None:
    """An editable install that is on no path, only known to an import hook, is found (S0-43)."""
    site = _user_site(tmp_path / "base")
    package = tmp_path / "elsewhere" / "hooked"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("NAME = 'hooked'\n")
    (site / "__editable___hooked_1_finder.py").write_text(
        "import sys\n"
        "from importlib.util import spec_from_file_location\n"
        f"MAPPING = {{'hooked': {str(package)!r}}}\n"
        "class Finder:\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        if name in MAPPING:\n"
        "            file = MAPPING[name] + '/__init__.py'\n"
        "            return spec_from_file_location(name, file)\n"
        "def install():\n"
        "    sys.meta_path.append(Finder)\n"
    )
    (site / "__editable__.hooked-1.pth").write_text(
        "import __editable___hooked_1_finder; __editable___hooked_1_finder.install()\n"
    )

    values = _in_a_python(
        "import hooked",
        "hooked.NAME",
        path=_ours(),
        python=_outside_a_venv(),
        PYTHONUSERBASE=str(tmp_path / "base"),
    )

    assert values == ["'hooked'"]


@confined
def test_a_prefix_laid_out_as_condas_works(tmp_path: Path) -> None:
    """A Python whose prefix holds `bin`, `lib` and `conda-meta` finds its own packages (S0-43)."""
    prefix = tmp_path / "miniforge" / "envs" / "work"
    done = subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=False)
    assert done.returncode == 0
    (prefix / "conda-meta").mkdir()
    package = next((prefix / "lib").glob("python*")) / "site-packages" / "of_conda"
    package.mkdir()
    (package / "__init__.py").write_text("from pathlib import Path\nHERE = Path(__file__)\n")
    (package / "data.txt").write_text("data")

    values = _in_a_python(
        "import of_conda, sys",
        "of_conda.HERE.with_name('data.txt').read_text()",
        f"sys.prefix == {str(prefix)!r}",
        path=_ours(),
        python=str(prefix / "bin" / "python"),
    )

    assert values == ["'data'", "True"]


@confined
def test_the_kernels_path_namespace_packages_and_c_extensions_work(tmp_path: Path) -> None:
    """What is reached by `sys.path` only is found, in pieces too, and C extensions load (S0-43)."""
    for number in (1, 2):
        piece = tmp_path / f"lib{number}" / "in_pieces"
        piece.mkdir(parents=True)
        (piece / f"piece{number}.py").write_text(f"NUMBER = {number}\n")
    source = """
        import numpy
        from in_pieces import piece1, piece2
        def total():
            return int(numpy.linalg.det(numpy.eye(2))) + piece1.NUMBER + piece2.NUMBER
        """

    for preload in ((), ("numpy", "in_pieces.piece1")):
        values = _in_a_python(
            source,
            "total()",
            path=(str(tmp_path / "lib1"), str(tmp_path / "lib2"), *_ours()),
            preload=preload,
        )
        assert values == ["4"]


@confined
def test_libraries_of_the_kernel_are_loaded_ahead_from_the_kernels_file(tmp_path: Path) -> None:
    """With no setting the worker has what the kernel has, and never a file of the same name."""
    (tmp_path / "PIL").mkdir()
    (tmp_path / "PIL" / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    prepare = f"import numpy, PIL\nsys.path.insert(0, {str(tmp_path)!r})"

    values = _in_a_python("import numpy", "len(numpy.ones(3))", path=_ours(), prepare=prepare)

    assert values == ["3"]

"""Modules in the running process: loaded, updated in place, and put back when that fails."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import linecache
import os
import pickle
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from awaiting import PATIENCE

from llmport_magic.errors import ModuleNameError, StoreError, VerificationError
from llmport_magic.modules import loader

NAME = "llmport_test_circle"
FIRST = "SCALE = 1\n\ndef area(r):\n    return SCALE * r\n\ndef edge(r):\n    return r\n"
SECOND = "SCALE = 2\n\ndef area(r):\n    return SCALE * r * 10\n"


@pytest.fixture(autouse=True)
def _clean_modules() -> Iterator[None]:
    before = set(sys.modules)
    yield
    loader.uninstall()
    for name in set(sys.modules) - before:
        if name.startswith("llmport_test_"):
            del sys.modules[name]


def register(folder: Path, source: str, name: str = NAME, **more: object) -> loader.LoadReport:
    """Register a text and write its file, as the pipeline does."""
    path = folder / f"{name}.py"
    return loader.register(
        name,
        source,
        path,
        commit=lambda: path.write_text(source, encoding="utf-8", newline="\n"),
        **more,  # type: ignore[arg-type]
    )


def test_a_module_is_imported_everywhere(tmp_path: Path) -> None:
    """`import` gives the registered module from any folder (S0-01, S0-02, S0-29)."""
    report = register(tmp_path, FIRST)

    module = importlib.import_module(NAME)
    assert module is report.module
    assert (module.__name__, module.__file__) == (NAME, str(tmp_path / f"{NAME}.py"))
    assert module.area(3) == 3
    assert str(tmp_path) not in sys.path
    assert loader.registered_source(NAME) == FIRST


def test_the_tools_of_python_work_on_it(tmp_path: Path) -> None:
    """Spec, source, tracebacks and pickle work as for any module (S0-28)."""
    source = (
        "from __future__ import annotations\nimport dataclasses\n"
        "@dataclasses.dataclass\nclass Point:\n    x: int\n\ndef fail():\n    raise OSError\n"
    )
    module = register(tmp_path, source).module

    assert module.__spec__ is not None
    assert module.__spec__.origin == module.__file__
    assert inspect.getsource(module.fail) == "def fail():\n    raise OSError\n"
    assert pickle.loads(pickle.dumps(module.Point(3))) == module.Point(3)
    with pytest.raises(OSError) as caught:  # noqa: PT011
        module.fail()
    assert str(caught.traceback[-1].statement).strip() == "raise OSError"
    assert dataclasses.is_dataclass(module.Point)


def test_reload_works_from_any_folder(tmp_path: Path) -> None:
    """`importlib.reload` runs the file's text again, also when it changed (S0-28, S0-29)."""
    module = register(tmp_path, FIRST).module
    (tmp_path / f"{NAME}.py").write_text(SECOND)

    assert importlib.reload(module) is module
    assert module.area(1) == 20


def test_an_update_keeps_the_module_object(tmp_path: Path) -> None:
    """After an update everybody who holds the module has the new code, and only that (S0-07)."""
    module = register(tmp_path, FIRST).module
    module.added_by_user = "kept"

    report = register(tmp_path, SECOND)

    assert report.module is module
    assert importlib.import_module(NAME) is module
    assert module.area(1) == 20
    assert report.removed == ("edge",)
    assert not hasattr(module, "edge")
    assert module.added_by_user == "kept"
    module.SCALE = 5
    assert module.area(1) == 50
    assert inspect.getsource(module.area) == "def area(r):\n    return SCALE * r * 10\n"
    assert linecache.getline(str(module.__file__), 1) == "SCALE = 2\n"


def test_names_of_the_user_are_rebound(tmp_path: Path) -> None:
    """Functions and classes taken from the module become the new ones, the rest is told (S0-07)."""
    extra = "class Ball:\n    pass\n\n"
    module = register(tmp_path, FIRST + extra).module
    ball, old_area = module.Ball(), module.area
    mine = {
        "area": module.area,
        "a": module.area,
        "Ball": module.Ball,
        "edge": module.edge,
        "ball": ball,
        "scale": module.SCALE,
        "_": module.area,
        "_3": module.area,
        "own": lambda: 1,
    }

    report = register(tmp_path, SECOND + extra, namespaces=(mine,))

    assert report.rebound == ("Ball", "a", "area")
    assert mine["a"] is mine["area"] is module.area
    assert mine["Ball"] is module.Ball
    assert report.stale == ("edge",)
    assert report.instances == ("ball",)
    assert mine["ball"] is ball
    assert mine["_"] is mine["_3"] is old_area
    assert len(report.lines()) == 4
    assert old_area(1) == 2


def test_what_a_module_imported_is_not_rebound(tmp_path: Path) -> None:
    """A function that the module only imported is left alone in the user's namespace (S0-07)."""
    register(tmp_path, "from os.path import join\n")
    mine = {"join": os.path.join}

    report = register(tmp_path, "join = None\n", namespaces=(mine,))

    assert (report.rebound, report.stale) == ((), ())
    assert mine["join"] is os.path.join


def test_a_cached_function_is_rebound(tmp_path: Path) -> None:
    """A decorated function is found by identity as a plain one is (S0-07)."""
    source = "import functools\n@functools.lru_cache\ndef f():\n    return {}\n"
    mine = {"f": register(tmp_path, source.format(1)).module.f}

    report = register(tmp_path, source.format(2), namespaces=(mine,))

    assert report.rebound == ("f",)
    assert mine["f"]() == 2


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        ("x = 1\ndef broken(:\n", "SyntaxError: invalid syntax (line 2)"),
        ("SCALE = 9\nraise RuntimeError('no')\n", "RuntimeError: no (line 2)"),
        ("import llmport_test_nope\n", "No module named 'llmport_test_nope' (line 1"),
        ("SCALE = 9\nimport sys\nsys.exit()\n", "SystemExit: the module calls exit(None)"),
        ("SCALE = 9\nraise BaseException('odd')\n", "BaseException: odd (line 2)"),
        ("SCALE = 9\nraise GeneratorExit\n", "GeneratorExit (line 2)"),
        ("from .part import thing\n", "`from .part import thing`"),
        (f"from {NAME} import nothing\n", "nothing"),
        ("x = '\0'\n", "null"),
        ("(" * 5000 + ")" * 5000, "parenthes"),
        ("def f(): f()\nf()\n", "RecursionError"),
        ("class E(Exception):\n def __str__(s): raise OSError\nraise E\n", "E (line 3)"),
    ],
)
def test_a_failed_update_leaves_the_old_module(tmp_path: Path, source: str, finding: str) -> None:
    """Whatever the new text raises, module and file stay and the finding is kept (S0-09)."""
    module = register(tmp_path, FIRST).module
    before = dict(vars(module))

    with pytest.raises(VerificationError) as caught:
        register(tmp_path, source)

    assert finding in caught.value.findings[0]
    assert caught.value.source == source
    assert vars(module) == before
    assert sys.modules[NAME] is module
    assert (tmp_path / f"{NAME}.py").read_text() == FIRST
    assert loader.registered_source(NAME) == FIRST
    assert inspect.getsource(module.edge) == "def edge(r):\n    return r\n"


@pytest.mark.parametrize("source", ["import llmport_test_nope\n", "raise SystemExit\n", "def (\n"])
def test_a_failed_first_load_leaves_nothing(tmp_path: Path, source: str) -> None:
    """A module that does not execute leaves no half module and no file (S0-09, S0-34)."""
    with pytest.raises(VerificationError):
        register(tmp_path, source)

    assert NAME not in sys.modules
    assert not list(tmp_path.glob("*.py"))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(NAME)


def test_an_import_error_is_the_cause(tmp_path: Path) -> None:
    """The missing name can be read off the original error (S0-34)."""
    with pytest.raises(VerificationError) as caught:
        register(tmp_path, "import llmport_test_nope.part\n")

    assert isinstance(caught.value.__cause__, ImportError)
    assert caught.value.__cause__.name == "llmport_test_nope"


def test_code_that_fails_only_in_place_is_rolled_back(tmp_path: Path) -> None:
    """A text that passes as a candidate and fails in the live module changes nothing (S0-09)."""
    module = register(tmp_path, FIRST).module
    module.tripwire = True
    source = "SCALE = 7\nextra = 1\nif 'tripwire' in globals():\n    raise RuntimeError('hit')\n"

    with pytest.raises(VerificationError, match="hit"):
        register(tmp_path, source)

    assert (module.SCALE, module.area(2)) == (1, 2)
    assert not hasattr(module, "extra")
    assert module.tripwire
    assert (tmp_path / f"{NAME}.py").read_text() == FIRST
    assert loader.registered_source(NAME) == FIRST


def test_an_interrupt_passes_after_the_rollback(tmp_path: Path) -> None:
    """Interrupting a module's import puts everything back and interrupts the cell (S0-39)."""
    module = register(tmp_path, FIRST).module

    with pytest.raises(KeyboardInterrupt):
        register(tmp_path, "SCALE = 9\nraise KeyboardInterrupt\n")

    assert sys.modules[NAME] is module
    assert module.SCALE == 1


def test_a_file_that_cannot_be_written_undoes_the_update(tmp_path: Path) -> None:
    """Module and file never differ: where the write fails the old code stays (S0-09)."""
    module = register(tmp_path, FIRST).module

    def refuse() -> None:
        raise StoreError("full")

    path = tmp_path / f"{NAME}.py"
    with pytest.raises(StoreError):
        loader.register(NAME, SECOND, path, commit=refuse)
    with pytest.raises(StoreError):
        loader.register("llmport_test_other", SECOND, tmp_path / "other.py", commit=refuse)

    assert module.area(1) == 1
    assert "llmport_test_other" not in sys.modules


def test_another_module_of_that_name_is_not_replaced(tmp_path: Path) -> None:
    """A name that is imported from elsewhere is refused (S0-30)."""
    import json

    with pytest.raises(ModuleNameError, match="imported already"):
        register(tmp_path, FIRST, name="json")

    assert sys.modules["json"] is json


def test_a_module_imported_in_the_ordinary_way_is_updated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file imported before we knew of it becomes ours without a second object (S0-05)."""
    (tmp_path / f"{NAME}.py").write_text(FIRST)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(NAME)

    report = register(tmp_path, SECOND)

    assert report.module is module
    assert report.removed == ("edge",)
    assert isinstance(module.__spec__.loader, loader.ModuleLoader)  # type: ignore[union-attr]


def test_modules_of_one_folder_find_each_other(tmp_path: Path) -> None:
    """A module may import what lies beside it, wherever that is (S0-29)."""
    (tmp_path / "llmport_test_part.py").write_text("value = 4\n")

    module = register(tmp_path, "from llmport_test_part import value\n").module

    assert module.value == 4


def test_circular_imports_are_findings(tmp_path: Path) -> None:
    """A circle of imports names what is missing and leaves neither half behind (S0-09)."""
    (tmp_path / "llmport_test_part.py").write_text(f"from {NAME} import later\n")

    with pytest.raises(VerificationError, match="later"):
        register(tmp_path, "import llmport_test_part\nlater = 1\n")

    assert not {NAME, "llmport_test_part"} & set(sys.modules)


def test_a_sibling_never_keeps_the_candidate(tmp_path: Path) -> None:
    """What an update imports for the first time sees the live module (S0-07)."""
    module = register(tmp_path, FIRST).module
    (tmp_path / "llmport_test_part.py").write_text(f"import {NAME} as circle\n")

    register(tmp_path, "import llmport_test_part as part\n" + SECOND)

    assert module.part.circle is module


def test_a_module_runs_on_the_calling_thread(tmp_path: Path) -> None:
    """The text executes on the thread that registers it."""
    module = register(tmp_path, "import threading\nran_on = threading.get_ident()\n").module

    assert module.ran_on == threading.get_ident()


def test_unloading_takes_the_finders_out(tmp_path: Path) -> None:
    """After unloading, import works as before and loading twice adds nothing (S0-40)."""
    before = list(sys.meta_path)
    register(tmp_path, FIRST)
    loader.install()
    assert len(sys.meta_path) == len(before) + 2

    loader.uninstall()

    assert sys.meta_path == before
    assert loader.registered_source(NAME) is None


def test_autoreload_does_not_load_it_again(tmp_path: Path) -> None:
    """IPython's autoreload takes an updated module for up to date (S0-07)."""
    from IPython.extensions.autoreload import ModuleReloader

    reloader = ModuleReloader()
    reloader.enabled = True
    reloader.deduper_reloader.enabled = False
    counting = "import sys\nsys.llmport_test_runs = getattr(sys, 'llmport_test_runs', 0) + 1\n"
    register(tmp_path, counting)
    reloader.check()
    module = register(tmp_path, counting + "x = 2\n").module
    later = Path(str(module.__file__)).stat().st_mtime + 9
    os.utime(str(module.__file__), (later, later))
    runs = sys.llmport_test_runs  # type: ignore[attr-defined]

    loader.tell_autoreload(reloader, NAME, module)
    reloader.check()

    assert sys.llmport_test_runs == runs  # type: ignore[attr-defined]
    os.utime(str(module.__file__), (later + 9, later + 9))
    reloader.check()
    assert sys.llmport_test_runs == runs + 1  # type: ignore[attr-defined]
    del sys.llmport_test_runs  # type: ignore[attr-defined]
    loader.tell_autoreload(object(), NAME, types.ModuleType(NAME))


_SAME_SECOND = """
import subprocess, sys
from pathlib import Path
from llmport_magic.modules import loader
from llmport_magic.modules.store import ModuleStore, NewVersion
assert not sys.dont_write_bytecode
store, seen = ModuleStore(sys.argv[1]), []
for n in range(10, 30):
    new = NewVersion(name="circle", source=f"x = {n}\\n", key=f"{n:064x}")
    version = store.add(new)
    report = loader.register("circle", version.source, store.path("circle"),
                             commit=lambda: store.write_current(version))
    run = [sys.executable, "-c", "import circle; print(circle.x)"]
    other = subprocess.run(run, cwd=sys.argv[1], capture_output=True, text=True, check=True)
    seen.append((report.module.x, int(other.stdout)))
assert list(Path(sys.argv[1], "__pycache__").glob("circle.*.pyc"))
print(seen)
"""


def test_two_texts_of_one_second_both_run(tmp_path: Path) -> None:
    """Same size, same second, bytecode switched on: 20 of 20 run the new text (S0-07, M71)."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    out = subprocess.run(
        [sys.executable, "-c", _SAME_SECOND, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=3 * PATIENCE,
    )

    assert out.stdout.strip() == str([(n, n) for n in range(10, 30)])

"""The current file: atomic, inside its folder, in UTF-8, and never somebody else's."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from awaiting import PATIENCE

from llmport_magic import files
from llmport_magic.errors import ConflictError, StoreError
from llmport_magic.modules.store import ModuleStore, NewVersion, Version, version_key


def version(store: ModuleStore, source: str, name: str = "circle") -> Version:
    """Store a version."""
    key = version_key(name, "", source, {})
    return store.add(NewVersion(name=name, source=source, key=key))


@pytest.fixture
def store(tmp_path: Path) -> ModuleStore:
    """Give an empty store."""
    return ModuleStore(tmp_path)


@pytest.fixture(params=[True, False], ids=["dir_fd", "paths"])
def any_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run once as on POSIX and once as on Windows."""
    if not request.param:
        monkeypatch.setattr(files, "_BY_FD", False)


@pytest.mark.usefixtures("any_system")
def test_the_file_is_utf8_with_lf(tmp_path: Path) -> None:
    """Umlauts and emoji in text, name and folder are written as UTF-8 with LF (S0-02, X-08)."""
    folder = tmp_path / "Prüfung 日本"
    folder.mkdir()
    store = ModuleStore(folder)

    path = store.write_current(version(store, "x = '🎈ü'\r\n", "naïve"))

    assert path == folder / "naïve.py"
    assert path.read_bytes() == "x = '🎈ü'\n".encode()
    assert store.current_text("naïve") == "x = '🎈ü'\n"


def test_the_locale_does_not_matter(tmp_path: Path) -> None:
    """Under `LANG=C` a module with umlauts is stored and imported (S0-02)."""
    program = (
        "import sys; from llmport_magic.modules.store import *\n"
        "store = ModuleStore(sys.argv[1])\n"
        "new = NewVersion(name='circle', source='x = \"\\u00fc\\U0001f388\"\\n', key='0' * 64)\n"
        "store.write_current(store.add(new))\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    run = [sys.executable, "-c", program, str(tmp_path)]
    subprocess.run(run, env=environment, check=True, timeout=PATIENCE)

    check = "import circle; print(ascii(circle.x))"
    out = subprocess.run(
        [sys.executable, "-c", check],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )

    assert out.stdout.split() == [b"'\\xfc\\U0001f388'"]


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    """`module_dir` may name a folder that is not there yet (S0-29)."""
    store = ModuleStore(tmp_path / "gen" / "deep")

    assert store.write_current(version(store, "x = 1\n")).is_file()


def test_a_file_of_the_user_is_not_replaced(store: ModuleStore) -> None:
    """A text that is not stored is never overwritten (S0-06)."""
    made = version(store, "x = 1\n")
    store.write_current(made)
    store.path("circle").write_text("mine = 1\n")

    with pytest.raises(ConflictError, match="left as it is"):
        store.write_current(made)

    assert store.path("circle").read_text() == "mine = 1\n"
    store.adopt("circle")
    store.write_current(made)
    assert store.current_text("circle") == "x = 1\n"


@pytest.mark.usefixtures("any_system")
@pytest.mark.parametrize("kind", ["link", "dangling", "directory"])
def test_only_a_regular_file_is_written(store: ModuleStore, tmp_path: Path, kind: str) -> None:
    """A link or directory in the file's place is refused and nothing is written (S0-30)."""
    outside = tmp_path / "outside.py"
    made = version(store, "x = 1\n")
    if kind == "link":
        outside.write_text("theirs\n")
    if kind == "directory":
        store.path("circle").mkdir()
    else:
        store.path("circle").symlink_to(outside)

    with pytest.raises(StoreError, match="Move it away"):
        store.write_current(made)

    assert not outside.exists() or outside.read_text() == "theirs\n"
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name")
@pytest.mark.usefixtures("any_system")
def test_a_pipe_does_not_hang_the_store(store: ModuleStore) -> None:
    """A FIFO in the file's place is refused at once."""
    os.mkfifo(store.path("circle"))

    with pytest.raises(StoreError):
        store.current_text("circle")


def test_a_module_folder_that_is_a_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module folder that leads elsewhere is refused with both paths (S0-30)."""
    (tmp_path / "work").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "work" / "gen").symlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "work")

    with pytest.raises(StoreError, match="elsewhere"):
        ModuleStore("gen")
    with pytest.raises(StoreError, match="elsewhere"):
        ModuleStore(Path("gen") / "inner")


@pytest.mark.usefixtures("any_system")
def test_a_text_that_the_user_saves_during_the_write_is_kept(
    store: ModuleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor that saves while the new text is on its way to the disk wins (M67)."""
    path = store.write_current(version(store, "x = 1\n"))
    newer = version(store, "x = 2\n")
    real, here = os.fsync, threading.get_ident()

    def save(descriptor: int) -> None:
        real(descriptor)
        if threading.get_ident() == here:  # another test may have left a thread running
            path.write_text("x = 'mine'\n")

    monkeypatch.setattr(os, "fsync", save)

    with pytest.raises(ConflictError, match="did not write"):
        store.write_current(newer)

    assert path.read_text() == "x = 'mine'\n"
    assert not list(store.directory.glob("*.tmp"))


@pytest.mark.usefixtures("any_system")
def test_a_folder_swapped_during_the_write_is_noticed(
    store: ModuleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that becomes a link in the middle of a write gets nothing at the link's end."""
    outside = tmp_path / "outside"
    outside.mkdir()
    inside = ModuleStore(tmp_path / "gen")
    made = version(inside, "x = 1\n")
    real, here = os.fsync, threading.get_ident()

    def swap(descriptor: int) -> None:
        real(descriptor)
        if threading.get_ident() == here and not (tmp_path / "moved").exists():
            (tmp_path / "gen").rename(tmp_path / "moved")
            (tmp_path / "gen").symlink_to(outside)

    monkeypatch.setattr(os, "fsync", swap)

    with pytest.raises((StoreError, OSError)):
        inside.write_current(made)

    assert list(outside.iterdir()) == []


def test_replacing_is_tried_again(store: ModuleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that an editor or scanner holds for a moment on Windows is replaced anyway (X-08)."""
    made, real, calls = version(store, "x = 1\n"), os.replace, []

    def busy(*args: object, **more: object) -> None:
        calls.append(args)
        if len(calls) < 3:
            raise PermissionError(13, "in use")
        real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", busy)
    store.write_current(made)

    assert store.current_text("circle") == "x = 1\n"


def test_a_refused_write_leaves_the_old_file(
    store: ModuleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the file cannot be replaced the old text stays and no leftover does (S0-09)."""
    store.write_current(version(store, "x = 1\n"))
    second = version(store, "x = 2\n")

    def never(*_: object, **__: object) -> None:
        raise PermissionError(13, "in use")

    monkeypatch.setattr(os, "replace", never)
    with pytest.raises(StoreError, match="cannot be written"):
        store.write_current(second)

    assert store.current_text("circle") == "x = 1\n"
    assert not list(store.directory.glob("*.tmp"))


def test_each_text_has_a_later_second(store: ModuleStore) -> None:
    """Texts of one size written in one second differ in time, so no stale bytecode runs (S0-07)."""
    times = []
    for n in range(4):
        store.write_current(version(store, f"x = {n}\n"))
        times.append(int(store.path("circle").stat().st_mtime))

    assert times == sorted(set(times))


def test_stale_bytecode_goes(store: ModuleStore) -> None:
    """Bytecode of the module goes with its old text, that of others stays (S0-07)."""
    cache = store.directory / "__pycache__"
    cache.mkdir()
    for name in (
        "circle.cpython-311.pyc",
        "circle.cpython-313.opt-1.pyc",
        "circles.cpython-311.pyc",
    ):
        (cache / name).write_bytes(b"")

    store.write_current(version(store, "x = 1\n"))

    assert [file.name for file in cache.iterdir()] == ["circles.cpython-311.pyc"]


def test_selecting_the_current_text_touches_nothing(store: ModuleStore) -> None:
    """Running a notebook again does not rewrite a file that is current (S0-05)."""
    made = version(store, "x = 1\n")
    before = store.write_current(made).stat()

    after = store.write_current(made).stat()

    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_file_in_no_encoding_is_an_error_with_a_way_on(store: ModuleStore) -> None:
    """A file that is not text is not guessed at."""
    store.path("circle").write_bytes(b"x = '\xff\xfe'\n")

    with pytest.raises(StoreError, match="save it as UTF-8"):
        store.current_text("circle")


@pytest.mark.parametrize("name", ["open", "write", "fsync", "stat", "replace", "link", "mkdir"])
def test_every_file_operation_may_fail_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whichever call fails, the file is the old or the new text and versions stay whole (S0-09)."""
    real = getattr(os, name)
    for turn in range(12):
        place = tmp_path / f"{turn}"
        place.mkdir()
        store = ModuleStore(place)
        store.write_current(version(store, "x = 1\n"))
        left = [turn]

        def fail_once(*args: object, _left: list[int] = left, **more: object) -> object:
            _left[0] -= 1
            if _left[0] == -1:
                raise OSError(5, "Input/output error")
            return real(*args, **more)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail_once)
            with contextlib.suppress(StoreError, ConflictError):
                store.write_current(version(store, "x = 2\n"))

        fresh = ModuleStore(place)
        assert fresh.current_text("circle") in {"x = 1\n", "x = 2\n"}
        assert fresh.write_current(version(fresh, "x = 2\n")).read_text() == "x = 2\n"
        numbers = [each.number for each in fresh.versions("circle")]
        assert numbers == sorted(set(numbers))
        assert numbers[0] == 1
        assert not list(place.rglob("*.tmp"))

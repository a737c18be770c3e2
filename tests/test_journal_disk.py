"""The journal when the disk is full, slow, read-only, or is not what it seems."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from awaiting import PATIENCE, soon

from llmport_magic.errors import StoreError
from llmport_magic.files import Folder, state_dir
from llmport_magic.log import journal as journal_module
from llmport_magic.log.events import Event, Kind
from llmport_magic.log.journal import Journal
from llmport_magic.log.pages import Pages
from llmport_magic.log.reader import read_session, sessions


def event(text: str = "hello", kind: Kind = Kind.NOTE, run: str = "run", **data: object) -> Event:
    """Make an event."""
    return Event(kind=kind, run=run, module="circle", provider="mock", text=text, data=data)


def texts(directory: Path) -> list[str]:
    """Give the texts of all sessions."""
    return [each.text for path in sessions(directory) for each in read_session(path)[0]]


@pytest.mark.parametrize("step", [os.strerror(28), "short"])
def test_a_full_disk_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Without space events wait in memory, one warning is given, then all are written (S0-31)."""
    journal, real = Journal(tmp_path), os.write
    journal.append_sync(event("before"))

    def full(descriptor: int, data: bytes) -> int:
        if step == "short":
            return real(descriptor, data[: len(data) // 2])
        raise OSError(28, step)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        notices = [journal.append_sync(event(f"{n}")) for n in range(3)]
        assert texts(tmp_path) == ["before"]
        assert journal.path.read_bytes().endswith(b"\n")
    journal.append_sync(event("after"))

    assert [bool(notice) for notice in notices] == [True, False, False]
    assert "kept in memory" in str(notices[0])
    assert texts(tmp_path) == ["before", "0", "1", "2", "after"]


def test_what_waits_in_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that stays full costs the oldest entries in the end, and that is said."""
    monkeypatch.setattr(journal_module, "_RING", 2000)
    journal = Journal(tmp_path)
    journal.append_sync(event("before"))

    def full(*_: object) -> int:
        raise OSError(28, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        notices = [journal.append_sync(event(f"{n}")) for n in range(20)]
    journal.append_sync(event("after"))

    assert any("oldest entries are lost" in str(notice) for notice in notices)
    assert texts(tmp_path)[-3:] == ["18", "19", "after"]


@pytest.mark.parametrize("number", [30, 13, 1])
async def test_a_folder_that_cannot_be_written_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """On a read-only file system the log goes to the user's own folder and says where (S0-31)."""
    real = Folder.open

    def refuse(self: Folder, *args: object, **more: object) -> int:
        if self.path.is_relative_to(tmp_path / "work"):
            raise OSError(number, os.strerror(number))
        return real(self, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Folder, "open", refuse)
    (tmp_path / "work").mkdir()
    journal = Journal(tmp_path / "work")

    notice = await journal.append(event("kept"))

    assert str(journal.path) in str(notice)
    assert journal.path.is_relative_to(state_dir())
    assert await journal.append(event("more")) is None
    assert [each.text for each in read_session(journal.path)[0]] == ["kept", "more"]


@pytest.mark.parametrize("how", ["refuses", "late", "hangs"])
async def test_a_disk_that_is_slow_or_cannot_sync_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Where syncing fails or takes too long, the log goes on elsewhere with all of it (S0-31)."""
    journal, real, release = Journal(tmp_path), os.fsync, threading.Event()
    journal.append_sync(event("before"))
    if how != "refuses":
        monkeypatch.setattr(journal_module, "_SLOW", 0.2)
    first = journal.path.stat()

    def bad(descriptor: int) -> None:
        if not os.path.samestat(os.fstat(descriptor), first):
            return real(descriptor)
        if how == "refuses":
            raise OSError(5, "Input/output error")
        release.wait(0.25 if how == "late" else PATIENCE)
        return None

    monkeypatch.setattr(os, "fsync", bad)
    notices = []
    for text in ("one", "two"):
        late = how == "late"
        notice = journal.append_sync(event(text)) if late else await journal.append(event(text))
        notices.append(str(notice))
    release.set()

    assert str(state_dir()) in " ".join(notices)
    both = [each for folder in journal.folders for each in texts_in(folder)]
    assert {"before", "one", "two"} == set(both)
    assert "two" in texts_in(journal.folders[1])
    assert ("one" in texts_in(journal.folders[1])) == (how != "late")


async def test_what_had_not_begun_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event whose writing was never begun is on disk when it is acknowledged (S0-31)."""
    journal, release = Journal(tmp_path), threading.Event()
    journal._thread().submit(release.wait, PATIENCE)
    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "_SLOW", 0.2)
        writing = asyncio.create_task(journal.append(event("late")))
        await soon(lambda: journal._moved)

    assert "does not answer" in str(await writing)
    release.set()
    assert texts_in(journal.folders[1]) == ["late"]


def texts_in(folder: Folder) -> list[str]:
    """Give the texts of all sessions of a journal folder."""
    files = [folder.path / name for name in folder.names() if name.endswith(".jsonl")]
    return [each.text for path in files for each in read_session(path)[0]]


def test_leftovers_of_killed_kernels_go(tmp_path: Path) -> None:
    """Half-written files that a kill left are deleted by the next session (S0-33)."""
    journal = Journal(tmp_path)
    journal.append_sync(event("x" * 300_000))
    left = [journal.path.parent / "blobs", journal.path.parent, tmp_path]
    for folder in left:
        (folder / ".llmport-1-aa.tmp").write_text("half")
        os.utime(folder / ".llmport-1-aa.tmp", (1e9, 1e9))

    Journal(tmp_path).append_sync(event())
    Pages(tmp_path, journal).flush()

    assert not list(tmp_path.rglob(".llmport-*.tmp"))


def test_a_deleted_folder_is_made_again(tmp_path: Path) -> None:
    """When the folder is deleted while we run, the next event makes it anew (S0-33)."""
    import shutil

    journal = Journal(tmp_path)
    journal.append_sync(event("gone"))
    shutil.rmtree(tmp_path / ".llmport")

    assert journal.append_sync(event("kept")) is None

    assert texts(tmp_path) == ["kept"]
    assert (tmp_path / ".llmport" / ".gitignore").exists()


@pytest.mark.parametrize("what", ["file", "folder", "pipe", "directory", "later"])
def test_nothing_is_written_through_a_link(tmp_path: Path, what: str) -> None:
    """A link, pipe or directory in the journal's place is refused with its path (S0-33)."""
    outside = tmp_path / "outside"
    outside.mkdir()
    place = tmp_path / "work"
    journal = Journal(place)
    place.mkdir()
    if what == "folder":
        (place / ".llmport").mkdir()
        (place / ".llmport" / "journal").symlink_to(outside)
    elif what == "later":
        journal.append_sync(event())
        journal.path.unlink()
        journal.path.symlink_to(outside / "x")
    else:
        journal.path.parent.mkdir(parents=True)
        if what == "file":
            journal.path.symlink_to(outside / "x")
        elif what == "pipe":
            os.mkfifo(journal.path)
        else:
            journal.path.mkdir()

    with pytest.raises(StoreError, match="Move it away"):
        journal.append_sync(event())

    assert list(outside.iterdir()) == []


async def test_it_works_where_paths_are_all_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `dir_fd`, as on Windows, journal, texts and pages are the same (X-08)."""
    from llmport_magic import files

    monkeypatch.setattr(files, "_BY_FD", False)
    place = tmp_path / "Prüfung 日本"
    place.mkdir()
    journal = Journal(place)
    pages = Pages(place, journal)

    assert await journal.append(event("ü" * 300_000, Kind.RESPONSE)) is None
    assert await journal.append(event("last")) is None
    pages.changed()
    pages.close()

    assert texts(place) == ["ü" * 300_000, "last"]
    assert "last" in (place / "llmport_log.ipynb").read_text("utf-8")
    assert not list(place.rglob("*.tmp"))


@pytest.mark.parametrize("name", ["open", "write", "fsync", "stat", "replace", "link", "mkdir"])
def test_every_file_operation_may_fail_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whichever call fails, once, no acknowledged event is lost and nothing is raised (S0-31)."""
    real = getattr(os, name)
    for turn in range(12):
        place = tmp_path / str(turn)
        place.mkdir()
        calls = iter(range(10_000))

        def fail_once(
            *args: object, _calls: object = calls, _turn: int = turn, **more: object
        ) -> object:
            if next(_calls) == _turn:  # type: ignore[call-overload]
                raise OSError(5, "Input/output error")
            return real(*args, **more)

        journal = Journal(place)
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail_once)
            for n in range(4):
                journal.append_sync(event(f"{n}"))
        journal.append_sync(event("end"))

        found = {text for folder in journal.folders for text in texts_in(folder)}
        assert found == {"0", "1", "2", "3", "end"}, (name, turn)


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be synced")
def test_what_is_acknowledged_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut each acknowledged event, its text and its folder are there (S0-31)."""
    synced: dict[int, int] = {}
    real = os.fsync

    def note(descriptor: int) -> None:
        real(descriptor)
        found = os.fstat(descriptor)
        synced[found.st_ino] = found.st_size

    monkeypatch.setattr(os, "fsync", note)
    journal = Journal(tmp_path)
    for n in range(3):
        journal.append_sync(event(f"{n}", Kind.PART), commit=False)
        journal.append_sync(event("x" * 300_000 + f"{n}"))
        assert synced[journal.path.stat().st_ino] == journal.path.stat().st_size

    for path in (tmp_path, *(tmp_path / ".llmport" / "journal").rglob("*")):
        assert path.stat().st_ino in synced, path
    for folder in (tmp_path / ".llmport", journal.path.parent):
        assert folder.stat().st_ino in synced

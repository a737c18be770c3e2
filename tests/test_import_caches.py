"""What was installed a moment ago is found, whatever other threads import meanwhile."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

import pytest

from llmport_magic.modules.import_caches import forget_folders
from llmport_magic.modules.packages import missing_imports

PACKAGE = Path(__file__).parents[1] / "llmport_magic"


class Meanwhile:
    """A finder at whose turn another thread forgets the folders, too, once."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def find_spec(self, name: str, target: object = None) -> None:
        """Find nothing."""

    def invalidate_caches(self) -> None:
        """Be forgotten, as the other thread does meanwhile."""
        if not self.threads:
            self.threads.append(threading.Thread(target=importlib.invalidate_caches))
            self.threads[0].start()
            self.threads[0].join()


@pytest.fixture
def broken_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Let another thread remove an entry halfway, and another finder stand behind it."""
    finder = Meanwhile()
    monkeypatch.setitem(sys.path_importer_cache, str(tmp_path / "before"), finder)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.path_importer_cache, str(tmp_path / "gone"), None)
    return finder


def test_another_thread_may_forget_the_folders_meanwhile(broken_into: Meanwhile) -> None:
    """Two checks at once tell what is missing, although Python's own call fails then."""
    found = missing_imports("import json\nimport nowhere_to_be_found\n")

    assert broken_into.threads
    assert [missing.name for missing in found] == ["nowhere_to_be_found"]


def test_pythons_own_call_fails_then(broken_into: Meanwhile) -> None:
    """What `forget_folders` is there for is still so."""
    with pytest.raises(KeyError):
        importlib.invalidate_caches()

    forget_folders()


def test_nobody_else_forgets_the_folders() -> None:
    """The package calls Python's function in one place only."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "invalidate_caches(" in path.read_text("utf-8")
    }

    assert found == {"modules/import_caches.py"}

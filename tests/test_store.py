"""The module store: versions, ancestry, drafts, signatures and what damaged files do."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from awaiting import PATIENCE
from hypothesis import given
from hypothesis import strategies as st

from llmport_magic.errors import ModuleNotStoredError, StoreError
from llmport_magic.files import Folder
from llmport_magic.modules.store import (
    ModuleStore,
    NewVersion,
    StoreWarning,
    Version,
    version_id,
    version_key,
)
from llmport_magic.modules.version import from_record, to_record

_ADDER = """
import sys
from llmport_magic.modules.store import ModuleStore, NewVersion, version_key
store = ModuleStore(sys.argv[1])
for n in range(15):
    text = f"# {sys.argv[2]}\\n" + f"x = {n}\\n" * 50
    key = version_key("circle", "", f"{sys.argv[2]} {n}", {})
    store.add(NewVersion(name="circle", source=text, key=key))
"""


def new(source: str, prompt: str = "p", **more: object) -> NewVersion:
    """Make a version of `circle` that is not stored yet."""
    key = more.pop("key", None) or version_key("circle", str(more.get("parent") or ""), prompt, {})
    return NewVersion(name="circle", source=source, key=str(key), prompt=prompt, **more)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> ModuleStore:
    """Give an empty store."""
    return ModuleStore(tmp_path)


def record_of(store: ModuleStore, number: int) -> Path:
    """Give the record file of a version."""
    return store.directory / ".llmport" / "modules" / "circle" / f"v{number:04d}.json"


def test_a_version_is_found_by_its_key_in_a_new_process(store: ModuleStore, tmp_path: Path) -> None:
    """A stored version is found again from its prompt alone, with all it was made from (S0-05)."""
    made = store.add(
        new("x = 1\n", provider="mock", model="m", usage={"prompt_tokens": 3}, cost=0.5)
    )

    found = ModuleStore(tmp_path).by_key("circle", version_key("circle", "", "p", {}))

    assert found == made
    assert (made.number, made.origin, made.model, made.cost) == (1, "prompt", "m", 0.5)
    assert made.id == version_id(made.key, made.source)


def test_the_key_knows_no_ambient_settings() -> None:
    """A key depends on name, parent, prompt and the cell's own options, in any order (S0-05)."""
    key = version_key("circle", "", "p", {"a": "1", "b": "2"})

    assert key == version_key("circle", None, "p\n", {"b": "2", "a": "1"})
    others = {
        version_key("square", "", "p", {"a": "1", "b": "2"}),
        version_key("circle", "x", "p", {"a": "1", "b": "2"}),
        version_key("circle", "", "q", {"a": "1", "b": "2"}),
        version_key("circle", "", "p", {"a": "1"}),
    }
    assert key not in others
    assert len(others) == 4


def test_every_text_stays_retrievable(store: ModuleStore) -> None:
    """Regenerating keeps each text; the newest one is what the prompt stands for (S0-06)."""
    texts = ["x = 1\n", "x = 2\n", "x = 1\n"]
    versions = [store.add(new(text)) for text in texts]

    assert [version.source for version in store.versions("circle")] == texts
    assert store.by_key("circle", versions[0].key) == versions[2]
    assert store.add(new("x = 1\n")) == versions[2]
    assert store.find("circle", "v2") == versions[1]
    assert store.find("circle", versions[1].id[:12]) == versions[1]
    assert store.find("circle", "v9") is None


def test_the_newest_hand_edit_follows_the_chain(store: ModuleStore) -> None:
    """A prompt's version leads to the newest edit made on it or on one of its edits (S0-06)."""
    root = store.add(new("x = 1\n"))
    first = store.add(new("x = 2\n", "", parent=root.id, origin="cell"))
    second = store.add(new("x = 3\n", "", parent=first.id, origin="cell"))
    update = store.add(new("x = 4\n", "u", parent=root.id, origin="update"))
    store.add(new("x = 5\n", "", parent=update.id, origin="cell"))

    assert store.newest_edit(root) == second
    assert store.newest_edit(second) is None
    assert store.newest_edit(first) == second
    assert store.lineage(second) == (second, first, root)


def test_a_planted_circle_of_parents_ends(store: ModuleStore) -> None:
    """Records that name each other as parents do not hang the store."""
    one = store.add(new("x = 1\n"))
    two = store.add(new("x = 2\n", "q", parent=one.id))
    file = record_of(store, 1)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"parent": two.id}))

    fresh = ModuleStore(store.directory)

    assert len(fresh.lineage(fresh.versions("circle")[1])) == 2


def test_text_is_stored_with_one_kind_of_line_end(store: ModuleStore) -> None:
    """CRLF, CR, a BOM and missing or doubled last lines are the same text (X-08)."""
    made = store.add(new("\ufeffx = 'ü'\r\ny = 2\rz = 3"))

    assert made.source == "x = 'ü'\ny = 2\nz = 3\n"
    assert store.by_text("circle", "x = 'ü'\ny = 2\nz = 3\n\n\n") == (made,)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"v": 2}',
        b'{"v": 1, "sha256": "../../x"}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_record_is_left_out_with_its_name(store: ModuleStore, damage: bytes) -> None:
    """A record that is not ours any more is skipped with a warning that names it (X-09)."""
    store.add(new("x = 1\n"))
    kept = store.add(new("x = 2\n"))
    record_of(store, 1).write_bytes(damage)
    fresh = ModuleStore(store.directory)

    with pytest.warns(StoreWarning, match="v0001.json"):
        found = fresh.versions("circle")

    assert found == (kept,)
    assert fresh.add(new("x = 3\n")).number == 3


@pytest.mark.parametrize(
    "change",
    [
        {"name": "square"},
        {"number": 7},
        {"options": []},
        {"prompt": 3},
        {"id": "0" * 16},
        {"verdict": "passed"},
        {"cost": "free"},
        {"key": None},
        {"created": "yesterday"},
    ],
)
def test_a_record_with_a_wrong_field_is_not_used(
    store: ModuleStore, change: dict[str, object]
) -> None:
    """Every field of a record is checked, as anybody may have written it."""
    store.add(new("x = 1\n"))
    file = record_of(store, 1)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))

    with pytest.warns(StoreWarning):
        assert ModuleStore(store.directory).versions("circle") == ()


def test_a_text_that_was_changed_is_never_used(store: ModuleStore) -> None:
    """A stored text whose hash differs is left out, and storing it again repairs it (S0-06)."""
    made = store.add(new("x = 1\n"))
    record_of(store, 1).with_name(f"{made.source_hash}.py").write_text("import os\n")
    fresh = ModuleStore(store.directory)

    with pytest.warns(StoreWarning):
        assert fresh.by_key("circle", made.key) is None
    assert fresh.add(new("x = 1\n")).source == "x = 1\n"
    assert [version.number for version in fresh.versions("circle")] == [1, 2]


def test_two_processes_get_two_versions(tmp_path: Path) -> None:
    """Two kernels that store at once each get a number and their own text, whole (S0-33)."""
    command = [sys.executable, "-c", _ADDER, str(tmp_path)]
    running = [subprocess.Popen([*command, who]) for who in ("one", "two")]
    assert [process.wait(PATIENCE) for process in running] == [0, 0]

    found = ModuleStore(tmp_path).versions("circle")

    assert [version.number for version in found] == list(range(1, 31))
    assert len({version.id for version in found}) == 30
    assert all(version.source.count("\n") == 51 for version in found)
    assert not list(tmp_path.rglob("*.tmp"))


def test_no_hard_links_is_no_obstacle(store: ModuleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without hard links numbers are still given out once (X-08)."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "link", refuse)

    assert [store.add(new(f"x = {n}\n")).number for n in range(3)] == [1, 2, 3]
    assert ModuleStore(store.directory).versions("circle") == store.versions("circle")


def test_a_full_disk_is_one_clear_refusal(
    store: ModuleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing can be written, nothing half is left and the error says where."""
    kept = store.add(new("x = 1\n"))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StoreError, match="No space left"):
            store.add(new("x = 2\n"))

    assert ModuleStore(store.directory).versions("circle") == (kept,)
    assert not list(store.directory.rglob("*.tmp"))


def test_half_a_character_cannot_be_stored(store: ModuleStore) -> None:
    """A lone surrogate is refused with a sentence, not written."""
    with pytest.raises(StoreError, match="half a character"):
        store.add(new("x = '\ud800'\n"))

    assert store.versions("circle") == ()


def test_drafts_are_kept_apart(store: ModuleStore) -> None:
    """An answer that did not pass is kept, and is never a version (S0-43)."""
    store.keep_draft("circle", "x = 1\n")
    last = store.keep_draft("circle", "x = 2\n", prompt="p")

    assert store.draft("circle") == last
    assert len(store.drafts("circle")) == 2
    assert store.versions("circle") == ()
    assert store.names() == []


def test_names_are_those_with_versions(store: ModuleStore) -> None:
    """Only names that have a readable version are listed."""
    store.add(new("x = 1\n"))
    (store.directory / ".llmport" / "modules" / "not-a-name").mkdir()

    assert store.names() == ["circle"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a.b"])
def test_a_name_cannot_lead_out_of_the_store(store: ModuleStore, name: str) -> None:
    """A name with a path in it is refused (S0-30)."""
    with pytest.raises(StoreError):
        store.versions(name)


def test_a_foreign_file_becomes_version_zero(store: ModuleStore) -> None:
    """A file that we did not make is told apart, and its text is kept as version 0 (S0-05)."""
    store.path("circle").write_bytes(b"# -*- coding: latin-1 -*-\r\nx = '\xfc'\r\n")
    assert store.foreign_text("circle") == "# -*- coding: utf-8 -*-\nx = 'ü'\n"

    adopted = store.adopt("circle")

    assert (adopted.number, adopted.origin) == (0, "file")
    assert store.foreign_text("circle") is None
    assert store.adopt("circle") == adopted
    assert store.add(new("x = 1\n")).number == 1


def test_adopting_nothing_says_so(store: ModuleStore) -> None:
    """Adopting a file that is not there names its path (S0-08)."""
    with pytest.raises(ModuleNotStoredError, match=r"circle\.py"):
        store.adopt("circle")


def test_a_folder_of_ours_that_is_a_link_is_refused(store: ModuleStore, tmp_path: Path) -> None:
    """Nothing is stored through a planted link (S0-30)."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / ".llmport").symlink_to(outside)

    with pytest.raises(StoreError, match="is a link"):
        store.add(new("x = 1\n"))

    assert list(outside.iterdir()) == []


def test_leftovers_of_killed_processes_are_swept(tmp_path: Path) -> None:
    """Old temporary files go; those of a running process stay."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old, young = (tmp_path / f".llmport-{pid}-aa.tmp" for pid in (dead.pid, os.getpid()))
    for file in (old, young):
        file.write_text("x")
        os.utime(file, (1e9 if file is old else file.stat().st_mtime - 120,) * 2)

    Folder(tmp_path).sweep()

    assert [file.name for file in tmp_path.glob(".*.tmp")] == [young.name]


def test_git_ignores_what_is_local(store: ModuleStore) -> None:
    """Journal and cache stay out of a repository, versions go in."""
    store.add(new("x = 1\n"))

    lines = (store.directory / ".llmport" / ".gitignore").read_text().splitlines()

    assert [line for line in lines if not line.startswith("#")] == ["journal/", "cache/"]


def test_a_version_is_a_value(store: ModuleStore) -> None:
    """A version can be compared and copied, never changed."""
    made = store.add(new("x = 1\n"))

    assert isinstance(made, Version)
    assert replace(made) == made
    with pytest.raises(AttributeError):
        made.source = ""  # type: ignore[misc]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    st.sampled_from([each.name for each in fields(Version)]),
)
def test_no_record_can_break_the_store(value: object, name: str) -> None:
    """Whatever stands in a record's field, it is read or refused with a reason."""
    record = {
        "v": 1,
        "name": "circle",
        "number": 1,
        "id": version_id("0" * 64, ""),
        "key": "0" * 64,
        "created": "2026-01-01",
        name: value,
    }

    with contextlib.suppress(ValueError):
        read = from_record(record, name="circle", number=1, source="")
        assert json.dumps(to_record(read))

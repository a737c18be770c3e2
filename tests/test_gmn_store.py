"""Specifications are versions in a store of their own, by the rules that hold for modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmport_magic.errors import ConflictError, ModuleNotStoredError, StoreError
from llmport_magic.modules.selection import CellPrompt, select_for_cell, select_for_prompt
from llmport_magic.modules.sorts import MODULE, SPECIFICATION
from llmport_magic.modules.store import ModuleStore, NewVersion, Version, version_key
from llmport_magic.session import Session
from llmport_magic.settings import resolve

TEXT = "node state place { size: 3 }\n"
PROMPT = CellPrompt(name="explorer", prompt="a cautious explorer", options={})


@pytest.fixture
def store(tmp_path: Path) -> ModuleStore:
    """Give an empty store of specifications."""
    return ModuleStore(tmp_path, sort=SPECIFICATION)


def added(store: ModuleStore, source: str, **more: object) -> Version:
    """Store a text as what `PROMPT` made."""
    key = version_key("explorer", "", PROMPT.prompt, PROMPT.options)
    return store.add(
        NewVersion(name="explorer", source=source, **{"key": key, "prompt": PROMPT.prompt, **more})  # type: ignore[arg-type]
    )


def test_a_specification_is_kept_apart_from_a_module(tmp_path: Path) -> None:
    """A module and a specification of one name each have their own versions and file (S3-49)."""
    stores = [ModuleStore(tmp_path, sort=sort) for sort in (MODULE, SPECIFICATION)]
    versions = [added(store, text) for store, text in zip(stores, ("x = 1\n", TEXT), strict=True)]
    for store, version in zip(stores, versions, strict=True):
        store.write_current(version)

    assert (tmp_path / "explorer.py").read_text("utf-8") == "x = 1\n"
    assert (tmp_path / "explorer.gmn").read_text("utf-8") == TEXT
    assert [version.number for version in versions] == [1, 1]
    assert [version.sort for version in versions] == [MODULE, SPECIFICATION]
    fresh = ModuleStore(tmp_path, sort=SPECIFICATION)
    assert [version.source for version in fresh.versions("explorer")] == [TEXT]
    assert fresh.versions("explorer")[0].sort is SPECIFICATION
    assert (tmp_path / ".llmport" / "gmn" / "explorer" / "v0001.json").is_file()


def test_the_same_prompt_selects_what_it_made(store: ModuleStore) -> None:
    """Running a cell again selects the stored specification, or the newest edit of it (S3-49)."""
    made = added(store, TEXT)
    assert select_for_prompt(store, PROMPT, None).version == made
    edit = added(store, TEXT + "# mine\n", key="ab" * 32, parent=made.id, origin="cell")
    assert select_for_prompt(store, PROMPT, made).version == edit


def test_a_text_on_an_old_version_is_a_conflict(store: ModuleStore) -> None:
    """An edit of an old specification is refused, and the message says how to go on (S3-49)."""
    old = added(store, TEXT)
    current = added(store, TEXT + "# second\n", key="cd" * 32)
    with pytest.raises(ConflictError, match=f"`%gmn show explorer`.*--base {current.id}"):
        select_for_cell(store, name="explorer", base=old.id, source="# other\n", current=current)


def test_messages_say_what_it_is(store: ModuleStore) -> None:
    """Nobody who works on a specification is told about modules (S3-49)."""
    update = CellPrompt(name="ghost", prompt="more", options={}, update=True)
    with pytest.raises(ModuleNotStoredError, match=r"no specification `ghost`.*`%%gmn ghost`"):
        select_for_prompt(store, update, None)
    (store.directory / "explorer.gmn").write_text("# mine\n", "utf-8")
    notice = select_for_prompt(store, PROMPT, None).notice
    assert notice.startswith("`explorer.gmn` was here before: it is taken as it is")


def test_a_file_of_the_users_own_is_never_overwritten(store: ModuleStore) -> None:
    """A `.gmn` file that we did not write stays, and becomes version 0 where it is changed."""
    made = added(store, TEXT)
    own = store.directory / "explorer.gmn"
    own.write_text("# mine\n", "utf-8")
    with pytest.raises(ConflictError, match=r"explorer\.gmn"):
        store.write_current(made)
    assert own.read_text("utf-8") == "# mine\n"
    assert store.adopt("explorer").source == "# mine\n"


def test_a_specification_is_no_python(store: ModuleStore) -> None:
    """A `coding:` line of a specification means nothing, and other bytes than UTF-8 are refused."""
    own = store.directory / "explorer.gmn"
    own.write_bytes(b"\xef\xbb\xbf# coding: latin-1\r\nnode state \xc3\xa9 { size: 2 }\n")
    assert store.current_text("explorer") == "# coding: latin-1\nnode state é { size: 2 }\n"
    own.write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match="GMN text"):
        store.current_text("explorer")


def test_the_session_keeps_currents_apart(tmp_path: Path) -> None:
    """Which module and which specification of a name is current are two things (S3-49)."""
    memory, settings = Session(), resolve(module_dir=str(tmp_path), log=False)
    stores = [memory.store(settings), memory.store(settings, SPECIFICATION)]
    module, specification = (added(store, TEXT) for store in stores)
    memory.select(settings, specification, "c1")
    assert memory.current(settings, "explorer") is None
    memory.select(settings, module)
    assert memory.current(settings, "explorer") == module
    assert memory.current(settings, "explorer", SPECIFICATION) == specification
    assert memory.stands_for("explorer", "c1") is None
    assert memory.stands_for("explorer", "c1", SPECIFICATION) == specification.id
    newer = added(stores[1], TEXT + "# second\n")
    memory.supersede(stores[1], newer, None)
    assert memory.superseded("explorer") == frozenset()
    assert memory.superseded("explorer", SPECIFICATION) == {specification.id}
    memory.close()

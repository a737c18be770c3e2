"""A folder that came from somebody else: verified again without a model, and no consent with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kernels import kernel
from test_kernel import SETUP

from llmport_magic.modules.signing import Signer
from llmport_magic.modules.store import ModuleStore, NewVersion, StoreWarning, Version, version_key

CLEAN = {"safety": "clean", "proof": "passed"}
ASK = "open('seen.txt', 'w').close()\n"


def add(store: ModuleStore, name: str, source: str, *, consented: bool = False) -> Version:
    """Store a checked version."""
    key = version_key(name, "", source, {})
    new = NewVersion(name=name, source=source, key=key, verdict=CLEAN, consented=consented)
    return store.add(new)


@pytest.fixture
def theirs(tmp_path: Path) -> ModuleStore:
    """Give a store of another user: two modules, two versions of one, and a consent."""
    (tmp_path / "theirs").mkdir()
    store = ModuleStore(tmp_path / "theirs", signer=Signer(tmp_path / "their-key"))
    add(store, "circle", "x = 1\n")
    add(store, "circle", ASK, consented=True)
    add(store, "square", "y = 1\n")
    return store


def copied(store: ModuleStore, place: Path, key: Path) -> ModuleStore:
    """Copy the folder, records and this machine's cache included, to a user with that key."""
    shutil.copytree(store.directory, place)
    return ModuleStore(place, signer=Signer(key))


def records(store: ModuleStore, name: str) -> list[Path]:
    """Give the record files of a module, the oldest first."""
    return sorted((store.directory / ".llmport" / "modules" / name).glob("v*.json"))


def changed(file: Path, **values: Any) -> None:
    """Change fields of a record."""
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_copied_folder_brings_no_verdict_and_no_consent(
    theirs: ModuleStore, tmp_path: Path
) -> None:
    """Every version of a copied folder is unsigned and not allowed, whatever it says (S0-43)."""
    theirs.confirm(theirs.versions("circle")[0], consented=True)
    mine = copied(theirs, tmp_path / "mine", tmp_path / "my-key")

    found = [version for name in mine.names() for version in mine.versions(name)]

    assert len(found) == 3
    assert [(version.signed, version.consented) for version in found] == [(False, False)] * 3
    same = copied(theirs, tmp_path / "moved", tmp_path / "their-key")
    assert [(version.signed, version.consented) for version in same.versions("circle")] == [
        (True, True),
        (True, True),
    ]


def _swap_signatures(store: ModuleStore) -> None:
    one, other = (json.loads(file.read_text()) for file in records(store, "circle"))
    changed(records(store, "circle")[0], signature=other["signature"])
    changed(records(store, "circle")[1], signature=one["signature"])


def _signature_of_another_module(store: ModuleStore) -> None:
    taken = json.loads(records(store, "square")[0].read_text())["signature"]
    for file in records(store, "circle"):
        changed(file, signature=taken)


def _consent_of_an_old_text(store: ModuleStore) -> None:
    # The newest text, under the record, the id and the signature of the one that was allowed.
    allowed = json.loads(records(store, "circle")[1].read_text())
    newer = add(store, "circle", "import os\nos.remove('data')\n")
    values = {each: allowed[each] for each in ("signature", "consented", "verdict")}
    changed(records(store, "circle")[2], **values)
    assert newer.source_hash != allowed["sha256"]
    for file in records(store, "circle")[:2]:
        changed(file, signature="")


def _a_statement_renamed_for_another_text(store: ModuleStore) -> None:
    allowed = store.confirm(store.versions("circle")[1], consented=True)
    said = store.directory / ".llmport" / "cache" / "verdicts" / "circle"
    (statement,) = said.iterdir()
    newer = add(store, "circle", "import os\nos.remove('data')\n")
    statement.rename(said / statement.name.replace(allowed.id, newer.id))
    for file in records(store, "circle"):
        changed(file, signature="")


def _a_forged_consent(store: ModuleStore) -> None:
    for file in records(store, "circle"):
        changed(file, consented=not json.loads(file.read_text())["consented"])


def _the_same_text_of_another_prompt(store: ModuleStore) -> None:
    # Neither its examples passed nor was it read: the signature is of another version.
    allowed = json.loads(records(store, "circle")[1].read_text())
    key = version_key("circle", "", "another prompt", {})
    store.add(NewVersion(name="circle", source=ASK, key=key, verdict=CLEAN))
    values = {each: allowed[each] for each in ("signature", "consented", "verdict")}
    changed(records(store, "circle")[2], **values)
    for file in records(store, "circle")[:2]:
        changed(file, signature="")


def _the_same_text_and_key_of_another_module(store: ModuleStore) -> None:
    # A record may claim any key, and with it another module's id.
    checked = json.loads(records(store, "square")[0].read_text())
    store.add(NewVersion(name="circle", source="y = 1\n", key=checked["key"], verdict=CLEAN))
    changed(records(store, "circle")[2], signature=checked["signature"])
    for file in records(store, "circle")[:2]:
        changed(file, signature="")


def _no_signature_at_all(store: ModuleStore) -> None:
    for file, value in zip(records(store, "circle"), (None, ["a", "list"]), strict=True):
        changed(file, signature=value)


@pytest.mark.parametrize(
    "tamper",
    [
        _swap_signatures, _signature_of_another_module, _consent_of_an_old_text,
        _a_statement_renamed_for_another_text, _a_forged_consent, _no_signature_at_all,
        _the_same_text_of_another_prompt, _the_same_text_and_key_of_another_module,
    ],
)  # fmt: skip
def test_no_signature_counts_for_anything_else(
    theirs: ModuleStore, tamper: Callable[[ModuleStore], None]
) -> None:
    """Moved, forged and replayed signatures count for nothing, with the right key, too (S0-43)."""
    tamper(theirs)

    fresh = ModuleStore(theirs.directory, signer=theirs._signer)

    for version in fresh.versions("circle"):
        assert not version.signed
        assert not version.consented


def test_a_changed_text_is_left_out_with_its_name(theirs: ModuleStore) -> None:
    """A text that is not what the record names is not used, whoever signed the record (S0-43)."""
    version = theirs.versions("circle")[0]
    text = records(theirs, "circle")[0].with_name(f"{version.source_hash}.py")
    text.write_text("import os\n")

    with pytest.warns(StoreWarning, match="not the text that was stored"):
        found = ModuleStore(theirs.directory, signer=theirs._signer).versions("circle")

    assert [each.number for each in found] == [2]


_PROMPT = "%%llmport circle\nArea of a circle.\n\n>>> round(area(2), 3)\n12.566\n"
_HELD = "%%llmport writes\nWrites when it is imported.\n"


@pytest.mark.kernel
def test_a_cloned_folder_is_checked_again_without_a_model(tmp_path: Path) -> None:
    """Another user's folder runs without a call; what they allowed asks this user again (S0-43)."""
    with kernel(tmp_path / "theirs", XDG_STATE_HOME=str(tmp_path / "them")) as shell:
        shell.run(SETUP)
        shell.run("script.answers[:] = [fenced(GOOD), fenced(HELD)]")
        assert shell.run(_PROMPT, cell_id="p1").status == "ok"
        held = shell.run(_HELD, cell_id="p2")
        allowed = shell.run(held.next_cell.replace(" --hold", ""), cell_id="m2")
        assert allowed.status == "ok", allowed.shown
        assert (tmp_path / "theirs" / "seen.txt").exists()
        again = shell.run(_HELD, cell_id="p2")
        assert "reused" in again.shown
        assert "not registered" not in again.shown
        for shown in (allowed.shown, again.shown, shell.run("%llmport show writes").shown):
            assert "allowed by you" in shown
            assert "needs your consent" not in shown
    shutil.copytree(tmp_path / "theirs", tmp_path / "mine")
    (tmp_path / "mine" / "seen.txt").unlink()
    (tmp_path / "mine" / "writes.py").unlink()
    with kernel(tmp_path / "mine", XDG_STATE_HOME=str(tmp_path / "me")) as shell:
        shell.run(SETUP)
        assert "not checked by you" in shell.run("%llmport show circle").shown
        good = shell.run(_PROMPT, cell_id="p1")
        assert good.status == "ok", good.shown
        assert "1 of 1 example passed" in good.shown
        assert "1 of 1 example passed" in shell.run("%llmport show circle").shown
        asks = shell.run(_HELD, cell_id="p2")
        assert "needs your consent" in asks.shown
        retried = shell.run("%llmport retry writes")
        assert retried.name == "ConsentRequired", retried.shown
        assert "%llmport show writes v1" in retried.error
        assert not (tmp_path / "mine" / "seen.txt").exists()
        assert shell.value("'writes' in globals(), script.calls") == "(False, 0)"
        back = shell.run("%llmport rollback writes v1")
        assert back.status == "ok", back.shown
        assert "allowed by you" in back.shown
        assert (tmp_path / "mine" / "seen.txt").exists()

"""Verdicts and consent count only when this user's own key signed them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from llmport_magic.errors import StoreError
from llmport_magic.modules.signing import Signer
from llmport_magic.modules.store import ModuleStore, NewVersion, StoreWarning, version_key
from llmport_magic.secrets import Secret


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


def test_a_verdict_of_this_user_counts(store: ModuleStore, tmp_path: Path) -> None:
    """A verdict is signed with this user's key and is trusted when read again (S0-43)."""
    made = store.add(new("x = 1\n", verdict={"proof": "passed", "findings": ("a",)}))

    found = ModuleStore(tmp_path).get("circle", made.id)

    assert found is not None
    assert found.signed
    assert found.verdict == {"proof": "passed", "findings": ["a"]}


def test_a_verdict_that_came_with_a_folder_does_not_count(tmp_path: Path) -> None:
    """Another user's verdict and consent are not trusted until checked here (S0-43)."""
    theirs = ModuleStore(tmp_path, signer=Signer(tmp_path / "them"))
    made = theirs.add(new("x = 1\n", verdict={"proof": "passed"}, consented=True))
    mine = ModuleStore(tmp_path, signer=Signer(tmp_path / "me"))

    foreign = mine.by_key("circle", made.key)
    assert foreign is not None
    assert not foreign.signed
    assert not foreign.consented

    checked = mine.confirm(foreign, {"proof": "unverified"}, consented=True)
    assert checked.signed
    assert checked.consented
    again = ModuleStore(tmp_path, signer=Signer(tmp_path / "me")).get("circle", made.id)
    assert again == checked
    kept = ModuleStore(tmp_path, signer=Signer(tmp_path / "them")).get("circle", made.id)
    assert kept is not None
    assert kept.verdict == {"proof": "passed"}


@pytest.mark.parametrize("field", ["verdict", "consented"])
def test_a_changed_statement_loses_its_signature(store: ModuleStore, field: str) -> None:
    """Neither verdict nor consent can be edited in the folder (S0-43)."""
    store.add(new("x = 1\n", verdict={"safety": "ask"}))
    file = record_of(store, 1)
    forged = {"verdict": {"safety": "clean"}, "consented": True}
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: forged[field]}))

    found = ModuleStore(store.directory).versions("circle")[0]

    assert not found.signed
    assert not found.consented


def test_a_statement_is_about_one_text(store: ModuleStore) -> None:
    """A signature moved to another text's record does not count (S0-43)."""
    store.add(new("x = 1\n", verdict={"safety": "clean"}))
    store.add(new("import os\n", verdict={"safety": "clean"}))
    good, bad = record_of(store, 1), record_of(store, 2)
    signature = json.loads(good.read_text())["signature"]
    bad.write_text(json.dumps(json.loads(bad.read_text()) | {"signature": signature}))

    signed = [version.signed for version in ModuleStore(store.directory).versions("circle")]

    assert signed == [True, False]


def test_a_signature_is_of_the_whole_text(tmp_path: Path) -> None:
    """The whole hash is signed, not only the part of it that an id holds (S0-43)."""
    signer, statement = Signer(tmp_path / "keys"), {"id": "0123456789abcdef"}
    signature = signer.sign("a" * 64, statement)

    assert signer.verify("a" * 64, statement, signature)
    assert not signer.verify("a" * 63 + "b", statement, signature)


@pytest.mark.skipif(os.name == "nt", reason="POSIX file modes")
def test_the_signing_key_is_the_users_alone(tmp_path: Path) -> None:
    """The key is made 0600 whatever the umask says, and refused when others can read it."""
    old = os.umask(0)
    try:
        Signer(tmp_path / "keys").sign("0", {})
    finally:
        os.umask(old)
    key = tmp_path / "keys" / "signing.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700

    key.chmod(0o644)
    with pytest.raises(StoreError, match="read by others"):
        Signer(tmp_path / "keys").sign("0", {})


def test_without_a_key_versions_are_kept_unsigned(tmp_path: Path) -> None:
    """When the key cannot be read the text is still stored, unsigned, and it is said."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "signing.key").write_bytes(b"short")
    store = ModuleStore(tmp_path, signer=Signer(tmp_path / "keys"))

    with pytest.warns(StoreWarning, match="not a signing key"):
        made = store.add(new("x = 1\n", verdict={"proof": "passed"}))

    assert not made.signed


def test_no_key_is_stored_with_a_version(store: ModuleStore) -> None:
    """A key in a prompt, an option or a finding is not in the folder that is shared (X-07)."""
    key = "planted-secret-in-a-prompt-42"
    Secret(key)
    draft = new("x = 1\n", f"use {key}", options={"with": key}, verdict={"findings": (f"a {key}",)})

    made = store.add(draft)
    again = store.confirm(made, {"findings": [key]})

    assert store.by_key("circle", version_key("circle", "", f"use {key}", {})) == again
    assert again.signed
    for path in store.directory.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes()

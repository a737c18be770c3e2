"""The module store: every text that a module ever had, and the one file that is current.

    <module_dir>/<name>.py                          the current text
    <module_dir>/.llmport/modules/<name>/v0003.json what version 3 was made from
    <module_dir>/.llmport/modules/<name>/<hash>.py  a version's text
    <module_dir>/.llmport/drafts/<name>/            answers that did not pass
    <module_dir>/.llmport/cache/                    what belongs to this user and machine

Nothing is overwritten: a text becomes a version and stays one. Specifications are kept in the same
way, in `<name>.gmn`, `.llmport/gmn/` and `.llmport/gmn-drafts/`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmport_magic.errors import ConflictError, ModuleNotStoredError, StoreError
from llmport_magic.files import HOME, Folder, home_folder, real_root
from llmport_magic.modules.shelf import Shelf, StoreWarning
from llmport_magic.modules.signing import Signer
from llmport_magic.modules.sorts import MODULE, Sort
from llmport_magic.modules.version import (
    NewVersion,
    Version,
    decode_source,
    decode_text,
    normal_text,
    version_id,
    version_key,
)

__all__ = [
    "ModuleStore",
    "NewVersion",
    "StoreWarning",
    "Version",
    "normal_text",
    "version_id",
    "version_key",
]

_TEXT_LIMIT = 8 << 20


class ModuleStore:
    """The versions of the modules, or of the specifications, of one folder.

    Args:
        directory: the module folder; made where it is missing.
        signer: vouches for verdicts; this user's own unless given.
        sort: what it keeps.

    Raises:
        StoreError: the folder is a link that leads elsewhere.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        signer: Signer | None = None,
        sort: Sort = MODULE,
    ) -> None:
        self.directory = real_root(directory)
        self.sort = sort
        self._signer = signer or Signer()
        self._swept = False
        self._shelves: dict[tuple[str, str], Shelf] = {}

    # -- versions --------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of all that is stored, sorted."""
        try:
            found = Folder(self.directory, HOME, self.sort.folder).names()
        except OSError as error:
            raise StoreError(f"`{self.directory}` cannot be read: {error}.") from None
        return [name for name in found if name.isidentifier() and self.versions(name)]

    def versions(self, name: str) -> tuple[Version, ...]:
        """Return the versions of a name, the oldest first; damaged ones are left out."""
        return self._shelf(self.sort.folder, name).versions()

    def get(self, name: str, identity: str) -> Version | None:
        """Return the newest version with this id."""
        return _newest(each for each in self.versions(name) if each.id == identity)

    def find(self, name: str, said: str) -> Version | None:
        """Return the version that a user means by `3`, `v3` or the beginning of an id."""
        said = said.strip().lower()
        number = said.removeprefix("v")
        versions = self.versions(name)
        if number.isdecimal() and len(number) < len("00000000"):
            return _newest(each for each in versions if each.number == int(number))
        return _newest(each for each in versions if said and each.id.startswith(said))

    def by_key(self, name: str, key: str) -> Version | None:
        """Return the newest version that was made from what the key stands for."""
        return _newest(each for each in self.versions(name) if each.key == key)

    def by_text(self, name: str, source: str) -> tuple[Version, ...]:
        """Return the versions with exactly this text, the oldest first."""
        text = normal_text(source)
        return tuple(each for each in self.versions(name) if each.source == text)

    def lineage(self, version: Version) -> tuple[Version, ...]:
        """Return the version, its parent and so on up to the root."""
        line, seen = [version], {version.id}
        while (parent := line[-1].parent) and parent not in seen:
            seen.add(parent)
            found = self.get(version.name, parent)
            if found is None:
                break
            line.append(found)
        return tuple(line)

    def newest_edit(self, version: Version) -> Version | None:
        """Return the newest hand edit made on this version, or on an edit of it."""
        reached, edits = {version.id}, []
        for each in self.versions(version.name):
            if each.origin == "cell" and each.parent in reached and each.id != version.id:
                reached.add(each.id)
                edits.append(each)
        return edits[-1] if edits else None

    def add(self, new: NewVersion) -> Version:
        """Store a text as a new version.

        The same text from the same key as the newest one is that version: no second record.

        Raises:
            StoreError: it cannot be written.
        """
        newest = self.by_key(new.name, new.key)
        if newest is not None and newest.source == normal_text(new.source):
            if new.verdict is None and not new.consented:
                return newest
            return self.confirm(newest, new.verdict, consented=new.consented or None)
        self._make_home()
        return self._shelf(self.sort.folder, new.name).put(new)

    def confirm(
        self,
        version: Version,
        verdict: Mapping[str, Any] | None = None,
        *,
        consented: bool | None = None,
    ) -> Version:
        """Keep what this user found out about a stored version, or allowed.

        Args:
            version: the stored version.
            verdict: what the check found; None keeps the one there is.
            consented: whether the user allowed it; None keeps what was.
        """
        kept = version.verdict if verdict is None else verdict
        allowed = version.consented if consented is None else consented
        self._make_home()
        shelf = self._shelf(self.sort.folder, version.name)
        return shelf.confirm(version, None if kept is None else dict(kept), allowed)

    # -- drafts ----------------------------------------------------------------------------

    def keep_draft(self, name: str, source: str, *, prompt: str = "") -> Version:
        """Keep an answer that did not pass; it is never selected or registered."""
        # Half a character cannot be written; the draft shows it as an escape.
        source = source.encode("utf-8", "backslashreplace").decode("utf-8")
        key = version_key(name, "", prompt, {"origin": "draft"})
        self._make_home()
        new = NewVersion(name=name, source=source, key=key, origin="draft", prompt=prompt)
        return self._shelf(self.sort.drafts, name).put(new)

    def drafts(self, name: str) -> tuple[Version, ...]:
        """Return the drafts of a name, the oldest first."""
        return self._shelf(self.sort.drafts, name).versions()

    def draft(self, name: str) -> Version | None:
        """Return the newest draft."""
        return _newest(self.drafts(name))

    # -- the current file ------------------------------------------------------------------

    def path(self, name: str) -> Path:
        """Return where the current text lies."""
        return self.directory / (name + self.sort.suffix)

    def current_text(self, name: str) -> str | None:
        """Return what the current file holds, as the store would keep it; None where there is none.

        Raises:
            StoreError: it is a link, no regular file, or no text.
        """
        decode = decode_source if self.sort is MODULE else decode_text
        try:
            return decode(Folder(self.directory).read(self.path(name).name, limit=_TEXT_LIMIT))
        except FileNotFoundError:
            return None
        except (UnicodeDecodeError, SyntaxError) as error:
            raise StoreError(
                f"`{self.path(name)}` is not readable as {self.sort.language} text ({error}); "
                "save it as UTF-8."
            ) from None
        except OSError as error:
            raise StoreError(f"`{self.path(name)}` cannot be read: {error}.") from None

    def foreign_text(self, name: str) -> str | None:
        """Return the text of the current file when it is none of our versions."""
        text = self.current_text(name)
        return None if text is None or self.by_text(name, text) else text

    def adopt(self, name: str) -> Version:
        """Store the text of a file that we did not make; the first version is number 0.

        Raises:
            ModuleNotStoredError: there is no such file.
        """
        text = self.current_text(name)
        if text is None:
            raise ModuleNotStoredError(f"`{self.path(name)}` does not exist; write it first.")
        known = self.by_text(name, text)
        if known:
            return known[-1]
        self._make_home()
        key = version_key(name, "", "", {"origin": "file"})
        new = NewVersion(name=name, source=text, key=key, origin="file")
        return self._shelf(self.sort.folder, name).put(new, first=0)

    def write_current(self, version: Version) -> Path:
        """Make a version's text the current one, atomically.

        Raises:
            ConflictError: the file holds a text that is not stored, so it would be lost.
            StoreError: the file is a link, or cannot be written.
        """
        path, folder = self.path(version.name), Folder(self.directory)
        if self.current_text(version.name) == version.source:
            return path
        self._refuse_foreign(version.name)
        self._make_home()
        try:
            old = folder.stat(path.name)
            folder.write(
                path.name,
                version.source.encode(),
                mode=0o666,
                after=None if old is None else old.st_mtime,
                # Writing takes milliseconds, in which somebody may save the file.
                last_look=lambda: self._refuse_foreign(version.name),
            )
        except OSError as error:
            raise StoreError(f"`{path}` cannot be written: {error}.") from None
        if self.sort is MODULE:
            self._drop_bytecode(version.name)
        return path

    def _refuse_foreign(self, name: str) -> None:
        if self.foreign_text(name) is not None:
            raise ConflictError(
                f"`{self.path(name)}` holds a text that we did not write and is left as it is: "
                "rename it, or run its prompt cell with `--update` or `--regenerate`, which keep "
                "its text as a version."
            )

    def _make_home(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            home_folder(self.directory)
            if not self._swept:
                Folder(self.directory).sweep()
                self._swept = True
        except OSError as error:
            raise StoreError(
                f"`{self.directory}` cannot be written: {error}. Set `module_dir` to a folder of "
                "yours."
            ) from None

    def _drop_bytecode(self, name: str) -> None:
        # Other processes compare bytecode by whole seconds and size only.
        folder = Folder(self.directory, "__pycache__")
        with contextlib.suppress(OSError, StoreError):
            for file in folder.names():
                if file.startswith(f"{name}.") and file.endswith(".pyc"):
                    folder.remove(file)

    def _shelf(self, kind: str, name: str) -> Shelf:
        if not name.isidentifier():
            raise StoreError(
                f"`{name}` is no {self.sort.noun} name; the store holds identifiers only."
            )
        if (kind, name) not in self._shelves:
            self._shelves[kind, name] = Shelf(
                Folder(self.directory, HOME, kind, name),
                Folder(self.directory, HOME, "cache", self.sort.verdicts, name),
                name,
                self._signer,
                self.sort,
            )
        return self._shelves[kind, name]


def _newest(versions: Any) -> Version | None:
    return max(versions, key=lambda version: version.number, default=None)

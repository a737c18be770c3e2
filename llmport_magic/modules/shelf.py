"""One folder of numbered records and of the texts that they name by hash.

A record is written whole and then linked to the next free number, so two processes never share
one. Both kinds of file may have been written, damaged or planted by anybody: what does not fit
together is reported and not used.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from llmport_magic.errors import StoreError
from llmport_magic.files import Folder
from llmport_magic.modules.signing import Signer
from llmport_magic.modules.sorts import MODULE, Sort
from llmport_magic.modules.version import (
    NewVersion,
    Version,
    from_record,
    hash_of,
    normal_text,
    to_record,
    version_id,
)
from llmport_magic.secrets import redact

_RECORD = re.compile(r"v(\d{4,9})\.json\Z")
_HASH = re.compile(r"[0-9a-f]{64}\Z")
_RECORD_LIMIT = 16 << 20
_TEXT_LIMIT = 8 << 20
_TRIES = 1000


class StoreWarning(UserWarning):
    """A file of the store is damaged and was left out."""


class Shelf:
    """The versions of one module or specification.

    Args:
        folder: where records and texts lie.
        said: where this user's later statements about them lie.
        name: its name.
        signer: vouches for verdicts.
        sort: what it is.
    """

    def __init__(
        self, folder: Folder, said: Folder, name: str, signer: Signer, sort: Sort = MODULE
    ) -> None:
        self.folder = folder
        self.said = said
        self.name = name
        self._signer = signer
        self._sort = sort
        self._read: dict[str, Version] = {}
        self._warned: set[str] = set()

    def versions(self) -> tuple[Version, ...]:
        """Return what can be read, in the order of their numbers.

        Raises:
            StoreError: the folder cannot be read.
        """
        found = []
        for file in self._files():
            match = _RECORD.match(file)
            if match is None:
                continue
            if file not in self._read:
                try:
                    self._read[file] = self._load(file, int(match[1]))
                except (OSError, ValueError, RecursionError, StoreError) as error:
                    self._warn(file, error)
                    continue
            found.append(self._read[file])
        return tuple(sorted(found, key=lambda version: version.number))

    def put(self, new: NewVersion, *, first: int = 1) -> Version:
        """Store a text under the next free number, which is `first` where there is none.

        Raises:
            StoreError: the text is not Unicode, or no record could be written.
        """
        source = normal_text(new.source)
        try:
            data = source.encode()
        except UnicodeEncodeError:
            raise StoreError(
                f"the text of `{self.name}` holds half a character and cannot be stored; "
                "retype the strings in it."
            ) from None
        try:
            self._put_text(hash_of(source), data)
            for _ in range(_TRIES):
                version = self._numbered(new, source, self._next(first))
                record = to_record(version) | {"signature": self._sign(version)}
                file = f"v{version.number:04d}.json"
                text = json.dumps(record, ensure_ascii=True, indent=1, default=str)
                if self.folder.create(file, text.encode() + b"\n", mode=0o644):
                    self._read[file] = self._load(file, version.number)
                    return self._read[file]
        except OSError as error:
            raise StoreError(f"`{self.folder.path}` cannot be written: {error}.") from None
        raise StoreError(f"no free number in `{self.folder.path}`; look at the folder.")

    def confirm(self, version: Version, verdict: dict[str, Any] | None, consented: bool) -> Version:
        """Keep a newer statement of this user about a stored text."""
        statement = _statement(version, _without_secrets(verdict), consented)
        try:
            signature = self._signer.sign(version.source_hash, statement)
            text = json.dumps({**statement, "signature": signature}, default=str)
            self.said.write(self._said_file(version), text.encode())
        except (OSError, StoreError) as error:
            self._warn("verdict", error)
        self._read.pop(f"v{version.number:04d}.json", None)
        return next((each for each in self.versions() if each.number == version.number), version)

    def _files(self) -> list[str]:
        try:
            return self.folder.names()
        except OSError as error:
            # Taken for empty, it would cost a call or a version.
            raise StoreError(f"`{self.folder.path}` cannot be read: {error}.") from None

    def _next(self, first: int) -> int:
        numbers = [int(match[1]) for file in self._files() if (match := _RECORD.match(file))]
        return max([*numbers, first - 1]) + 1

    def _numbered(self, new: NewVersion, source: str, number: int) -> Version:
        values = {each: getattr(new, each) for each in NewVersion.__dataclass_fields__}
        values = {each: _without_secrets(value) for each, value in values.items()}
        values |= {"source": source, "name": self.name}
        return Version(
            **values,
            id=version_id(new.key, source),
            number=number,
            sort=self._sort,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _put_text(self, digest: str, data: bytes) -> None:
        file = digest + self._sort.suffix
        try:
            if self.folder.read(file, limit=_TEXT_LIMIT) == data:
                return
        except (FileNotFoundError, StoreError):
            pass
        self.folder.write(file, data, mode=0o644)

    def _sign(self, version: Version) -> str:
        try:
            return self._signer.sign(
                version.source_hash, _statement(version, version.verdict, version.consented)
            )
        except StoreError as error:
            self._warn("verdict", error)
            return ""

    def _load(self, file: str, number: int) -> Version:
        record = json.loads(self.folder.read(file, limit=_RECORD_LIMIT))
        digest = record.get("sha256") if isinstance(record, dict) else None
        if not isinstance(digest, str) or not _HASH.match(digest):
            raise ValueError("it names no text")
        source = self.folder.read(digest + self._sort.suffix, limit=_TEXT_LIMIT).decode()
        if hash_of(source) != digest:
            raise ValueError(f"`{digest[:12]}…{self._sort.suffix}` is not the text that was stored")
        version = from_record(record, name=self.name, number=number, source=source, sort=self._sort)
        return self._with_statement(version, record.get("signature"))

    def _with_statement(self, version: Version, signature: Any) -> Version:
        """Prefer what this user said later, then what the record says; unsigned is unsigned."""
        values = {each: getattr(version, each) for each in Version.__dataclass_fields__}
        later = self._later(version)
        if later is not None:
            return Version(**values | {**later, "signed": True})
        statement = _statement(version, version.verdict, version.consented)
        signed = isinstance(signature, str) and self._vouched(version, statement, signature)
        return Version(**values | {"signed": signed, "consented": signed and version.consented})

    def _later(self, version: Version) -> dict[str, Any] | None:
        try:
            said = json.loads(self.said.read(self._said_file(version), limit=_RECORD_LIMIT))
            statement = _statement(version, said["verdict"], said["consented"])
            if self._vouched(version, statement, str(said["signature"])):
                return {"verdict": said["verdict"], "consented": said["consented"]}
        except (OSError, ValueError, KeyError, TypeError, RecursionError, StoreError):
            pass
        return None

    def _vouched(self, version: Version, statement: dict[str, Any], signature: str) -> bool:
        try:
            return self._signer.verify(version.source_hash, statement, signature)
        except StoreError as error:
            self._warn("verdict", error)
            return False

    def _said_file(self, version: Version) -> str:
        return f"{version.id}.{self._signer.fingerprint}.json"

    def _warn(self, file: str, error: Exception) -> None:
        if file in self._warned:
            return
        self._warned.add(file)
        where = self.folder.path / file if file.endswith(".json") else self.name
        warnings.warn(f"`{where}` is left out: {error}", StoreWarning, stacklevel=4)


def _without_secrets(value: Any) -> Any:
    # A folder of versions is made to be shared.
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): _without_secrets(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(each) for each in value]
    return value


def _statement(version: Version, verdict: Any, consented: bool) -> dict[str, Any]:
    # Through JSON, so that what was signed equals what is read back.
    plain = json.loads(json.dumps(verdict, default=str))
    return {
        "name": version.name,
        "id": version.id,
        "verdict": plain,
        "consented": consented,
    }

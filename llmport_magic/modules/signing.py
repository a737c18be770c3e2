"""This user's own signature on verdicts: what came with a folder is not taken on trust.

The key lies in the user's state folder, never beside a project. A signature covers the text's
hash and what was found out about it, so neither can be exchanged.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmport_magic.errors import StoreError
from llmport_magic.files import Folder, state_dir

_NAME = "signing.key"
_SIZE = 32
_OTHERS = 0o077


class Signer:
    """Signs and checks with this user's local key, which is made on first use.

    Args:
        directory: where the key lies; the user's state folder unless given.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._key: bytes | None = None

    @property
    def fingerprint(self) -> str:
        """Eight letters that tell keys apart and give nothing of the key away."""
        return hashlib.sha256(b"fingerprint" + self._load()).hexdigest()[:8]

    def sign(self, source_hash: str, statement: Mapping[str, Any]) -> str:
        """Return the signature of a statement about a text.

        Args:
            source_hash: the text's SHA-256, in hexadecimal.
            statement: what is vouched for; must be JSON.

        Raises:
            StoreError: the key cannot be made or read.
        """
        message = json.dumps([source_hash, dict(statement)], sort_keys=True).encode()
        return hmac.new(self._load(), message, hashlib.sha256).hexdigest()

    def verify(self, source_hash: str, statement: Mapping[str, Any], signature: str) -> bool:
        """Tell whether this user's key made the signature for exactly this text and statement."""
        expected = self.sign(source_hash, statement)
        return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))

    def _load(self) -> bytes:
        if self._key is None:
            try:
                self._key = _read_or_make(self._directory or state_dir())
            except OSError as error:
                raise StoreError(
                    f"this user's signing key cannot be used ({error}); verdicts are not kept "
                    "until the folder can be written."
                ) from None
        return self._key


def _read_or_make(directory: Path) -> bytes:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Folder(Path(os.path.realpath(directory)))
    try:
        key = folder.read(_NAME, limit=4096)
    except FileNotFoundError:
        folder.create(_NAME, os.urandom(_SIZE))
        key = folder.read(_NAME, limit=4096)
    path = folder.path / _NAME
    if len(key) != _SIZE:
        raise StoreError(f"`{path}` is not a signing key; delete it and verdicts are made anew.")
    found = folder.stat(_NAME)
    if os.name != "nt" and found is not None and found.st_mode & _OTHERS:
        raise StoreError(f"`{path}` can be read by others and is not used; delete it.")
    return key

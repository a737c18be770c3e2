"""A version of a text: what it was made from, and how it is named and written down."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tokenize
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from llmport_magic.modules.sorts import MODULE, Sort

_COOKIE = re.compile(r"^([ \t\f]*#.*?coding[:=][ \t]*)([-\w.]+)", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{8,64}\Z")
_UTF8 = {"utf-8", "utf-8-sig"}
_NUMBERS = (int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """What is known about a text before the store gave it a number.

    Attributes:
        name: the module's name.
        source: the text.
        key: `version_key()` of what the text was made from.
        parent: the id of the version it grew out of.
        origin: `prompt`, `update`, `cell`, `file` or `panel`.
        prompt: the rendered prompt.
        options: the cell's own options, as far as they belong to the key.
        settings: ambient settings worth keeping, for example the temperature.
        verdict: what the check found, as `Verdict.to_dict()` gives it.
        consented: whether the user allowed this text by running its cell.
        provider: who answered.
        model: which model answered.
        usage: tokens.
        cost: US dollars, `None` when the price is unknown.
        seconds: from the prompt to the verdict.
        cell_id: the cell that asked for it.
        context: what `--with` named: `pandas DataFrame 1000x7` and a digest of what was said of
            it, by the item's text.
    """

    name: str
    source: str
    key: str
    parent: str | None = None
    origin: str = "prompt"
    prompt: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    verdict: Mapping[str, Any] | None = None
    consented: bool = False
    provider: str | None = None
    model: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    cost: float | None = None
    seconds: float | None = None
    cell_id: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version(NewVersion):
    """A stored text; it never changes.

    Attributes:
        id: what a cell's `--base` names: half key, half text.
        number: 1, 2, …; 0 is a file that was there before us.
        created: when it was stored, ISO 8601.
        signed: whether this user's key vouches for `verdict` and `consented`.
        sort: what it is a version of: the store that has it says so, never its record.
    """

    id: str
    number: int
    created: str
    signed: bool = False
    sort: Sort = MODULE

    @property
    def source_hash(self) -> str:
        """The text's SHA-256, in hexadecimal."""
        return hash_of(self.source)


def version_key(name: str, parent_id: str | None, prompt: str, options: Mapping[str, Any]) -> str:
    """Return the key of what a prompt makes: name, parent, prompt and the cell's own options."""
    parts = [name, parent_id or "", normal_text(prompt), sorted(options.items())]
    text = json.dumps(parts, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def version_id(key: str, source: str) -> str:
    """Return a version's id: 16 letters, the first half from the key, the other from the text."""
    return key[:8] + hash_of(source)[:8]


def normal_text(source: str) -> str:
    r"""Return the text as it is stored: no BOM, `\n` only, one of them at the end."""
    text = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return text.rstrip("\n") + "\n" if text.strip("\n") else ""


def hash_of(source: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()


def decode_source(data: bytes) -> str:
    """Return a Python file's text; its coding line is rewritten to UTF-8.

    Raises:
        UnicodeDecodeError: the bytes are not in the encoding that the file declares.
        SyntaxError: the file declares an encoding that Python does not know.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    text = normal_text(data.decode(encoding))
    if encoding in _UTF8:
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines[:2]):
        lines[number] = _COOKIE.sub(r"\1utf-8", line)
    return "\n".join(lines)


def decode_text(data: bytes) -> str:
    """Return the text of a file that is no Python: UTF-8.

    Raises:
        UnicodeDecodeError: the bytes are not.
    """
    return normal_text(data.decode("utf-8-sig"))


def to_record(version: Version) -> dict[str, Any]:
    """Return a version's record: everything but its text, which the record names by hash."""
    record = asdict(version)
    del record["source"], record["signed"], record["sort"]
    return {"v": 1, **record, "sha256": version.source_hash}


def from_record(
    record: Any, *, name: str, number: int, source: str, sort: Sort = MODULE
) -> Version:
    """Read a record that anybody may have written.

    Raises:
        ValueError: a field is missing, has the wrong type or does not belong to the text.
    """
    if not isinstance(record, dict) or record.get("v") != 1:
        raise ValueError("it is not a record of version 1")
    known = {each.name for each in fields(Version)} - {"source", "signed", "sort"}
    values = {key: value for key, value in record.items() if key in known}
    try:
        version = Version(**values, source=source, sort=sort)
    except TypeError:
        raise ValueError("a field is missing") from None
    if (version.name, version.number) != (name, number):
        raise ValueError("its name or number is not the file's")
    problems = [key for key, fits in _shapes(version).items() if not fits]
    if problems:
        raise ValueError(f"`{'`, `'.join(problems)}` cannot be right")
    return version


def _shapes(version: Version) -> dict[str, bool]:
    texts = ("prompt", "origin")
    optional = ("parent", "provider", "model", "cell_id")
    numbers = ("cost", "seconds")
    return {
        "key": isinstance(version.key, str) and bool(_HEX.match(version.key)),
        "id": version.id == version_id(str(version.key), version.source),
        **{each: isinstance(getattr(version, each), str) for each in texts},
        **{each: isinstance(getattr(version, each), str | None) for each in optional},
        **{
            each: getattr(version, each) is None or isinstance(getattr(version, each), _NUMBERS)
            for each in numbers
        },
        **{
            each: isinstance(getattr(version, each), dict)
            for each in ("options", "settings", "usage")
        },
        "context": isinstance(version.context, dict)
        and all(isinstance(each, str) for pair in version.context.items() for each in pair),
        "verdict": isinstance(version.verdict, dict | None),
        "consented": isinstance(version.consented, bool),
        "created": _is_time(version.created),
    }


def _is_time(text: object) -> bool:
    try:
        datetime.fromisoformat(str(text))
    except ValueError:
        return False
    return isinstance(text, str)

"""One event as one line of the journal: how it is written, checked and read back.

    {"v":1,"seq":n,"id":…,"run":…,"kind":…,"ts":…,"mono":…,"crc":"8 hex digits","body":{…}}

The line is ASCII, so it cannot be cut inside a character and holds no line end but its last. The
checksum covers what stands before it and the body.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmport_magic.log.events import Event, Kind
from llmport_magic.secrets import MASK, redact

VERSION = 1
_STRING = rb'"(?:[^"\\]|\\.)*"'
_HEAD = re.compile(
    rb'\{"v":1,"seq":(?P<seq>\d+),"id":(?P<id>' + _STRING + rb'),"run":(?P<run>' + _STRING + rb"),"
    rb'"kind":(?P<kind>' + _STRING + rb'),"ts":(?P<ts>-?[\d.e+]+),"mono":(?P<mono>\d+),'
    rb'"crc":"(?P<crc>[0-9a-f]{8})","body":'
)
_NEWER = re.compile(rb'\{"v":(\d+),')
_CRC_SIZE = len('"crc":"00000000","body":')


class LineProblem(ValueError):
    """A line of a journal that cannot be used."""


class NewerLine(LineProblem):
    """A line that a later version of this package wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a line says before its body.

    Attributes:
        seq: the event's place in its session.
        id: the event's id.
        run: the id of the cell run.
        kind: what happened.
        ts: wall clock, seconds since the epoch.
        mono: the session's monotonic clock, nanoseconds.
    """

    seq: int
    id: str
    run: str
    kind: str
    ts: float
    mono: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A text that is too long for a line and lies in a file named by its hash.

    Attributes:
        sha256: of the file's bytes, and its name.
        characters: the text's length.
    """

    sha256: str
    characters: int


def encode(event: Event, *, seq: int, mono: int, blob: Blob | None = None) -> bytes:
    """Return the event's line, redacted.

    Args:
        event: what happened.
        seq: its place in the session.
        mono: the monotonic clock, nanoseconds.
        blob: where the event's text lies, when not in the line.
    """
    body: dict[str, Any] = {
        "module": event.module,
        "provider": event.provider,
        "model": event.model,
        "text": event.text if blob is None else "",
        "data": plain(event.data),
    }
    if blob is not None:
        body["blob"] = {"sha256": blob.sha256, "characters": blob.characters}
    head = {
        "v": VERSION,
        "seq": seq,
        "id": _safe(event.id),
        "run": _safe(event.run),
        "kind": str(event.kind),
        "ts": event.ts,
        "mono": mono,
    }
    first, rest = _dump(head)[:-1] + ",", _redacted(body) + "}"
    crc = zlib.crc32(rest.encode(), zlib.crc32(first.encode()))
    return f'{first}"crc":"{crc:08x}","body":{rest}\n'.encode()


def decode_head(line: bytes) -> Head:
    """Check a line and return its head; the body is not parsed.

    Raises:
        NewerLine: a later version wrote it.
        LineProblem: it is torn or damaged.
    """
    match = _HEAD.match(line)
    if match is None:
        newer = _NEWER.match(line)
        if newer and int(newer[1][:9]) > VERSION:
            raise NewerLine(f"written by a newer llmport_magic (format {int(newer[1][:9])})")
        raise LineProblem("not a line of ours")
    if not line.endswith(b"\n"):
        raise LineProblem("cut off")
    first, rest = line[: match.end() - _CRC_SIZE], memoryview(line)[match.end() : -1]
    if zlib.crc32(rest, zlib.crc32(first)) != int(match["crc"], 16):
        raise LineProblem("damaged: its checksum does not fit")
    try:
        return Head(
            seq=int(match["seq"]),
            id=_text(match["id"]),
            run=_text(match["run"]),
            kind=_text(match["kind"]),
            ts=float(match["ts"]),
            mono=int(match["mono"]),
        )
    except ValueError as error:
        raise LineProblem(f"damaged: {error}") from None


def decode(line: bytes) -> tuple[Head, Event, Blob | None]:
    """Check a line and return all of it; a text in a blob is empty in the event.

    Raises:
        LineProblem: it is torn or damaged, or a later version wrote it.
    """
    head = decode_head(line)
    try:
        body = json.loads(line)["body"]
        blob = None
        if body.get("blob") is not None:
            blob = Blob(
                sha256=str(body["blob"]["sha256"]), characters=int(body["blob"]["characters"])
            )
        event = Event(
            kind=Kind(head.kind),
            run=head.run,
            module=body["module"],
            provider=body["provider"],
            model=body["model"],
            text=str(body["text"]),
            data=dict(body["data"]),
            id=head.id,
            ts=head.ts,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LineProblem(f"damaged: {type(error).__name__}: {error}") from None
    return head, event, blob


def plain(value: Any) -> Any:
    """Return what JSON can hold of a value; everything else as its repr."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else repr(value)  # no NaN or infinity in JSON
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return repr(value)


def _text(literal: bytes) -> str:
    # A session is scanned by its heads: nearly all of them are without escapes.
    return json.loads(literal) if b"\\" in literal else literal[1:-1].decode()


def _safe(text: str) -> str:
    return redact(str(text))


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _redacted(body: dict[str, Any]) -> str:
    """Return the body as JSON without any secret, in whatever spelling."""
    text = _dump(body)
    clean = redact(text)
    if clean == text:
        return text
    # A pattern may have swallowed a quote: then each string is redacted on its own.
    clean = _dump(_redact_strings(body))
    if redact(clean) == clean:
        return clean
    whole = redact(clean)
    try:
        json.loads(whole)
    except ValueError:
        return _dump({"module": None, "provider": None, "model": None, "text": MASK, "data": {}})
    return whole


def _redact_strings(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(key): _redact_strings(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_redact_strings(each) for each in value]
    return value

"""Events as notebook cells: a view that nobody can make execute, fetch or break out of.

The same events always give the same bytes. Prompts and findings stand in fences longer than any
run of backticks in them; answers stand in code cells without outputs, or in raw cells.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from llmport_magic.log.events import Event, Kind

VERSION = 1
_LONGEST = 64_000
_SHOWN = 24_000
_FENCED = re.compile(
    r"\s*(`{3,}|~{3,})[ \t]*(?:python|py|python3)?[ \t]*\n(.*\n)\1\s*\Z", re.DOTALL | re.IGNORECASE
)
_CODE = re.compile(
    r"(?:import\s+\w|from\s+[\w.]+\s+import\b|def\s+\w+\s*\(|async\s+def\s|class\s+\w+\s*[:(]|@\w"
    r'|"""|\'\'\'|[A-Za-z_]\w*\s*(?::\s*[\w\[\], .]+\s*)?=[^=]|if\s+.+:\s*$)'
)
_BACKTICKS = re.compile(r"`+")
# NUL and its like are shown as the pictures that Unicode has of them.
_CONTROLS = {code: 0x2400 + code for code in range(32) if code not in {9, 10}} | {127: 0x2421}
_SURROGATES = re.compile("[\ud800-\udfff]")
_TITLES = {
    Kind.PROMPT: "Prompt",
    Kind.VERIFY: "Check",
    Kind.SELECTED: "Selected",
    Kind.IMPORT_ERROR: "Import error",
    Kind.ERROR: "Error",
    Kind.NOTE: "Note",
}
_FACTS = (
    "attempt",
    "status",
    "finish_reason",
    "cached",
    "usage",
    "cost",
    "seconds",
    "version",
    "request_id",
)


def page(cells: Sequence[dict[str, Any]], *, number: int, fingerprint: str) -> bytes:
    """Return a log page's bytes.

    Args:
        cells: what `event_cells()` gave.
        number: the page's number, from 1.
        fingerprint: names the state of the journal that the page shows.
    """
    book = {
        "metadata": {
            "llmport": {
                "v": VERSION,
                "page": number,
                "fingerprint": fingerprint,
                "cells": digest(cells),
            },
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
        "cells": list(cells),
    }
    return serialise(book)


def serialise(book: dict[str, Any]) -> bytes:
    """Return a notebook's bytes as we write them: a cell a line, which json does quickly."""
    rest = json.dumps({key: book[key] for key in book if key != "cells"}, ensure_ascii=False)
    cells = ",\n".join(json.dumps(cell, ensure_ascii=False) for cell in book["cells"])
    return f'{rest[:-1]}, "cells": [\n{cells}\n]}}\n'.encode("utf-8", "replace")


def digest(cells: Sequence[Any]) -> str:
    """Return a hash of what a reader of the cells sees, whoever wrote them to disk."""
    seen = []
    for cell in cells:
        source = cell.get("source", "")
        text = source if isinstance(source, str) else "".join(map(str, source))
        seen.append([cell.get("cell_type"), cell.get("id"), text, cell.get("outputs") or []])
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def event_cells(event: Event, session: str, *, where: str = "") -> list[dict[str, Any]]:
    """Return an event's cells.

    Args:
        event: what happened; a long text already cut by `cut()`.
        session: the session's id.
        where: the file of a text that is too long to show.
    """
    if event.kind is Kind.RESPONSE:
        return [_answer(event, session, event.text, where)]
    text = "" if event.kind is Kind.SELECTED else cut(_shown(event.text))
    lines = [_heading(event)]
    if text:
        fence = _fence(text)
        lines += ["", f"{fence}text", text.rstrip("\n"), fence]
    return [_cell("markdown", event, session, "\n".join(lines), where)]


def partial_cell(prompt: Event, arrived: str, session: str) -> dict[str, Any]:
    """Return the cell of an answer whose end was never recorded."""
    text = cut(_shown(arrived))
    source = f"[interrupted, or still arriving: no end of this answer is recorded]\n{text}".rstrip(
        "\n"
    )
    cell = _cell("raw", prompt, session, source, "", role="partial")
    cell["metadata"]["llmport"]["status"] = "interrupted"
    return cell


def cut(text: str, *, length: int | None = None, tail: str | None = None) -> str:
    """Return a text, or the beginning and the end of a long one.

    Args:
        text: the text, or its beginning.
        length: the whole text's length, where `text` is only its beginning.
        tail: the whole text's end, where `text` is only its beginning.
    """
    length = len(text) if length is None else length
    if length <= _LONGEST:
        return text
    end = text[-_SHOWN:] if tail is None else tail[-_SHOWN:]
    left_out = length - _SHOWN - len(end)
    return f"{text[:_SHOWN]}\n\n[… {left_out:,} characters are left out here …]\n\n{end}"


def _answer(event: Event, session: str, text: str, where: str) -> dict[str, Any]:
    status = event.data.get("status", "complete")
    shown = cut(_shown(text))
    code = None if where else _code_of(shown)
    if status != "complete":
        said = _shown(str(event.data.get("error") or ""))
        note = f"[{_shown(str(status))}{': ' if said else ''}{said}]"
        return _cell("raw", event, session, f"{note}\n{shown}".rstrip("\n"), where)
    if code is not None:
        return _cell("code", event, session, code.rstrip("\n"), where)
    if where:
        shown = f"[the whole text: {where}]\n{shown}"
    return _cell("raw", event, session, shown.rstrip("\n"), where)


def _code_of(text: str) -> str | None:
    """Return the code of an answer that is nothing else."""
    fenced = _FENCED.match(text)
    if fenced:
        return None if fenced[1] in fenced[2] else fenced[2]
    lines = (line for line in text.split("\n") if line.strip() and not line.startswith("#"))
    first = next(lines, "")
    return text if _CODE.match(first) and "```" not in text and "~~~" not in text else None


def _cell(
    kind: str, event: Event, session: str, source: str, where: str, *, role: str = "event"
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "event": event.id,
        "run": event.run,
        "session": session,
        "kind": str(event.kind),
        "time": _time(event),
        "module": event.module,
        "provider": event.provider,
        "model": event.model,
        **{name: event.data[name] for name in _FACTS if event.data.get(name) is not None},
    }
    if where:
        facts["text"] = where
    metadata: dict[str, Any] = {"llmport": _plain(facts)}
    identity = hashlib.sha256(f"{event.id} {role}".encode("utf-8", "surrogatepass")).hexdigest()[
        :16
    ]
    cell = {"cell_type": kind, "id": f"llmport-{identity}", "metadata": metadata, "source": source}
    if kind == "code":
        metadata["tags"] = ["skip-execution"]
        return cell | {"execution_count": None, "outputs": []}
    return cell


def _heading(event: Event) -> str:
    title = _TITLES.get(event.kind, str(event.kind).title())
    version = event.data.get("version")
    told = [
        f"**{title}**",
        _inline(event.module),
        _inline(f"version {version}" if version else None),
        _inline(f"{event.provider}/{event.model}" if event.provider else None),
        _inline(_attempt(event)),
        _inline(_time(event)),
    ]
    return " · ".join(part for part in told if part)


def _attempt(event: Event) -> str:
    """Say how a prompt was put; a check says it in its own first line."""
    number, style, seed = (event.data.get(name) for name in ("attempt", "style", "seed"))
    if event.kind is not Kind.PROMPT or number is None or style is None:
        return ""
    return f"attempt {number}, {style}" + ("" if seed is None else f", seed {seed}")


def _inline(text: str | None) -> str:
    """Return a text as code that Markdown cannot read as anything else."""
    if not text:
        return ""
    plain = re.sub(r"[`\s]+", " ", _shown(str(text))).strip()[:200]
    return f"`{plain}`" if plain else ""


def _fence(text: str) -> str:
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    return "`" * max(3, longest + 1)


def _shown(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROLS)
    return _SURROGATES.sub("\ufffd", text)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _shown(value)
    if isinstance(value, dict):
        return {_shown(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def _time(event: Event) -> str:
    try:
        return datetime.fromtimestamp(event.ts, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "unknown time"

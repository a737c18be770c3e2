"""Taking the specification out of an answer: as asked, fenced, as JSON, or among prose.

The candidates are its nodes without anything between them, all fenced blocks joined and each of
them, or where there is none what stands among the prose. Of those that are valid the one with the
most nodes is taken, of equals the last one: a model that corrects itself does so at the end. Where
none is valid it is the one in which the least is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llmport_magic.errors import LLMOutputError
from llmport_magic.gmn.findings import Report
from llmport_magic.modules.extraction import declined, normalised
from llmport_magic.modules.markdown import find_blocks

_MOST_CHARACTERS = 1_000_000
_HEAD = re.compile(
    r"^[ \t]*(node|agent|state|observation|action|emission|transition|preference|habit)\b[^\n{]*\{"
    r"|^[ \t]*\[(nodes|edges)\]|^##? ?(GNNSection|ModelName|StateSpaceBlock)\b|^[ \t]*\{[ \t]*$"
    r"|^[ \t]*\{[ \t]*\"",
    re.MULTILINE | re.IGNORECASE,
)
_NODE = re.compile(r"^[ \t]*(?:node[ \t]+\w+|agent)[ \t]+\w+[ \t]*\{", re.MULTILINE | re.IGNORECASE)
_CUT_OFF = {
    "length": "the answer was cut off at the token limit: raise `max_tokens`, or ask for a smaller "
    "model",
    "content_filter": "the provider withheld the answer: word the prompt differently",
    "error": "the answer ended with an error: ask again",
}


@dataclass(frozen=True, slots=True)
class Extracted:
    """The specification in an answer, and what is wrong with it.

    Attributes:
        text: as it stands in the answer.
        report: what validating it found.
    """

    text: str
    report: Report


def extract(
    answer: str, check: Callable[[str | Mapping[str, Any]], Report], *, finish_reason: str = "stop"
) -> Extracted:
    """Give the specification in an answer.

    Args:
        answer: as it arrived.
        check: validates a text or a mapping.
        finish_reason: why the model stopped.

    Raises:
        LLMOutputError: the answer is empty, withheld or cut off, or holds no specification.
    """
    if finish_reason in _CUT_OFF:
        raise LLMOutputError(_CUT_OFF[finish_reason], text=answer)
    clean = normalised(answer[:_MOST_CHARACTERS])
    if not clean.strip():
        raise LLMOutputError("the answer is empty: ask again, or use another model", text=answer)
    best: tuple[tuple[int, int], Extracted] | None = None
    for text in dict.fromkeys(_candidates(clean)):
        report = check(_read(text))
        rank = _rank(report, text)
        # Not above: of equals the last.
        if best is None or rank >= best[0]:
            best = rank, Extracted(text.strip("\n"), report)
    if best is None:
        raise LLMOutputError(_nothing(clean), text=answer)
    return best[1]


def _rank(report: Report, text: str) -> tuple[int, int]:
    if report.spec is None:
        return (-len(report.errors), len(text))
    spec = report.spec
    parts = (spec.factors, spec.modalities, spec.controls, spec.emissions, spec.transitions)
    return (1, sum(map(len, (*parts, spec.preferences))))


def _candidates(text: str) -> Iterator[str]:
    """Give what may be the specification, what is likelier behind what is less so."""
    if nodes := _only_nodes(text):
        yield nodes
    blocks = [b.text for b in find_blocks(text, _may_be_one) if _may_be_one(b.text)]
    if not blocks:
        yield from _among_prose(text)
        return
    if len(blocks) > 1:
        yield "\n\n".join(blocks)
    yield from blocks


def _may_be_one(text: str) -> bool:
    return _HEAD.search(text) is not None


def _among_prose(text: str) -> Iterator[str]:
    """Give what stands from the first line that begins a node to the last that ends one."""
    found = _HEAD.search(text)
    if found is None:
        return
    inner = text[found.start() :]
    last = inner.rfind("}")
    yield inner
    if last >= 0:
        end = inner.find("\n", last)
        yield inner if end < 0 else inner[:end]
        yield inner[: last + 1]


def _only_nodes(text: str) -> str:
    """Give the node blocks of a text, without the words and fences between them."""
    found, end = [], 0
    for match in _NODE.finditer(text):
        if match.start() < end:
            continue
        depth = 0
        for end in range(match.end() - 1, len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if not depth:
                found.append(text[match.start() : end + 1].strip())
                break
    return "\n".join(found)


def _read(text: str) -> str | Mapping[str, Any]:
    """Read JSON, also where the specification is one of its texts."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(data, dict):
        return text
    inner = [value for value in data.values() if isinstance(value, str) and _may_be_one(value)]
    if len(inner) == 1:
        return inner[0]
    tables = [value for value in data.values() if isinstance(value, dict)]
    return tables[0] if len(data) == len(tables) == 1 else data


def _nothing(text: str) -> str:
    first = next(line.strip() for line in text.split("\n") if line.strip())
    if declined(text):
        return f"the model declined: {first[:120]}"
    return (
        f"the answer holds no specification, it begins {first[:80]!r}: say more of what you want, "
        "or use another model"
    )

"""Prompts and the answers that passed, out of the journal: what a model can be tuned on.

One JSON object a line, in the form of chat fine-tuning:

    messages    a list of `{"role": …, "content": …}`: what was asked at first, and as the last one,
                of the assistant, the answer that passed in the end
    metadata    `task` (`gmn` or `code`), `name` (of the module or specification), `provider`,
                `model`, `attempt` (which answer passed, from 1), `proof` (`passed` or
                `unverified`), `run` and `time` (seconds since the epoch)

The journal holds no keys; what looks like one is masked here once more. Pictures are not in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llmport_magic.errors import UsageError
from llmport_magic.log.events import Event, Kind
from llmport_magic.log.reader import read_session, sessions
from llmport_magic.secrets import redact

Task = Literal["gmn", "code"]

# It stands in what a model is told first that is to write a specification, see
# `gmn/writing/prompts.toml`.
_GMN = "active-inference agents"
_FENCE = "```"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: how many pairs, and what of the journal could not be read."""

    pairs: int
    problems: tuple[str, ...] = ()


def export_pairs(
    directory: str | os.PathLike[str],
    file: str | os.PathLike[str],
    task: Task | None = None,
    *,
    unverified: bool = False,
) -> Exported:
    """Write the pairs of a module folder's journal; see above for their form.

    Args:
        directory: the module folder; the journal lies in its `.llmport/journal/`.
        file: where to write; it must not be there yet.
        task: `gmn` for specifications, `code` for modules; `None` is both.
        unverified: also modules that no example has proved.

    Raises:
        UsageError: the file is there already, or the task is unknown.
        OSError: it cannot be written.
    """
    if task not in (None, "gmn", "code"):
        raise UsageError(f"the task is `gmn` or `code`, not `{task}`")
    wanted = {"passed", "unverified"} if unverified else {"passed"}
    problems: list[str] = []
    lines: dict[str, str] = {}
    for path in sessions(Path(directory)):
        events, wrong = read_session(path)
        problems += wrong
        for pair in _pairs(events, wanted):
            if task in (None, pair["metadata"]["task"]):
                # The same question with the same answer counts once.
                lines.setdefault(json.dumps(pair["messages"]), json.dumps(pair))
    try:
        with Path(file).open("x", encoding="utf-8") as written:
            written.writelines(f"{line}\n" for line in lines.values())
    except FileExistsError:
        raise UsageError(f"`{file}` is there already: name another file") from None
    return Exported(len(lines), tuple(problems))


def _pairs(events: list[Event], wanted: set[str]) -> Iterator[dict[str, Any]]:
    """Give the pairs of one session."""
    first: dict[str, Event] = {}
    asked: dict[str, Event] = {}
    answered: dict[str, Event] = {}
    for event in events:
        if event.kind is Kind.PROMPT:
            first.setdefault(event.run, event)
            asked[event.run] = event
            answered.pop(event.run, None)
        elif event.kind is Kind.RESPONSE and event.data.get("status") == "complete":
            answered[event.run] = event
        elif event.kind is Kind.VERIFY and event.run in answered:
            verdict = event.data.get("verdict")
            proof = verdict.get("proof") if isinstance(verdict, Mapping) else None
            if proof in wanted:
                yield _pair(first[event.run], asked[event.run], answered.pop(event.run), proof)


def _pair(first: Event, asked: Event, answer: Event, proof: str) -> dict[str, Any]:
    messages = [
        {"role": str(each.get("role")), "content": redact(str(each.get("content") or ""))}
        for each in first.data.get("messages") or ()
    ]
    task = "gmn" if messages and _GMN in messages[0]["content"] else "code"
    content = redact(_whole(answer.text, asked.data.get("options")))
    return {
        "messages": [*messages, {"role": "assistant", "content": content}],
        "metadata": {
            "task": task,
            "name": answer.module,
            "provider": answer.provider,
            "model": answer.model,
            "attempt": answer.data.get("attempt"),
            "proof": proof,
            "run": answer.run,
            "time": answer.ts,
        },
    }


def _whole(text: str, options: Any) -> str:
    """Give an answer with its start, where that was given to the model, and with its fence."""
    start = str(options.get("prefill") or "") if isinstance(options, Mapping) else ""
    if not start or text.startswith(start):
        return text
    end = f"\n{_FENCE}" if start.startswith(_FENCE) and not text.rstrip().endswith(_FENCE) else ""
    return f"{start}{text.rstrip()}{end}" if end else start + text

"""The requests of the benchmark, and how an answer to one of them is judged.

A task is what a user would write in a cell, examples included. Whether an answer is right is told
by further examples, which no model ever sees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml

from llmport_magic.modules.examples import Example, parse_examples
from llmport_magic.modules.verification import verify
from llmport_magic.settings import Settings

if TYPE_CHECKING:
    from llmport_magic.modules.verdict import Verdict

FOLDER = Path(__file__).with_name("tasks")


@dataclass(frozen=True, slots=True)
class Task:
    """One request.

    Attributes:
        area: what it is about; the name of its file.
        name: the name of the module that is asked for.
        prompt: what the user writes below `%%llmport NAME`.
        held_out: further examples in the same notation, which no model sees.
        solution: a module that passes all of them.
    """

    area: str
    name: str
    prompt: str
    held_out: str
    solution: str

    @property
    def half(self) -> Literal["tuning", "confirmation"]:
        """Tell whether its failures may be read while prompts are worded; its name decides."""
        digest = hashlib.sha256(self.name.encode()).digest()
        return "tuning" if digest[-1] % 2 == 0 else "confirmation"


def load() -> tuple[Task, ...]:
    """Read every task, in an order that mixes the areas: the first ones of a run tell of all."""
    tasks = [
        Task(area=path.stem, **fields)
        for path in sorted(FOLDER.glob("*.yaml"))
        for fields in yaml.safe_load(path.read_text("utf-8"))
    ]
    return tuple(sorted(tasks, key=lambda task: hashlib.sha256(task.name.encode()).digest()))


def fingerprint() -> str:
    """Give a hash over all task files, so that a result says which tasks it is about."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.yaml")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


async def check(
    source: str, task: Task, examples: Sequence[Example], settings: Settings
) -> Verdict:
    """Run examples against a module with the check that every module of a user goes through."""
    return await verify(
        source,
        module_name=task.name,
        examples=examples,
        settings=settings,
        module_dir=Path(settings.module_dir),
    )


def holds(verdict: Verdict) -> bool:
    """Tell whether every example was run and passed: one that was not run proves nothing."""
    return verdict.proof == "passed" and all(e.status == "passed" for e in verdict.examples)


async def passes_hidden(source: str, task: Task, settings: Settings) -> bool:
    """Tell whether an answer passes the examples that its model has not seen."""
    return holds(await check(source, task, parse_examples(task.held_out), settings))

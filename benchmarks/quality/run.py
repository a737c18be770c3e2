"""How often an answer is right: one call of the embedded model against the whole pipeline.

    python benchmarks/quality/run.py small large [--slots 4] [--threads 1] [--half tuning]

Both roads use the same weights; answers are kept in `.benchmarks/quality.jsonl`, so that a run that
was interrupted goes on where it stopped. Limits of time are off: on a busy machine they would
decide results; tries and tokens are as a user has them. Writes `results/SIZE.json` and
`results/SIZE.md`; see docs/quality.md.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from figures import Pair, table
from measuring import Measurement, each_size, measured, options_of
from roads import Outcome, one_call, pipeline
from task import Task, fingerprint, load

from llmport_magic.llm.registry import connector_for
from llmport_magic.session import Session
from llmport_magic.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent


def arguments() -> argparse.Namespace:
    """Read the command line."""
    what = "Measure how often answers are right."
    parser = options_of(what, HERE, halves=["tuning", "confirmation"], slots=4, threads=1)
    parser.add_argument("--tasks", nargs="*", help="only these tasks")
    parser.add_argument("--templates", help="a file of other templates, to compare wordings")
    parser.add_argument("--baseline-only", action="store_true", help="ask once for each task")
    return parser.parse_args()


async def both(task: Task, settings: Settings, session: Session, *, short: bool) -> Pair:
    """Take both roads to one task."""
    first = await one_call(task, connector_for(settings), settings)
    second = Outcome() if short else await pipeline(task, settings, session)
    # `o` passes the examples that are shown, and not the hidden ones.
    marks = ["+" if one.right else "o" if one.examples else "-" for one in (first, second)]
    print(
        f"{task.name:20} {' '.join(marks)} {second.attempts} {' '.join(second.styles)}", flush=True
    )
    return first, second


async def measure(size: str, tasks: Sequence[Task], options: argparse.Namespace) -> None:
    """Measure one model and write down what came of it."""
    free = asyncio.Semaphore(options.slots + 1)
    with measured(size, options, templates=options.templates) as run:

        async def one(task: Task) -> Pair:
            async with free:
                return await both(task, run.settings, run.session, short=options.baseline_only)

        pairs = await asyncio.gather(*(one(task) for task in tasks))
    write_down(run, tasks, pairs)


def write_down(run: Measurement, tasks: Sequence[Task], pairs: Sequence[Pair]) -> None:
    """Write the results as data and as text, and print them."""
    failing = [
        task.name
        for task, (_, second) in zip(tasks, pairs, strict=True)
        if second.stored and not second.examples
    ]
    # The promise of the product: what fails its examples is never handed over.
    assert not failing, f"stored although their own examples fail: {failing}"
    groups: dict[str, Sequence[Pair]] = {"all": pairs}
    for half in ("tuning", "confirmation"):
        found = zip(tasks, pairs, strict=True)
        groups[half] = [pair for task, pair in found if task.half == half]
    counted = {"tasks": len(tasks), "tasks_fingerprint": fingerprint()}
    facts = run.facts(counted, {"stored although their own examples fail": 0})
    outcomes = [
        {
            "area": task.area,
            "name": task.name,
            "half": task.half,
            "one_call": asdict(first),
            "pipeline": asdict(second),
        }
        for task, (first, second) in zip(tasks, pairs, strict=True)
    ]
    run.write(run.size, facts, outcomes, table(groups))


def main() -> None:
    """Measure the models that were asked for, one after the other."""
    options = arguments()
    tasks = [
        task
        for task in load()
        if options.half in (None, task.half) and (not options.tasks or task.name in options.tasks)
    ]
    each_size(options, lambda size: measure(size, tasks, options))


if __name__ == "__main__":
    main()

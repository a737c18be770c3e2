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
import json
import sys
import tempfile
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from figures import Pair, table
from machine import commit, machine
from record import Record, RecordedConnector, answers, record, serve
from roads import Outcome, one_call, pipeline
from task import Task, fingerprint, load

from llmport_magic.llm import embedded
from llmport_magic.llm.registry import connector_for, register_provider
from llmport_magic.session import Session
from llmport_magic.settings import Settings, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
RECORD = HERE.parents[1] / ".benchmarks" / "quality.jsonl"
_NO_LIMIT_SECONDS = 1_000_000.0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure how often answers are right.")
    parser.add_argument("sizes", nargs="+", choices=["small", "large"])
    parser.add_argument("--slots", type=int, default=4, help="requests side by side")
    parser.add_argument("--threads", type=int, default=1, help="of the engine")
    parser.add_argument("--half", choices=["tuning", "confirmation"], help="only these tasks")
    parser.add_argument("--tasks", nargs="*", help="only these tasks")
    parser.add_argument("--record", type=Path, default=RECORD, help="the file of kept answers")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--templates", help="a file of other templates, to compare wordings")
    parser.add_argument("--baseline-only", action="store_true", help="ask once for each task")
    return parser.parse_args()


def settings_of(size: str, folder: str, templates: str | None) -> Settings:
    """Give the settings of a user who has set nothing, but for who answers and the time."""
    return resolve(
        provider="recorded",
        embedded_model=size,
        module_dir=folder,
        templates=templates,
        budget_seconds=_NO_LIMIT_SECONDS,
        total_timeout=_NO_LIMIT_SECONDS,
        idle_timeout=_NO_LIMIT_SECONDS,
    )


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
    begun, book = time.time(), Record(options.record)
    record.set(book)
    answers.set([])
    serve(size, options.threads, options.slots)
    free = asyncio.Semaphore(options.slots + 1)
    with tempfile.TemporaryDirectory() as folder:
        settings, session = settings_of(size, folder, options.templates), Session()

        async def one(task: Task) -> Pair:
            async with free:
                return await both(task, settings, session, short=options.baseline_only)

        pairs = await asyncio.gather(*(one(task) for task in tasks))
        session.close()
    embedded.unload()
    run = f"{book.asked} answers asked now, {time.time() - begun:.0f} s"
    write_down(size, tasks, pairs, options, run)


def write_down(
    size: str,
    tasks: Sequence[Task],
    pairs: Sequence[Pair],
    options: argparse.Namespace,
    run: str,
) -> None:
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
    facts = {
        "model": size,
        "tasks": len(tasks),
        "tasks_fingerprint": fingerprint(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "xllamacpp": version("xllamacpp"),
        "slots": options.slots,
        "threads": options.threads,
        "run": run,
        "stored although their own examples fail": 0,
    }
    text = table(groups)
    listed = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"{size}.md").write_text(f"# The {size} model\n\n{text}\n\n{listed}\n")
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
    (options.results / f"{size}.json").write_text(
        json.dumps({"facts": facts, "outcomes": outcomes}, indent=1, ensure_ascii=False) + "\n"
    )
    print(f"\n{text}\n\n{listed}")


def main() -> None:
    """Measure the models that were asked for, one after the other."""
    options = arguments()
    tasks = [
        task
        for task in load()
        if options.half in (None, task.half) and (not options.tasks or task.name in options.tasks)
    ]
    register_provider("recorded", connector=RecordedConnector, key_required=False)
    for size in options.sizes:
        asyncio.run(measure(size, tasks, options))


if __name__ == "__main__":
    main()

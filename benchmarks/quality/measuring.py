"""What measuring the embedded model takes, whatever it is asked for: options, the model, the facts.

Answers are kept, so that a run that was interrupted goes on where it stopped. Limits of time are
off: on a busy machine they would decide results.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from machine import commit, machine
from record import Record, RecordedConnector, answers, record, serve

from llmport_magic.llm import embedded
from llmport_magic.llm.registry import register_provider
from llmport_magic.session import Session
from llmport_magic.settings import Settings, resolve

_KEPT = Path(__file__).resolve().parents[2] / ".benchmarks"
_NO_LIMIT_SECONDS = 1_000_000.0


def options_of(
    description: str, here: Path, *, halves: Sequence[str], slots: int, threads: int
) -> argparse.ArgumentParser:
    """Give the options that every measurement has.

    Args:
        description: what is measured.
        here: the folder of the script; its name is that of the file of kept answers.
        halves: the parts of what is asked.
        slots: how many requests go side by side where nobody says it.
        threads: of the engine where nobody says it.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("sizes", nargs="+", choices=["small", "large"])
    parser.add_argument("--half", choices=halves, help="only this half")
    parser.add_argument("--slots", type=int, default=slots, help="requests side by side")
    parser.add_argument("--threads", type=int, default=threads, help="of the engine")
    kept = _KEPT / f"{here.name}.jsonl"
    parser.add_argument("--record", type=Path, default=kept, help="the file of kept answers")
    parser.add_argument("--results", type=Path, default=here / "results")
    return parser


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One model that is being measured.

    Attributes:
        size: which one.
        options: what the command line says.
        settings: of a user who has set nothing, but for who answers and the time.
        session: of that user.
        begun: when the measurement began.
        book: the answers that are kept.
    """

    size: str
    options: argparse.Namespace
    settings: Settings
    session: Session
    begun: float
    book: Record

    def facts(self, counted: Mapping[str, object], more: Mapping[str, object]) -> dict[str, object]:
        """Give what belongs beside the numbers: what was asked, of what, where and how long."""
        seconds = time.time() - self.begun
        return {
            "model": self.size,
            **counted,
            "commit": commit(),
            "date": time.strftime("%Y-%m-%d"),
            "machine": machine(),
            "xllamacpp": version("xllamacpp"),
            "slots": self.options.slots,
            "threads": self.options.threads,
            **more,
            "run": f"{self.book.asked} answers asked now, {seconds:.0f} s",
        }

    def write(self, name: str, facts: Mapping[str, object], outcomes: object, *texts: str) -> None:
        """Write the results as data and as text, and print the first of the texts.

        Args:
            name: of the files.
            facts: what belongs beside the numbers.
            outcomes: the data.
            texts: the figures, and what stands below them and the facts.
        """
        listed = "\n".join(f"- {name}: {value}" for name, value in facts.items())
        figures, *below = texts
        self.options.results.mkdir(parents=True, exist_ok=True)
        page = "\n\n".join([f"# The {self.size} model", figures, listed, *below])
        (self.options.results / f"{name}.md").write_text(f"{page}\n")
        data = json.dumps({"facts": facts, "outcomes": outcomes}, indent=1, ensure_ascii=False)
        (self.options.results / f"{name}.json").write_text(f"{data}\n")
        print(f"\n{figures}\n\n{listed}")


@contextmanager
def measured(size: str, options: argparse.Namespace, **settings: Any) -> Iterator[Measurement]:
    """Let a model answer with the record in front, in a folder of its own; end it afterwards."""
    begun, book = time.time(), Record(options.record)
    record.set(book)
    answers.set([])
    serve(size, options.threads, options.slots)
    with tempfile.TemporaryDirectory() as folder:
        resolved = resolve(
            provider="recorded",
            embedded_model=size,
            module_dir=folder,
            budget_seconds=_NO_LIMIT_SECONDS,
            total_timeout=_NO_LIMIT_SECONDS,
            idle_timeout=_NO_LIMIT_SECONDS,
            **settings,
        )
        session = Session()
        yield Measurement(
            size=size, options=options, settings=resolved, session=session, begun=begun, book=book
        )
        session.close()
    embedded.unload()


def each_size(
    options: argparse.Namespace, measure: Callable[[str], Coroutine[Any, Any, None]]
) -> None:
    """Measure the models that were asked for, one after the other."""
    register_provider("recorded", connector=RecordedConnector, key_required=False)
    for size in options.sizes:
        asyncio.run(measure(size))

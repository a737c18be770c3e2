"""The benchmark's tasks can be solved, and their hidden examples tell wrong from right."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from awaiting import PATIENCE

from llmport_magic.modules.examples import Example, parse_examples
from llmport_magic.modules.names import check_module_name
from llmport_magic.settings import Settings, resolve

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks" / "quality"))

from figures import ratio, wilson
from record import Kept, Record
from roads import Outcome
from task import Task, check, holds, load

TASKS = load()
EMPTY = '"""Nothing is in here."""\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose modules lie in a folder of the test."""
    return resolve(module_dir=str(tmp_path), sandbox_seconds=PATIENCE)


async def failing(
    sources: Iterable[tuple[Task, str]], text: str, settings: Settings
) -> dict[str, tuple[str, ...]]:
    """Check modules, two at a time; gives what is wrong with those that do not hold."""
    free = asyncio.Semaphore(2)

    async def one(task: Task, source: str) -> tuple[str, tuple[str, ...]] | None:
        examples = [e for part in text.split("+") for e in parse_examples(getattr(task, part))]
        async with free:
            verdict = await check(source, task, examples, settings)
        return None if holds(verdict) else (task.name, verdict.findings)

    found = await asyncio.gather(*(one(task, source) for task, source in sources))
    return dict(each for each in found if each is not None)


def test_there_are_enough_tasks(tmp_path: Path) -> None:
    """There are at least 100 tasks whose names are unique and allowed (issue 5, point 8)."""
    names = [task.name for task in TASKS]

    assert len(TASKS) >= 100
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert [check_module_name(name, directory=tmp_path) for name in names] == names


def _normal(example: Example) -> str:
    return re.sub(r"\s+", "", example.source)


def test_hidden_examples_are_others() -> None:
    """Each prompt has two examples or more, and none is among its four or more hidden ones."""
    for task in TASKS:
        shown = [e for e in parse_examples(task.prompt) if e.expected or e.raises]
        hidden = [e for e in parse_examples(task.held_out) if e.expected or e.raises]
        assert len(shown) >= 2, task.name
        assert len(hidden) >= 4, task.name
        assert not {_normal(e) for e in shown} & {_normal(e) for e in hidden}, task.name
        assert not any(e.needs_io for e in (*shown, *hidden)), task.name


def test_both_halves_are_large() -> None:
    """Tuning and confirmation each have at least two fifths of the tasks."""
    sizes = Counter(task.half for task in TASKS)

    assert min(sizes["tuning"], sizes["confirmation"]) >= 0.4 * len(TASKS)


async def test_every_task_can_be_solved(settings: Settings) -> None:
    """Each reference solution passes the real check with shown and hidden examples."""
    solutions = ((task, task.solution) for task in TASKS)

    assert await failing(solutions, "prompt+held_out", settings) == {}


async def test_an_empty_module_solves_nothing(settings: Settings) -> None:
    """A module that defines nothing fails the hidden examples of each task."""
    nothing = ((task, EMPTY) for task in TASKS)

    assert len(await failing(nothing, "held_out", settings)) == len(TASKS)


def test_the_interval_of_a_rate() -> None:
    """Wilson's interval has the values of the literature, and stays within 0 and 1."""
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_the_interval_of_a_ratio() -> None:
    """Tasks are drawn with both their roads: the ratio's interval holds it and comes out again."""
    right = Outcome(hidden=True, examples=True)
    both, gained = (right, right), (Outcome(), right)
    pairs = [both] * 20 + [gained] * 10 + [(Outcome(), Outcome())] * 20
    value, low, high = ratio(pairs)

    assert value == 1.5
    assert 1.0 < low < 1.5 < high < 2.5
    assert ratio(pairs) == (value, low, high)
    assert ratio([both] * 20) == (1.0, 1.0, 1.0)


def test_right_is_what_passes_everything() -> None:
    """A module that fails an example of its prompt is not right, whatever the hidden ones say."""
    hidden = Outcome(hidden=True)
    assert not hidden.right
    assert not Outcome(examples=True).right
    assert Outcome(hidden=True, examples=True).right
    right = Outcome(hidden=True, examples=True)
    assert ratio([(hidden, right), (right, right)])[0] == 2.0
    assert ratio([(hidden, right), (right, right)], "hidden")[0] == 1.0


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    """Answers are there in the next run, also those after half a line of a run that was killed."""
    path, kept = tmp_path / "record.jsonl", Kept("def f(): ...\n", "stop", 10, 5, 1.5)
    Record(path).put("a", kept)
    with path.open("a") as file:
        file.write('{"key": "b", "content": "half')
    Record(path).put("c", kept)
    again = Record(path)

    assert (again.get("a"), again.get("b"), again.get("c")) == (kept, None, kept)

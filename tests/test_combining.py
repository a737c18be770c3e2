"""Answers that have other functions right each make one module; only examples decide."""

from __future__ import annotations

from dataclasses import dataclass

from llmport_magic.modules.combining import combine
from llmport_magic.modules.verdict import ExampleOutcome

FIRST = '''"""Sums."""

LIMIT = 10

def area(r):
    return 3 * r * r

def around(r):
    return r
'''
SECOND = """import math

TURN = 2 * math.pi

def _turned(r):
    return TURN * r

def area(r):
    return r

def around(r):
    return _turned(r)
"""


@dataclass(frozen=True)
class Failed:
    """An answer that failed, and which of its examples passed."""

    source: str
    examples: tuple[ExampleOutcome, ...]


def failed(source: str, **outcomes: bool) -> Failed:
    """Make an answer out of its text and, by example, whether it passed; `_` stands for a call."""
    examples = tuple(
        ExampleOutcome(source=f"{name}(1)", status="passed" if ok else "failed")
        for name, ok in outcomes.items()
    )
    return Failed(source, examples)


def test_each_function_comes_from_the_answer_that_has_it_right() -> None:
    """What fails in one answer is replaced, with what it needs, out of the other (S0-43)."""
    tried = [failed(FIRST, area=True, around=False), failed(SECOND, area=False, around=True)]
    source = combine(tried)
    assert source is not None
    names: dict[str, object] = {}
    exec(source, names)

    assert names["area"](1) == 3  # type: ignore[operator]
    assert round(names["around"](1), 4) == 6.2832  # type: ignore[operator]
    assert combine(tried[::-1]) is not None


def test_nothing_is_made_of_answers_that_have_the_same_right() -> None:
    """Without an answer that passes a function's examples there is no combination (S0-43)."""
    one = failed(FIRST, area=True, around=False)

    assert combine([one]) is None
    assert combine([one, failed(SECOND, area=True, around=False)]) is None
    assert combine([one, failed("def around(r):\n  return (", area=False, around=True)]) is None
    assert combine([one, failed(SECOND, area=False, around=False)]) is None


def test_a_later_example_uses_what_an_earlier_one_made() -> None:
    """An example of a variable is one of the class that the variable is of (S0-43)."""
    lines = ("box = Box(1)", "box.size", "circle.area(2)")
    good, bad = "class Box:\n    size = 1\n", "class Box:\n    size = 2\n"

    def tried(text: str, area: str, outcomes: tuple[bool, bool, bool]) -> Failed:
        examples = tuple(
            ExampleOutcome(source=line, status="passed" if ok else "failed")
            for line, ok in zip(lines, outcomes, strict=True)
        )
        return Failed(f"{text}\ndef area(r):\n    return {area}\n", examples)

    source = combine([tried(good, "0", (True, True, False)), tried(bad, "12", (True, False, True))])

    assert source is not None
    assert "size = 1" in source
    assert "return 12" in source

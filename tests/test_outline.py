"""What of a module is sent for a change: an outline, and what the change is about in full."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ordinary_modules import ORDINARY

from llmport_magic.llm.cost import estimate_tokens
from llmport_magic.modules import outline
from llmport_magic.modules.outline import changed_names, excerpt, with_lines

LONG = "    # the way to it is long\n" * 30
SHAPES = f'''"""Shapes.

More about shapes.
"""

import functools
from math import pi

LIMIT = 10
TABLE = {{
    "secret": 1,
}}
__all__ = [
    "area",
    "Stack",
]


def check(r):
    """Check a radius.

    At length.
    """
{LONG}    return r


# the area of a circle
@functools.cache
def area(r: float, *, exact: bool = True) -> float:
    """Area."""
{LONG}    return pi * check(r) ** 2


async def sector(r, d):
{LONG}    return area(r) * d / 360


class Stack(list):
    """A stack.

    Of anything.
    """

    size: int = 0

    @property
    def top(self) -> int:
        """The last one."""
{LONG}        return self[-1]

    def push(self, x):
{LONG}        return self.append(x)


if __name__ == "__main__":
    print(area(3))
'''


def test_the_outline_names_everything_and_holds_no_body() -> None:
    """Docstrings' first lines, imports, constants and signatures are sent, bodies not (S3-61)."""
    sent = excerpt(SHAPES, "make sector faster")
    assert sent is not None
    assert ast.parse(sent.text)
    assert sent.text.startswith('"""Shapes."""\n\nimport functools\nfrom math import pi\n')
    assert "LIMIT = 10\nTABLE = ...\n" in sent.text
    assert '__all__ = [\n    "area",\n    "Stack",\n]' in sent.text
    assert 'def check(r):\n    """Check a radius."""\n    ...' in sent.text
    assert (
        '''class Stack(list):
    """A stack."""
    size: int = ...

    @property
    def top(self) -> int:
        """The last one."""
        ...

    def push(self, x):
        ...
'''
        in sent.text
    )
    assert 'if __name__ == "__main__":\n    ...' in sent.text
    for left_out in ("secret", "At length", "More about", "Of anything", "return r\n", "print"):
        assert left_out not in sent.text


def test_what_is_named_and_what_it_uses_stand_in_full() -> None:
    """The named function stands to the letter, and what it uses directly; no more (S3-61)."""
    sent = excerpt(SHAPES, "make sector faster")
    assert sent is not None
    assert f"async def sector(r, d):\n{LONG}    return area(r) * d / 360" in sent.text
    assert "# the area of a circle\n@functools.cache\ndef area(r: float, *, exact" in sent.text
    assert "return pi * check(r) ** 2" in sent.text
    assert {"sector", "area", "LIMIT", "__all__", "pi"} <= sent.shown
    assert not {"check", "Stack", "TABLE", "__main__"} & sent.shown


@pytest.mark.parametrize(
    "about",
    ["Stack.push takes several", "let `push` return nothing", ">>> s = Stack()\n>>> s.top\n3"],
)
def test_a_method_stands_for_its_class(about: str) -> None:
    """A method that is named, dotted, alone or in an example, brings its class in full (S3-61)."""
    sent = excerpt(SHAPES, about)
    assert sent is not None
    assert "return self.append(x)" in sent.text
    assert "return self[-1]" in sent.text
    assert "Stack" in sent.shown
    assert "return area(r) * d" not in sent.text


def test_the_main_block_and_constants_can_be_named() -> None:
    """A constant and the `__main__` block stand in full where they are named (S3-61)."""
    sent = excerpt(SHAPES, "let TABLE hold two, and __main__ print it")
    assert sent is not None
    assert '"secret": 1' in sent.text
    assert "print(area(3))" in sent.text
    assert {"TABLE", "__main__", "area"} <= sent.shown


def test_what_is_used_stays_within_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the named ones use is shown only within the budget; what is named always (S3-61)."""
    named = excerpt(SHAPES, "make sector faster")
    assert named is not None
    assert "area" in named.shown
    monkeypatch.setattr(outline, "FULL_TOKENS", estimate_tokens(LONG))
    sent = excerpt(SHAPES, "make sector faster")
    assert sent is not None
    assert "sector" in sent.shown
    assert "area" not in sent.shown
    assert estimate_tokens(sent.text) < estimate_tokens(named.text)


@pytest.mark.parametrize(
    ("source", "about"),
    [
        (SHAPES, "add a function that gives a perimeter"),
        (SHAPES, "use pi and functools more"),
        (SHAPES, "sectors"),
        (SHAPES, "change area, check, sector and Stack"),
        ("def area(r):\n    return r\n", "area"),
        (SHAPES + "\n(", "area"),
        ("", "area"),
    ],
    ids=[
        "nothing named",
        "only imports",
        "part of a word",
        "all named",
        "short",
        "broken",
        "empty",
    ],
)
def test_otherwise_the_whole_is_sent(source: str, about: str) -> None:
    """There is no excerpt where nothing is named, little is saved, or it is no Python (S3-61)."""
    assert excerpt(source, about) is None


def test_an_excerpt_saves_a_third_at_least() -> None:
    """An excerpt has at most two thirds of the tokens of the whole (S3-61)."""
    filler = "def other(r):\n" + "    # why\n" * 200 + "    return r\n"
    just = "def area(r):\n" + "    # why\n" * 400 + "    return r\n"
    sizes = [
        estimate_tokens(sent.text) / estimate_tokens(just + filler * count)
        for count in range(12)
        if (sent := excerpt(just + filler.replace("other", "f") * count, "area"))
    ]
    assert sizes
    assert max(sizes) <= 2 / 3


@pytest.mark.parametrize("source", ORDINARY.values(), ids=ORDINARY)
def test_every_ordinary_module_has_an_outline(source: str) -> None:
    """The outline of any ordinary module is Python and holds each of its definitions (S3-61)."""
    other = "\n\ndef named_for_the_test():\n" + "    # why\n" * 40 + "    return 1\n"
    filler = "\n\ndef filler():\n" + "    # why\n" * 400 + "    return 1\n"
    sent = excerpt(source + other + filler, "named_for_the_test")
    assert sent is not None
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    names = [node.name for node in ast.parse(source).body if isinstance(node, kinds)]
    assert [n.name for n in ast.parse(sent.text).body if isinstance(n, kinds)][
        : len(names)
    ] == names
    assert estimate_tokens(sent.text) < estimate_tokens(source) + 200


def test_our_own_files_are_much_shorter() -> None:
    """Of this package's own files one function's excerpt leaves half out or more (S3-61)."""
    for name, about in (
        ("mending", "drop_own_tests"),
        ("extraction", "_is_prose"),
        ("gate", "parses"),
    ):
        source = (Path(outline.__file__).parent / f"{name}.py").read_text("utf-8")
        sent = excerpt(source, about)
        assert sent is not None
        assert estimate_tokens(sent.text) * 2 <= estimate_tokens(source)


def test_what_a_candidate_changed_is_told_by_name() -> None:
    """`changed_names` tells new and changed definitions; text that is no Python has none."""
    assert changed_names("a = 1\nb = 2\n", "a = 1\nb = 3\ndef c(): pass\n") == {"b", "c"}
    assert changed_names("a = 1\n", "(") == frozenset()


def test_findings_quote_their_line() -> None:
    """A finding that counts a line says what stands there and in which definition (S3-61)."""
    source = "x = 1\n\n\ndef area(r):\n    return r / 0\n"
    told = with_lines(["ZeroDivisionError: division by zero (line 5)", "wrong", "line 99"], source)
    assert told == (
        "ZeroDivisionError: division by zero (line 5); that line is `return r / 0`, in `area`",
        "wrong",
        "line 99",
    )

"""Threads that parse at the same time do not break each other's trees."""

from __future__ import annotations

import ast
import gc
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import llmport_magic
from llmport_magic.modules import parsing
from llmport_magic.modules.gate import parse_module
from llmport_magic.modules.parsing import parse

SOURCE = "\n".join(f"def f{number}(a, b):\n    return [a + b * {number}]" for number in range(40))


@pytest.fixture
def broken_into() -> Iterator[list[object]]:
    """Let another thread parse, from another depth, whenever the first one is halfway through."""
    main, done = threading.get_ident(), []

    def deeper(depth: int) -> ast.AST:
        return deeper(depth - 1) if depth else ast.parse("a = 1")

    def collected(phase: str, _: object) -> None:
        if phase == "start" and threading.get_ident() == main and len(done) < 3:
            other = threading.Thread(target=lambda: done.append(deeper(100)))
            other.start()
            other.join()

    before = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(50, *before[1:])
    yield done
    gc.set_threshold(*before)
    gc.callbacks.remove(collected)


def test_what_another_thread_broke_is_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost count of depth is tried again; any other error of the system is told."""
    lost = SystemError("AST constructor recursion depth mismatch (before=72, after=22)")
    errors = [lost, lost, SystemError("out of order")]

    def broken(*given: Any) -> ast.AST:
        if errors:
            raise errors.pop(0)
        return ast.parse(*given)

    # Not in `ast` itself: pytest parses, too, to show what failed.
    monkeypatch.setattr(parsing, "ast", SimpleNamespace(parse=broken))
    with pytest.raises(SystemError, match="out of order"):
        parse(SOURCE)
    errors[:] = [lost, lost]
    assert len(parse(SOURCE).body) == 40


def test_another_thread_may_parse_meanwhile(broken_into: list[object]) -> None:
    """A tree is whole although other threads parsed while it was made (3.11.7 fails)."""
    tree = parse(SOURCE)
    assert broken_into
    assert ast.unparse(tree) == ast.unparse(ast.parse(SOURCE))


@pytest.mark.parametrize("make", [parse, ast.parse])
def test_bad_text_is_told_as_python_does(make: Callable[[str], object]) -> None:
    """What Python cannot read raises what `ast.parse` raises, once."""
    with pytest.raises(SyntaxError, match="invalid syntax"):
        make("def (")
    with pytest.raises((SyntaxError, ValueError), match="null bytes"):
        make("a\0")


@pytest.fixture
def no_garbage() -> Iterator[None]:
    """Let what other tests left unclosed be found, and warned of, before this one and not in it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


WARNED = 'x = "\\d"\ny = x is 1\n'


@pytest.mark.usefixtures("no_garbage")
@pytest.mark.parametrize("action", ["error", "always"])
def test_python_warns_of_nothing(action: str, recwarn: pytest.WarningsRecorder) -> None:
    """A text that Python would warn of is read in silence, whatever the user's filters say."""
    parse_module("x = 1\n")
    warnings.simplefilter(action)  # type: ignore[arg-type]
    assert parse_module(WARNED).body
    assert not recwarn
    with pytest.warns(SyntaxWarning) if action == "always" else pytest.raises(SyntaxError):
        compile(WARNED, "theirs.py", "exec")


@pytest.mark.usefixtures("no_garbage")
def test_filters_of_another_thread_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the notebook sets about warnings while a text is read is not undone."""
    plain = ast.parse

    def meanwhile(*given: Any) -> ast.AST:
        warnings.simplefilter("error", ResourceWarning)
        return plain(*given)

    monkeypatch.setattr(ast, "parse", meanwhile)
    parse_module("x = 1\n")
    assert ("error", None, ResourceWarning, None, 0) in warnings.filters
    before = len(warnings.filters)
    for _ in range(5):
        parse_module("x = 1\n")
    assert len(warnings.filters) == before


def test_an_expression_is_one() -> None:
    """With `mode="eval"` the text is an expression."""
    assert isinstance(parse("1 + 1", "eval"), ast.Expression)
    with pytest.raises(SyntaxError):
        parse("a = 1", "eval")


def test_nobody_goes_around_it() -> None:
    """No other file of the package calls `ast.parse` (the sandbox's children have one thread)."""
    home = Path(llmport_magic.__file__).parent
    found = {
        str(file.relative_to(home))
        for file in home.rglob("*.py")
        if "ast.parse(" in file.read_text() and "inside" not in file.parts
    }
    assert found == {"modules/parsing.py"}

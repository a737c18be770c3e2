"""The items of `--with`: which forms there are, and what is said about the others."""

from __future__ import annotations

import pytest

from llmport_magic.errors import UsageError
from llmport_magic.notebook.context import Named, named
from llmport_magic.notebook.options import parse_cell_line


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("df", Named("df", "variable", "df")),
        ("df:rows=5", Named("df:rows=5", "variable", "df", rows=5)),
        ("clean:source", Named("clean:source", "variable", "clean", source=True)),
        ("cell:3", Named("cell:3", "cell", "3", source=True)),
        ("pd.DataFrame", Named("pd.DataFrame", "variable", "pd.DataFrame")),
        ("cell", Named("cell", "variable", "cell")),
    ],
)
def test_each_form_is_read(item: str, expected: Named) -> None:
    """A variable, its rows, its source, a cell and an attribute each have a form."""
    assert named((item,)) == (expected,)


def test_an_item_named_twice_is_described_once() -> None:
    """Naming the same item again adds nothing."""
    assert len(named(("df", " df ", "cell:3"))) == 2


@pytest.mark.parametrize(
    ("item", "hint"),
    [
        ("df:row=5", "did you mean `df:rows=5`?"),
        ("df:rows=abc", "rows are a number from 1 to 100"),
        ("df:rows=0", "rows are a number from 1 to 100"),
        ("df:rows=-1", "rows are a number from 1 to 100"),
        ("df:rows=101", "at most 100 rows are sent"),
        ("clean:sources", "did you mean `clean:source`?"),
        ("df:everything", "the forms are"),
        ("df[0]", "`df[0]` is no variable's name"),
        ("f()", "is no variable's name"),
        ("df.", "is no variable's name"),
        ("cell:x", "named by the number beside it"),
        ("cell:0", "named by the number beside it"),
        (":rows=5", "is no variable's name"),
    ],
)
def test_what_has_no_form_is_refused_with_what_was_meant(item: str, hint: str) -> None:
    """An item that cannot be read names itself and the nearest form."""
    with pytest.raises(UsageError) as caught:
        named((item,))

    assert f"`--with {item}`" in str(caught.value)
    assert hint in str(caught.value)


def test_a_blank_after_a_comma_is_named() -> None:
    """`--with a, b` is told apart from a prompt on the first line."""
    with pytest.raises(UsageError, match="no blank after a comma"):
        parse_cell_line("circle --with a, b")

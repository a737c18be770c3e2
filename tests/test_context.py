"""Only what the user names goes into a prompt."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llmport_magic.errors import UsageError
from llmport_magic.notebook.context import describe, render


def test_fields_are_filled_in_once() -> None:
    """An expression's value is inserted and never looked at again."""
    assert render("a {{ x }} b", {"x": "{{ y }}", "y": 1}) == "a {{ y }} b"
    assert render("{{ n + 1 }}", {"n": 2}) == "3"


def test_other_braces_are_text() -> None:
    """Single braces, `{prompt}` and escaped braces stay as they are (S0-21)."""
    assert render("{} {prompt} {a: 1} {{{{ x }}}}", {}) == "{} {prompt} {a: 1} {{ x }}"


@pytest.mark.parametrize(
    ("prompt", "says"),
    [("{{ nope }}", "NameError"), ("{{ thing }}", "without a text"), ("{{ long }}", "name a part")],
)
def test_what_cannot_be_filled_in_is_said(prompt: str, says: str) -> None:
    """A failing expression, an address and a huge value are refused by name."""
    namespace = {"thing": object(), "long": "x" * 30_000}
    with pytest.raises(UsageError, match=says):
        render(prompt, namespace)


class _Frame:
    columns = ("day", "amount")
    shape = (3, 2)
    dtypes = {"day": "object", "amount": "float64"}  # noqa: RUF012

    def isna(self) -> SimpleNamespace:
        return SimpleNamespace(sum=lambda: {"day": 0, "amount": 1})

    def __repr__(self) -> str:
        return "row 1: secret value"


def test_a_frame_is_described_without_its_rows() -> None:
    """A data frame gives its columns, types and missing counts, never a value."""
    text = describe(("df",), {"df": _Frame()})
    assert "'amount': float64, 1 missing" in text
    assert "3 rows" in text
    assert "secret" not in text


def test_a_function_is_described_by_its_signature() -> None:
    """A function gives its signature and documentation."""

    def area(radius: float) -> float:
        """Area of a circle."""
        return radius

    assert "area(radius: 'float') -> 'float'" in describe(("area",), {"area": area})
    assert "Area of a circle." in describe(("area",), {"area": area})


def test_an_unknown_name_is_refused() -> None:
    """A name that is not in the notebook is named in the error."""
    with pytest.raises(UsageError, match="nope"):
        describe(("nope",), {})

"""Data are described by their shape and types: no value of a row ever stands in what is sent."""

from __future__ import annotations

from collections import Counter, deque, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmport_magic.notebook.context import Context, named
from llmport_magic.secrets import MASK

PLANTED = "Zanzibar77"


def sent(item: str, value: Any) -> str:
    """Give what is sent of a value."""
    return Context(named((item,)), {"x": value}).describe(4_000).text


@dataclass
class Person:
    """Somebody."""

    age: int
    name: str
    friends: list[str]


class Odd:
    """An object that tells its value wherever it is asked."""

    def __init__(self, value: str) -> None:
        self.held = value

    def __repr__(self) -> str:
        return self.held

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return self.held


Pair = namedtuple("Pair", ["left", "right"])  # noqa: PYI024


def holders(value: str) -> dict[str, Any]:
    """Put a value into everything that can hold one."""
    frame = pd.DataFrame({"a": [value, "b"], "n": [1.0, None]})
    return {
        "frame": frame,
        "frame by value": frame.set_index("a"),
        "categories": pd.DataFrame({"a": pd.Categorical([value, "b"])}),
        "objects": pd.DataFrame({"a": [Odd(value), {value: value}]}),
        "attributes": _with_attributes(frame, value),
        "series": frame["a"],
        "series by value": frame.set_index("a")["n"],
        "index": pd.Index([value]),
        "array": np.array([value, "b"]),
        "array of objects": np.array([Odd(value)], dtype=object),
        "records": np.array([(1, value)], dtype=[("n", "i4"), ("a", "U80")]),
        "scalar of numpy": np.str_(value),
        "polars": pl.DataFrame({"a": [value, "b"]}),
        "polars lazy": pl.DataFrame({"a": [value]}).lazy(),
        "polars enum": pl.DataFrame({"a": pl.Series([value], dtype=pl.Enum([value]))}),
        "polars nested": pl.DataFrame(
            {"a": [[value]], "s": [{"k": value}], "e": [[value]]},
            schema_overrides={"e": pl.List(pl.Enum([value]))},
        ),
        "polars series": pl.Series("a", [value], dtype=pl.Categorical),
        "dict of values": {"a": value, "b": value},
        "dict by value": {value: 1, "other": 2},
        "dict by value, mixed": {f"{value} x": 1, "other": "a"},
        "record": {"a": value, "n": 1},
        "deep": {"a": {value: [value]}, "n": [value]},
        "list": [value],
        "list of dicts": [{"a": value, "n": 1}, {"a": value, "n": 2}],
        "list of dicts by value": [{value: 1}, {"other": 2}],
        "tuple": (value, 1),
        "set": {value},
        "deque": deque([value]),
        "counter": Counter([value, value, "b"]),
        "named tuple": Pair(value, 1),
        "text": value,
        "bytes": value.encode(),
        "dataclass": Person(3, value, [value]),
        "namespace": SimpleNamespace(a=value, b=value),
        "object": Odd(value),
    }


def _with_attributes(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    frame = frame.copy()
    frame.attrs["source"] = value
    return frame


@pytest.mark.parametrize("holder", sorted(holders(PLANTED)))
def test_no_value_is_sent(holder: str) -> None:
    """A value in a cell, key, index, category, attribute or repr stays here."""
    assert PLANTED not in sent("x", holders(PLANTED)[holder])


@given(st.text(st.characters(categories=["L", "N", "S"]), min_size=6, max_size=30))
@example("columns")
@example("DataFrame")
def test_no_planted_value_is_sent_whatever_it_is(text: str) -> None:
    """Whatever text the data hold, the description says no more of it than of another one."""
    value = f"q{text}"
    others = holders("q" + "w" * len(text))
    for holder, held in holders(value).items():
        said = sent("x", held)
        assert value not in said, holder
        # A text such as `columns` stands in the description of any data.
        assert said.count(text) == sent("x", others[holder]).count(text), holder


@given(st.lists(st.floats(allow_nan=False, min_value=1e6, max_value=1e9), min_size=3, max_size=9))
def test_no_number_is_sent(numbers: list[float]) -> None:
    """Two sets of numbers of one size give the same description."""
    other = [number / 3 + 1 for number in numbers]
    for make in (np.array, pd.Series, pl.Series, list, _frame_of):
        assert sent("x", make(numbers)) == sent("x", make(other))


def _frame_of(numbers: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"n": numbers})


def test_a_frame_gives_columns_types_missing_counts_and_its_index() -> None:
    """What a model needs to write code for a frame is there."""
    frame = pd.DataFrame(
        {
            "day": pd.date_range("2026-01-01", periods=3),
            "amount": [1.0, None, 3.0],
            "kind": pd.Categorical(["a", "b", "a"]),
        },
        index=pd.MultiIndex.from_tuples([(1, "x"), (2, "y"), (3, "z")], names=["id", "part"]),
    )
    text = sent("x", frame)

    assert "pandas DataFrame, 3 rows x 3 columns" in text
    assert "index 'id', 'part' (MultiIndex of int64, " in text
    assert "'day': datetime64" in text
    assert "'amount': float64, 1 missing" in text
    assert "'kind': category of 2 values" in text


def test_a_polars_frame_gives_the_same() -> None:
    """Frames of polars are described as those of pandas, nested types included."""
    frame = pl.DataFrame({"a": [1, None], "s": [{"k": 1.0}, {"k": 2.0}]})
    text = sent("x", frame)

    assert "polars DataFrame, 2 rows x 2 columns" in text
    assert "'a': Int64, 1 missing" in text
    assert "'s': Struct('k': Float64)" in text


def test_columns_of_one_name_are_each_described() -> None:
    """A frame with two columns of one name is no error."""
    frame = pd.DataFrame([[1, "a"]], columns=["a", "a"])

    assert sent("x", frame).count("'a': ") == 2


def test_a_frame_is_described_by_what_it_can_do() -> None:
    """A frame of a package that we have never heard of is described by its columns and types."""

    class Frame:
        columns = ("day", "amount")
        shape = (3, 2)
        dtypes = {"day": "object", "amount": "float64"}  # noqa: RUF012

        def head(self, count: int) -> Frame:
            raise AssertionError(count)

        def __repr__(self) -> str:
            return PLANTED

    assert "'amount': float64" in sent("x", Frame())


def test_an_object_that_cannot_be_asked_is_named_by_its_type() -> None:
    """Where describing fails, the type is sent, and not the message, which may quote a value."""

    class Broken:
        dtypes = columns = property(lambda _: 1 / 0)

    class Telling:
        columns = ("a",)

        @property
        def dtypes(self) -> object:
            raise ValueError(PLANTED)

    assert "Broken, which cannot be described (ZeroDivisionError)" in sent("x", Broken())
    assert PLANTED not in sent("x", Telling())


def test_keys_are_sent_only_where_they_are_names_of_fields() -> None:
    """Keys of a record are its schema; keys of a table are data."""
    record = sent("x", {"host": "a", "port": 1})
    table = sent("x", {"alice": 1, "bob": 2})

    assert "  host: str\n  port: int" in record
    assert "alice" not in table
    assert "dict of 2 entries: str -> int" in table


def test_rows_are_sent_where_they_are_asked_for() -> None:
    """`df:rows=2` sends the first two rows, its cells cut, and no third one."""
    frame = pd.DataFrame({"a": ["one", "two\nlines", "three"], "b": ["x" * 200, "y", "z"]})
    text = sent("x:rows=2", frame)

    assert "first 2 rows:" in text
    assert "one | " + "x" * 60 + "…" in text
    assert r"two\nlines | y" in text
    assert "three" not in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (pl.DataFrame({"a": [1, 2, 3]}), "    a\n    1\n    2\n"),
        (pd.Series([1, 2, 3]), "    1\n    2\n"),
        (pl.Series([1, 2, 3]), "    1\n    2\n"),
        (np.array([[1, 2], [3, 4], [5, 6]]), "    1, 2\n    3, 4\n"),
        ([1, 2, 3], "    1\n    2\n"),
        ({"a": 1, "b": 2, "c": 3}, "    a: 1\n    b: 2\n"),
        (
            pd.DataFrame({"a": [1, 2, 3]}, index=list("xyz")),
            "    index | a\n    x | 1\n    y | 2\n",
        ),
    ],
)
def test_everything_that_has_rows_gives_them(value: Any, shown: str) -> None:
    """Series, arrays, lists and dicts give their first items, too."""
    assert shown in sent("x:rows=2", value)


def test_a_column_of_passwords_is_masked_also_in_rows() -> None:
    """Rows that were asked for hold no password of a column that is called so (I90)."""
    frame = pd.DataFrame({"user": ["ada"], "pass\u200bword": ["hunter22"], "api_key": ["k-1"]})
    text = sent("x:rows=1", frame)

    assert f"ada | {MASK} | {MASK}" in text
    assert "hunter22" not in text


def test_a_large_frame_is_counted_in_part_which_is_said() -> None:
    """Of a million rows of 50 columns only the first are looked at, and that is said (I90)."""
    frame = pd.DataFrame(np.zeros((1_000_000, 50)), copy=False)
    frame.iloc[100_000:] = np.nan
    text = sent("x", frame)

    assert "1,000,000 rows x 50 columns; missing values counted in the first 100,000 rows" in text
    assert "49: float64\n" in text
    frame.iloc[99_999] = np.nan
    assert "49: float64, 1 missing\n" in sent("x", frame)

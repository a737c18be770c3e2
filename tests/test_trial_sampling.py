"""Copies of the user's variables: some rows, pickled, never changed, never unpickled here."""

from __future__ import annotations

import pickle
import threading
import tracemalloc
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from trials import exists, tried

from llmport_magic.modules.trial.samples import Sample
from llmport_magic.notebook.context import named
from llmport_magic.notebook.sampling import Copies, take_samples


@dataclass
class Point:
    """A class that can be imported by its name."""

    x: int


def _only(value: Any, rows: int = 100, **options: Any) -> Sample:
    samples = take_samples({"v"}, {"v": value}, rows, **options)
    assert samples.left == {}
    [sample] = samples.taken
    return sample


def _copy(value: Any, rows: int = 100) -> Any:
    return pickle.loads(_only(value, rows).data)


def _frame(rows: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "number": np.arange(rows),
            "text": [f"t{number}" for number in range(rows)],
            "when": pd.date_range("2020-01-01", periods=rows, freq="min"),
            "kind": pd.Categorical(["a", "b"] * (rows // 2)),
            "some": pd.array([1, None] * (rows // 2), dtype="Int64"),
        },
        index=pd.Index(np.arange(rows) * 10, name="id"),
    )


def test_a_sample_keeps_order_types_and_index() -> None:
    """A sample of a table is rows of it, in their order, with their types and index."""
    frame = _frame(5000)
    sample = _copy(frame)

    pd.testing.assert_frame_equal(sample, frame.loc[sample.index])
    assert len(sample) == 100
    assert list(sample.index) == sorted(sample.index)
    assert sample.index.name == "id"


def test_equal_lengths_give_equal_rows() -> None:
    """Two variables of one length stay aligned, and every run gives the same rows."""
    frame = _frame(5000)
    series, array = frame["number"], np.arange(5000)

    rows = _copy(frame)["number"]

    assert list(_copy(series)) == list(_copy(array)) == list(rows)
    assert list(_copy(list(range(5000)))) == list(rows)


@pytest.mark.parametrize(
    "value",
    [
        3,
        "text",
        None,
        [1, "a"],
        (1, 2),
        {1, 2},
        frozenset({1}),
        {"a": [1]},
        np.arange(6).reshape(2, 3),
        np.array(5),
        Fraction(1, 3),
        Point(3),
    ],
    ids=repr,
)
def test_small_values_are_copied_as_they_are(value: Any) -> None:
    """Scalars, containers, arrays and importable objects come through unchanged."""
    copy = _copy(value)

    assert type(copy) is type(value)
    assert np.array_equal(copy, value) if isinstance(value, np.ndarray) else copy == value


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset, dict])
def test_large_containers_are_sampled(kind: Any) -> None:
    """A container of many items is cut down to some of them, of its own type."""
    value = kind((n, n) for n in range(5000))
    sample = _copy(value)

    assert type(sample) is kind
    assert len(sample) == 100
    assert set(sample) <= set(value)


def test_a_level_of_an_index_is_not_taken_along() -> None:
    """A sample does not carry the labels of the rows that it left out."""
    frame = pd.DataFrame(
        {"x": 1}, index=pd.MultiIndex.from_product([range(1000), [f"l{n}" for n in range(50)]])
    )

    assert len(_only(frame).data) < 20_000
    assert list(_copy(frame).columns) == ["x"]


def test_of_a_large_table_only_the_sample_is_copied() -> None:
    """Of a million rows and fifty columns, 400 MB, some are copied, and it stays as it was."""
    values = np.zeros((1_000_000, 50))
    frame = pd.DataFrame(values, columns=[f"c{n}" for n in range(50)], copy=False)
    before = [id(frame), frame.shape, list(frame.columns)]
    tracemalloc.start()
    try:
        sample = _only(frame, 1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    # Less than one more column.
    assert peak < 8_000_000
    assert (sample.rows, sample.of, sample.shape) == (1000, 1_000_000, "1000x50")
    assert len(sample.data) < 1_000_000
    assert [id(frame), frame.shape, list(frame.columns)] == before


def test_nothing_of_the_value_is_changed() -> None:
    """Sampling leaves a table as it was, to the last cell."""
    frame = _frame(5000)
    kept = frame.copy(deep=True)

    _only(frame)

    pd.testing.assert_frame_equal(frame, kept)


def test_wide_rows_are_cut_until_they_fit() -> None:
    """Where even the sample is too large, fewer rows are taken."""
    frame = pd.DataFrame({"text": ["x" * 10_000 + str(n) for n in range(2000)]})

    sample = _only(frame, 1000, most_bytes=2_000_000)

    assert sample.rows == 100
    assert len(sample.data) <= 2_000_000


def test_one_value_that_is_too_large_is_said() -> None:
    """What cannot be made smaller is not copied, and nothing of its size is made."""
    samples = take_samples({"v"}, {"v": "x" * 3_000_000}, 100, most_bytes=2_000_000)

    assert samples.taken == ()
    assert samples.left == {"v": "it is larger than 2 MB"}


def test_the_size_counts_for_all_together() -> None:
    """The limit is for all copies of a cell."""
    values = {"a": "x" * 1_500_000, "b": "y" * 1_500_000}

    samples = take_samples(set(values), values, 100, most_bytes=2_000_000)

    assert [sample.name for sample in samples.taken] == ["a"]
    assert set(samples.left) == {"b"}


def test_what_cannot_be_copied_is_said() -> None:
    """Locks, generators, open files and the notebook's own classes are named with the reason."""
    own = type("Own", (), {"__module__": "__main__"})
    with open(__file__) as file:  # noqa: PTH123 - an open file is what is tested
        values = {
            "lock": {"a": threading.Lock()},
            "numbers": (number for number in range(3)),
            "file": file,
            "thing": own(),
            "things": [own()],
            "kind": own,
            "function": lambda: 3,
        }
        samples = take_samples(set(values), values, 100)

    assert samples.taken == ()
    assert samples.left == {
        "lock": "it holds a `_thread.lock`",
        "numbers": "it holds a `generator`",
        "file": "it holds a `TextIOWrapper`",
        "thing": "`Own` is defined in this notebook",
        "things": "`Own` is defined in this notebook",
        "kind": "`Own` is defined in this notebook",
        "function": samples.left["function"],
    }
    assert "0x" not in str(samples.left)


def test_an_object_that_fails_to_pickle_is_said() -> None:
    """Whatever a class raises while it is copied is no error of the cell, nor is it repeated."""

    class Bad:
        def __reduce__(self) -> Any:
            raise RuntimeError("secret-value")

    samples = take_samples({"v"}, {"v": Bad()}, 100)

    assert samples.left == {"v": "pickling it fails with RuntimeError"}


def test_modules_are_named_and_not_copied() -> None:
    """The notebook's names for modules go along as names."""
    samples = take_samples({"np", "x"}, {"np": np, "x": 1}, 100)

    assert [sample.name for sample in samples.taken] == ["x"]
    assert samples.modules == {"np": "numpy"}
    assert samples.left == {}


def test_nothing_is_read_before_it_is_needed() -> None:
    """Naming a variable copies nothing yet."""

    class Namespace(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            raise AssertionError(name)

    copies = Copies(named(("df:rows=5", "cell:3")), "x", Namespace(df=1), 100)

    assert copies.names == {"df"}


def test_code_is_not_copied() -> None:
    """Of functions, classes and modules that are named no copies are taken, and none is missed."""
    notebook = {"df": _frame(30), "pow": pow, "Point": Point, "np": np}
    copies = Copies(named(("df", "pow", "Point:source", "np")), "x", notebook, 100)

    assert copies.names == {"df", "pow", "Point", "np"}
    assert copies.data == {"df"}
    samples = copies.take()
    assert [sample.name for sample in samples.taken] == ["df"]
    assert samples.left == {}


async def test_the_copy_is_read_in_the_sandbox_only(tmp_path: Path) -> None:
    """What an object runs when it is unpickled runs in the child, confined."""
    marker = str(tmp_path / "unpickled")

    verdict = await tried("def f(v):\n    return v\n", {"v": Planted(marker)})

    assert verdict.tried.startswith("not tried: `v` cannot be read in the sandbox (")
    assert "Error)" in verdict.tried
    assert verdict.proof == "unverified"
    assert not exists(marker)


class Planted:
    """An object that writes a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


async def test_a_variable_that_cannot_be_copied_is_told() -> None:
    """The cell says which variable it was, and the proof is as it would be without."""
    verdict = await tried("def f(v):\n    return v\n", {"v": threading.Lock()})

    assert verdict.tried == "not tried: `v` cannot be copied (it holds a `_thread.lock`)"
    assert verdict.proof == "unverified"

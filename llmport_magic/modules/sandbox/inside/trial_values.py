"""Runs in the sandbox: what a value is, and whether it changed."""

from __future__ import annotations

import pickle
from typing import Any


def size_of(value: Any) -> str:
    """Say what a value is and how large, never what is in it."""
    kind = type(value).__name__
    try:
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple) and all(isinstance(side, int) for side in shape):
            size = "x".join(str(side) for side in shape)
            return size if kind == "DataFrame" else f"{kind} {size}".rstrip()
        if isinstance(value, (list, tuple, dict, set, frozenset)):
            return f"{kind} of {len(value)}"
    except Exception:  # noqa: BLE001 - a class of the candidate's own may do anything
        return kind
    return kind


def plain(value: Any) -> Any:
    """Turn a scalar of numpy and its kin into Python's own, as an example writes it."""
    if type(value).__module__.partition(".")[0] in ("numpy", "pandas", "polars"):
        if getattr(value, "shape", None) == () and hasattr(value, "item"):
            return value.item()
        return value
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    if type(value) is dict:
        return {plain(key): plain(item) for key, item in value.items()}
    return value


def every_tenth(value: Any) -> Any:
    """Give a tenth of the rows, or `None` for what has none."""
    if hasattr(value, "iloc"):
        return value.iloc[::10]
    if type(value).__name__ in ("ndarray", "DataFrame", "Series", "list"):
        return value[::10]
    return None


def difference(before: Any, after: Any) -> str:
    """Say what of a value is not as it was: an empty text for nothing."""
    shapes = [getattr(value, "shape", None) for value in (before, after)]
    if type(before) is not type(after) or shapes[0] != shapes[1]:
        return f"now {size_of(after)}"
    parts = (("columns", "its columns"), ("dtypes", "its types"), ("index", "its index"))
    for part, told in parts:
        one: Any = getattr(before, part, None)
        other: Any = getattr(after, part, None)
        # A method, as `list.index`, is no part of a table.
        if not callable(one) and hasattr(one, "__iter__") and _same(one, other) is False:
            return told
    if getattr(before, "dtype", None) != getattr(after, "dtype", None):
        return "its type"
    same = _same(before, after)
    return "not compared" if same is None else "" if same else "its values"


def _same(before: Any, after: Any) -> bool | None:
    """Tell whether two values are the same; `None` where that cannot be told."""
    if callable(getattr(before, "equals", None)):
        # A cell that holds an array equals no other.
        return bool(before.equals(after)) or _items(before) == _items(after)
    if type(before).__name__ == "ndarray" and before.dtype.kind not in "OV":
        import numpy as np

        return bool(np.array_equal(before, after, equal_nan=before.dtype.kind in "fcmM"))
    # Both came from the same bytes: untouched, they give the same bytes again, `nan` included.
    if pickle.dumps(before) == pickle.dumps(after):
        return True
    # Where a class compares nothing, what it keeps for its next use may be all that differs.
    kind: Any = type(before)
    return None if kind.__eq__ is object.__eq__ else bool(before == after)


def _items(table: Any) -> bytes:
    """Give what a table holds, without how it holds it: a look at it may change that."""
    wide = hasattr(table, "iloc") and table.ndim > 1
    columns = [table.iloc[:, at] for at in range(table.shape[1])] if wide else [table]
    return pickle.dumps([list(column) for column in columns])

"""What a model is told about data: types, shapes and names of columns, never a value or a row.

The user's objects are asked for their shape and types only. `repr` and `str` are called on
nothing but types and names of columns; on values only where rows are asked for by name.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from llmport_magic.notebook.visible import names_a_secret, one_line
from llmport_magic.secrets import MASK

# Missing values are counted in so many cells, from the top: about a tenth of a second.
_COUNTED = 5_000_000
_LOOKED_AT = 1_000
_MOST_KEYS = 40
_LONGEST_NAME = 80
_LONGEST_TYPE = 400
_LONGEST_CELL = 60
_WIDEST_ROW = 12
_PLAIN = (str, int, float, complex, bool, bytes, type(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What there is to say about one thing; how much of it is said is decided later.

    Attributes:
        brief: a few words for the user and for the record of a version: `DataFrame 1000x7`.
        head: the first line.
        stable: what stays the same while only the data grow; the digest is taken from it.
        entries: columns or members, each with a line of documentation or none.
        noun: what an entry is.
        more: how many entries there are beyond those.
        documentation: a docstring.
        table: gives the first rows, of at most so many columns, the header first.
        source: the source, where that was asked for.
    """

    brief: str
    head: str
    stable: str
    entries: tuple[tuple[str, str], ...] = ()
    noun: str = "column"
    more: int = 0
    documentation: str = ""
    table: Callable[[int, int], list[str]] | None = None
    source: str = ""


def describe_data(value: Any, *, whole: bool = True) -> Description:
    """Describe a value that is no code.

    Args:
        value: anything.
        whole: count what is missing, too; without it only what is `stable` is looked at.
    """
    try:
        return _described(value, whole)
    except Exception as error:  # noqa: BLE001 - its message may quote a value
        name = type_name(value)
        head = f"{name}, which cannot be described ({type(error).__name__})"
        return Description(brief=name, head=head, stable=name)


def _described(value: Any, whole: bool) -> Description:
    kind = type(value)
    if hasattr(kind, "columns") and hasattr(kind, "dtypes"):
        return _frame(value, whole)
    if hasattr(kind, "dtype") and hasattr(kind, "shape"):
        has_missing = hasattr(kind, "isna") or hasattr(kind, "null_count")
        return (_series if has_missing else _array)(value, whole)
    return _of_python(value)


def _of_python(value: Any) -> Description:
    kind = type(value)
    if isinstance(value, dict):
        return _mapping(value, type_name(value))
    if hasattr(kind, "_fields") and isinstance(value, tuple):
        return _record(value, dict(zip(kind._fields, value, strict=True)))
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return _items(value)
    if isinstance(value, _PLAIN):
        return _plain(value)
    if dataclasses.is_dataclass(value):
        fields = {each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}
        return _record(value, fields)
    return _object(value)


def _object(value: Any) -> Description:
    kind, held = type(value), getattr(value, "__dict__", {})
    if kind.__name__ in {"SimpleNamespace", "Namespace"}:
        return _mapping(held, type_name(value))
    public = [name for name in held if name.isidentifier() and not name.startswith("_")]
    return _record(value, {name: held[name] for name in public})


def type_name(value: Any) -> str:
    """Give a type's name with the package that it is from: `pandas DataFrame`."""
    kind = type(value)
    package = str(kind.__module__).partition(".")[0]
    name = one_line(str(kind.__qualname__), _LONGEST_NAME)
    return name if package in {"builtins", "__main__"} else f"{package} {name}"


def brief(value: Any) -> str:
    """Say in a few words what something is, without its value."""
    if isinstance(value, (dict, list, tuple, set, frozenset, deque)):
        return f"{type_name(value)} of {len(value):,}"
    shape = getattr(value, "shape", ()) if hasattr(type(value), "shape") else ()
    sizes = _sizes(shape)
    return f"{type_name(value)} {sizes}" if sizes else type_name(value)


def _sizes(shape: Any) -> str:
    known = isinstance(shape, tuple) and all(isinstance(size, int) for size in shape)
    return "x".join(map(str, shape)) if known else ""


def _label(name: Any) -> str:
    """Write the name of a column or an index; an object of its own kind is named by its type."""
    if isinstance(name, tuple):
        return f"({', '.join(map(_label, name))})"
    is_known = isinstance(name, _PLAIN) or type(name).__name__ in {"Timestamp", "Period", "date"}
    return one_line(repr(name), _LONGEST_NAME) if is_known else f"<{type_name(name)}>"


# -- frames, series, arrays --------------------------------------------------------------------


def _dtype(dtype: Any, *, whole: bool = True) -> str:
    """Write a column's type; categories are counted, not named."""
    name = type(dtype).__name__
    categories = None if isinstance(dtype, type) else getattr(dtype, "categories", None)
    if categories is not None and hasattr(categories, "__len__"):
        kind = "category" if name == "CategoricalDtype" else name
        return f"{kind} of {len(categories):,} values" if whole else kind
    if name == "CategoricalDtype":
        return "category"
    if name == "SparseDtype":
        return f"Sparse[{dtype.subtype}]"
    inner = _inner_types(dtype)
    if inner:
        parts = (f"{label}{_dtype(each, whole=whole)}" for label, each in inner)
        return one_line(f"{name}({', '.join(parts)})", _LONGEST_TYPE)
    return one_line(str(dtype), _LONGEST_NAME)


def _inner_types(dtype: Any) -> list[tuple[str, Any]]:
    """Give what a type is made of: the fields of a record, or the items of a list."""
    if getattr(dtype, "names", None):
        return [(f"{_label(each)}: ", dtype.fields[each][0]) for each in dtype.names]
    if isinstance(fields := getattr(dtype, "fields", None), list):
        return [(f"{_label(each.name)}: ", each.dtype) for each in fields]
    inside = getattr(dtype, "inner", None)
    return [] if inside is None else [("", inside)]


def _frame(frame: Any, whole: bool) -> Description:
    schema = frame.collect_schema() if hasattr(frame, "collect_schema") else None
    names = list(frame.columns) if schema is None else list(schema)
    listed = frame.dtypes if schema is None else schema
    types = list(listed.values() if isinstance(listed, Mapping) else listed)
    shape = getattr(frame, "shape", None)
    rows = shape[0] if isinstance(shape, tuple) and isinstance(shape[0], int) else None
    counted = _countable(rows, len(names)) if whole and rows is not None else 0
    missing = _missing_in_frame(frame, counted, rows) if counted else []
    entries = []
    for at, name in enumerate(names[:_LOOKED_AT]):
        count = missing[at] if at < len(missing) else 0
        note = f", {count:,} missing" if count else ""
        entries.append((f"{_label(name)}: {_dtype(types[at], whole=whole)}{note}", ""))
    index = _index_of(frame)
    size = "rows not counted" if rows is None else f"{rows:,} rows"
    part = ""
    if missing and rows is not None and counted < rows:
        part = f"; missing values counted in the first {counted:,} rows"
    return Description(
        brief=f"{type_name(frame)} {'?' if rows is None else rows}x{len(names)}",
        head=f"{type_name(frame)}, {size} x {len(names):,} columns{index}{part}",
        stable=f"{type_name(frame)} {len(names)}{_stable(index)}",
        entries=tuple(entries),
        more=max(0, len(names) - _LOOKED_AT),
        table=None if rows is None else lambda count, most: _frame_rows(frame, count, most),
    )


def _countable(rows: int, columns: int) -> int:
    """Say in how many rows from the top what is missing is counted."""
    return min(rows, max(1_000, _COUNTED // max(1, columns)))


def _missing_in_frame(frame: Any, count: int, rows: int | None) -> list[int]:
    part = frame if count == rows else frame.head(count)
    if hasattr(type(frame), "null_count"):
        return [int(each) for each in part.null_count().row(0)]
    return [int(each) for each in part.isna().sum()] if hasattr(type(frame), "isna") else []


def _index_of(value: Any) -> str:
    if not hasattr(type(value), "index") or isinstance(value, (list, tuple, str)):
        return ""
    index = value.index
    kind, names = type(index).__name__, list(getattr(index, "names", ()))
    labels = ", ".join(_label(name) for name in names if name is not None)
    if kind == "RangeIndex" and not labels:
        return ""
    types = list(index.dtypes) if kind == "MultiIndex" else [index.dtype]
    told = ", ".join(_dtype(each, whole=False) for each in types)
    return f", index {f'{labels} ' if labels else ''}({kind} of {told})"


def _stable(index: str) -> str:
    """Leave out row numbers that are no longer in order: rows were taken out, or put together."""
    return "" if index == ", index (Index of int64)" else index


def _series(series: Any, whole: bool) -> Description:
    size = len(series)
    counted = _countable(size, 1) if whole else 0
    missing = 0
    if counted:
        part = series if counted == size else _top(series, counted)
        missing = int(part.null_count() if hasattr(type(part), "null_count") else part.isna().sum())
    name = getattr(series, "name", None)
    named = f" named {_label(name)}" if name is not None else ""
    kind, index = f"{type_name(series)}{named}", _index_of(series)
    note = f", {missing:,} missing" if missing else ""
    note += f" in the first {counted:,}" if counted < size and whole else ""
    return Description(
        brief=f"{type_name(series)} {size}",
        head=f"{kind} of {size:,} values, {_dtype(series.dtype, whole=whole)}{note}{index}",
        stable=f"{kind} {_dtype(series.dtype, whole=False)}{_stable(index)}",
        table=lambda count, _: [
            MASK if name is not None and names_a_secret(str(name)) else _cell(each)
            for each in _top(series, count).to_list()
        ],
    )


def _top(series: Any, count: int) -> Any:
    return series.head(count) if hasattr(type(series), "head") else series[:count]


def _array(array: Any, whole: bool) -> Description:
    sizes, dtype = _sizes(array.shape), _dtype(array.dtype)
    name = type_name(array)
    if not sizes:
        return Description(brief=name, head=f"{name} (one value)", stable=name)
    missing = _missing_in_array(array) if whole else ""
    inner = _sizes(tuple(array.shape)[1:])
    return Description(
        brief=f"{name} {sizes}",
        head=f"{name} of shape {sizes}, {dtype}{missing}",
        stable=f"{name} {len(array.shape)} {inner} {dtype}",
        table=lambda count, _: [_row_of_array(array[at]) for at in range(min(count, len(array)))],
    )


def _missing_in_array(array: Any) -> str:
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(array, numpy.ndarray) or array.dtype.kind not in "fcmM":
        return ""
    part = array.flat[:_COUNTED] if array.size > _COUNTED else array
    empty = numpy.isnat if array.dtype.kind in "mM" else numpy.isnan
    count = int(numpy.count_nonzero(empty(numpy.asarray(part))))
    if not count:
        return ""
    rest = f" in the first {_COUNTED:,}" if array.size > _COUNTED else ""
    return f", {count:,} missing{rest}"


# -- plain values ------------------------------------------------------------------------------


def _mapping(value: dict[Any, Any], name: str) -> Description:
    size = len(value)
    keys = _kinds(islice(value, _LOOKED_AT))
    kinds = _kinds(islice(value.values(), _LOOKED_AT))
    head = f"{name} of {size:,} entries: {keys} -> {kinds}" if size else f"empty {name}"
    is_record = looks_like_fields(value) and len({type(each) for each in value.values()}) > 1
    entries = tuple((f"{key}: {brief(each)}", "") for key, each in value.items())
    return Description(
        brief=f"{name} {size}",
        head=head,
        stable=f"{name} {keys} {kinds} {','.join(value) if is_record else ''}",
        entries=entries if is_record else (),
        noun="key",
        table=lambda count, _: [_entry(*each) for each in islice(value.items(), count)],
    )


def looks_like_fields(keys: Collection[Any]) -> bool:
    """Tell whether keys can be names of fields: few, and each a plain identifier."""
    return 0 < len(keys) <= _MOST_KEYS and all(
        type(key) is str and key.isidentifier() and len(key) <= _MOST_KEYS for key in keys
    )


def _items(value: Collection[Any]) -> Description:
    name, size = type_name(value), len(value)
    first = list(islice(value, _LOOKED_AT))
    kinds, part = _kinds(first), f" (first {_LOOKED_AT:,})" if size > _LOOKED_AT else ""
    fields = _shared_fields(first)
    entries = tuple((f"{key}: {_kinds(each[key] for each in first)}", "") for key in fields)
    return Description(
        brief=f"{name} {size}",
        head=f"{name} of {size:,} items: {kinds}{part}" if size else f"empty {name}",
        stable=f"{name} {kinds} {','.join(fields)}",
        entries=entries,
        noun="field",
        table=lambda count, _: [_cell(each) for each in islice(value, count)],
    )


def _shared_fields(items: list[Any]) -> tuple[str, ...]:
    """Give the keys of a list of records: the same identifiers in each of several dicts."""
    if len(items) < 2 or not all(type(each) is dict for each in items):
        return ()
    keys = items[0].keys()
    if not looks_like_fields(keys) or any(each.keys() != keys for each in items):
        return ()
    return tuple(keys)


def _kinds(values: Iterable[Any]) -> str:
    found = dict.fromkeys(type_name(each) for each in values)
    return ", ".join(list(found)[:6]) + (", …" if len(found) > 6 else "")


def _plain(value: Any) -> Description:
    name = type_name(value)
    unit = {"str": "characters", "bytes": "bytes"}.get(name)
    head = f"{name} of {len(value):,} {unit}" if unit else name
    return Description(brief=name, head=head, stable=name)


def _record(value: Any, fields: dict[str, Any]) -> Description:
    """Describe an object by its fields and their types."""
    name = type_name(value)
    entries = tuple((f"{field}: {brief(each)}", "") for field, each in fields.items())
    return Description(
        brief=name,
        head=f"object of {name}" + (f" with {len(entries)} fields" if entries else ""),
        stable=f"{name} {','.join(fields)}",
        entries=entries[:_LOOKED_AT],
        noun="field",
    )


# -- rows, where the user asks for them --------------------------------------------------------


def _frame_rows(frame: Any, count: int, most: int) -> list[str]:
    head = frame.head(count)
    names = list(frame.columns)[:most]
    hidden = [names_a_secret(str(name)) for name in names]
    if hasattr(type(frame), "iloc"):
        has_index = bool(_index_of(frame))
        rows = head.iloc[:, :most].itertuples(index=has_index, name=None)
        if has_index:
            names, hidden = ["index", *names], [False, *hidden]
    else:
        rows = (row[:most] for row in head.rows())
    lines = [" | ".join(one_line(str(name), _LONGEST_CELL) for name in names)]
    for row in rows:
        cells = zip(row, hidden, strict=True)
        lines.append(" | ".join(MASK if hide else _cell(each) for each, hide in cells))
    return lines


def _row_of_array(row: Any) -> str:
    if not getattr(row, "shape", ()):
        return _cell(row)
    first = list(row.flat[:_WIDEST_ROW]) if hasattr(row, "flat") else []
    rest = " …" if getattr(row, "size", 0) > _WIDEST_ROW else ""
    return ", ".join(map(_cell, first)) + rest


def _entry(key: Any, value: Any) -> str:
    shown = MASK if isinstance(key, str) and names_a_secret(key) else _cell(value)
    return f"{_cell(key)}: {shown}"


def _cell(value: Any) -> str:
    text = value[: 4 * _LONGEST_CELL + 1] if isinstance(value, str) else str(value)
    return one_line(text, _LONGEST_CELL)

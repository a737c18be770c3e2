"""Copies of the variables that `--with` names: some of their rows, pickled, within a size.

They are what an answer is tried on, in the sandbox. Nothing is changed, no table is copied whole
that has more rows than are tried, and nothing is unpickled here.
"""

from __future__ import annotations

import io
import pickle
import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from llmport_magic.modules.trial.samples import Sample, Samples
from llmport_magic.notebook.context import Named
from llmport_magic.notebook.documenting import is_code

MOST_BYTES = 50_000_000
_SEED = 0
_CONTAINERS = (list, tuple, set, frozenset, dict)
# An open file is an `_io.TextIOWrapper` object or, since Python 3.12, one of its instances.
_UNPICKLABLE = re.compile(r"cannot pickle '(?:_io\.)?([\w.]+)' (?:object|instances)")


class _TooLargeError(Exception):
    """The copy would be larger than what is left."""


class _NotHereError(Exception):
    """What the sandbox cannot read, as a class or function that only the notebook has."""


class Copies:
    """What a cell's answer is tried on; nothing is copied before `take` is called.

    Args:
        items: what `--with` names.
        prompt: the prompt: where an example on the variables says what it gives, these are copied
            with all their rows, as far as the size allows it.
        namespace: the notebook's names.
        rows: how many rows or items a copy has at most.

    Attributes:
        names: all variables that `--with` names.
    """

    def __init__(
        self, items: Iterable[Named], prompt: str, namespace: Mapping[str, Any], rows: int
    ) -> None:
        self._prompt = prompt
        self._namespace = namespace
        self._rows = rows
        self.names = frozenset(
            item.name.partition(".")[0] for item in items if item.kind == "variable"
        )

    @property
    def data(self) -> frozenset[str]:
        """Those of the variables that are copied: code is described, there is nothing to try."""
        there = (name for name in self.names if name in self._namespace)
        return frozenset(name for name in there if not is_code(self._namespace[name]))

    def take(self) -> Samples:
        """Copy the variables."""
        from llmport_magic.modules.examples import parse_examples
        from llmport_magic.modules.trial.samples import examples_on_copies

        examples = parse_examples(self._prompt)
        used = examples_on_copies(examples, self.names)
        exact = any(examples[number].expected for number in used)
        return take_samples(
            self.data, self._namespace, self._rows, whole=self.names if exact else ()
        )


def take_samples(
    names: Collection[str],
    namespace: Mapping[str, Any],
    rows: int,
    *,
    whole: Collection[str] = (),
    most_bytes: int = MOST_BYTES,
) -> Samples:
    """Copy the variables; what cannot be copied is named with the reason.

    The rows are chosen at random with a fixed seed and keep their order, their index and their
    types; variables of the same length give the same rows.
    """
    taken: list[Sample] = []
    left: dict[str, str] = {}
    modules = {
        name: value.__name__
        for name, value in list(namespace.items())
        if isinstance(value, ModuleType) and value.__name__ != "__main__"
    }
    room = most_bytes
    for name in sorted(names):
        if name in modules or name not in namespace:
            continue
        try:
            sample = _sample(name, namespace[name], rows, room, whole=name in whole)
        except Exception as error:  # noqa: BLE001 - a class of the user's own may raise anything
            left[name] = _why_not(error, most_bytes)
            continue
        taken.append(sample)
        room -= len(sample.data)
    return Samples(taken=tuple(taken), left=left, modules=modules)


def _why_not(error: Exception, most_bytes: int) -> str:
    if isinstance(error, _TooLargeError):
        return f"it is larger than {most_bytes // 1_000_000} MB"
    if isinstance(error, _NotHereError):
        return str(error)
    found = _UNPICKLABLE.search(str(error))
    if found:
        return f"it holds a `{found[1]}`"
    return f"pickling it fails with {type(error).__name__}"


def _sample(name: str, value: Any, rows: int, room: int, *, whole: bool) -> Sample:
    if type(value).__name__ == "LazyFrame":
        # Computing it may read files and take any time: that is the user's to start.
        raise _NotHereError("it is a LazyFrame, not computed yet")
    count = _count(value)
    wanted = count if whole or count is None else min(rows, count)
    while True:
        part = value if wanted == count else _part(value, wanted or 0, count or 0)
        try:
            data = _pickled(part, room)
        except _TooLargeError:
            if not wanted or count is None:
                raise
            wanted = min(rows, wanted - 1) if wanted > rows else wanted // 10
            if not wanted:
                raise
            continue
        return Sample(
            name=name,
            data=data,
            shape=_shape(part),
            rows=wanted,
            of=count,
            columns=_columns(value),
        )


def _count(value: Any) -> int | None:
    """Count the rows or items; `None` for what has none."""
    if type(value) in _CONTAINERS:
        return len(value)
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape and isinstance(shape[0], int):
        return shape[0] if _is_table(value) else None
    return None


def _is_table(value: Any) -> bool:
    kinds = {kind.__name__ for kind in type(value).__mro__}
    return bool(kinds & {"DataFrame", "Series", "ndarray", "Index"})


def _part(value: Any, wanted: int, count: int) -> Any:
    """Take some rows; the result shares nothing with the whole that would be pickled with it."""
    positions = sorted(random.Random(_SEED).sample(range(count), wanted))  # noqa: S311 - no secret
    if hasattr(value, "iloc"):
        part = value.iloc[positions]
        if hasattr(part.index, "remove_unused_levels"):
            # The levels of the whole index would be pickled, too.
            part.index = part.index.remove_unused_levels()
        return part
    if type(value) in (list, tuple):
        return type(value)(value[position] for position in positions)
    if type(value) is dict or type(value) in (set, frozenset):
        chosen = set(positions)
        items = value.items() if type(value) is dict else value
        return type(value)(item for at, item in enumerate(items) if at in chosen)
    return value[positions]


def _shape(value: Any) -> str:
    kind = type(value).__name__
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        size = "x".join(str(side) for side in shape)
        return size if kind == "DataFrame" else f"{kind} {size}".rstrip()
    return f"{kind} of {len(value)}" if type(value) in _CONTAINERS else kind


def _columns(value: Any) -> tuple[str, ...]:
    columns: Sequence[Any] = list(getattr(value, "columns", ())) if _is_table(value) else []
    return tuple(column for column in columns if isinstance(column, str))


# -- pickling --------------------------------------------------------------------------------------


class _Limited(io.RawIOBase):
    """Takes bytes up to a limit, so that nothing large is made only to be thrown away."""

    def __init__(self, most: int) -> None:
        self._left = most
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self._left -= size
        if self._left < 0:
            raise _TooLargeError
        self.parts.append(bytes(data))
        return size


class _Pickler(pickle.Pickler):
    """Refuses what could not be read in the sandbox: classes and functions of the notebook."""

    def reducer_override(self, value: Any) -> Any:
        named = value if isinstance(value, type) or callable(value) else type(value)
        if getattr(named, "__module__", None) == "__main__":
            name = getattr(named, "__name__", type(value).__name__)
            raise _NotHereError(f"`{name}` is defined in this notebook")
        return NotImplemented


def _pickled(value: Any, room: int) -> bytes:
    file = _Limited(room)
    _Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return b"".join(file.parts)

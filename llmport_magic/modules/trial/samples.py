"""Trying an answer on a copy of the user's data, before the user sees it.

The copies are taken in the kernel (`notebook/sampling.py`), and once a request. They go into the
sandbox as bytes and are read there only (`running.py`), in a process of their own: no other
check has the data in reach. What came of it is put into words by `report.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from llmport_magic.modules.examples import Example, bound_names, loaded_names
from llmport_magic.modules.outside import OUTSIDE
from llmport_magic.settings import Settings


class Optioned(Protocol):
    """A version with the options of its cell."""

    @property
    def options(self) -> Mapping[str, str]:
        """The options that shaped the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A copy of one variable.

    Attributes:
        name: the variable's name.
        data: the copy, pickled; read nowhere but in the sandbox.
        shape: what it is and how large, as `1000x7`.
        rows: how many rows or items the copy has; `None` for what has none.
        of: how many the variable has.
        columns: the names of all its columns, where it is a table.
    """

    name: str
    data: bytes = field(repr=False)
    shape: str
    rows: int | None = None
    of: int | None = None
    columns: tuple[str, ...] = ()

    @property
    def is_part(self) -> bool:
        """Tell whether the copy holds only some of the rows."""
        return self.rows is not None and self.of is not None and self.rows < self.of

    @property
    def amount(self) -> str:
        """Say how much the copy has: `all 24 rows`, `1,000 sampled items`; nothing for neither."""
        if self.rows is None:
            return ""
        what = f"{'item' if ' of ' in self.shape else 'row'}{'s' * (self.rows != 1)}"
        if self.is_part:
            return f"{self.rows:,} sampled {what}"
        return f"{'all ' * (self.rows > 1)}{self.rows:,} {what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """The copies of what `--with` names.

    Attributes:
        taken: the copies.
        left: why a variable could not be copied, by its name.
        modules: the notebook's names for imported modules, as `pd` for `pandas`.
    """

    taken: tuple[Sample, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)


class Trying:
    """What the answers to one request are tried on; the copies are taken when first needed.

    Args:
        take: takes the copies; called once, while the notebook's own thread waits.
        names: the variables that the user named.
        prompt: the prompt, and
        context: what was sent of the data: their words may go back to the provider.
        user_names: the notebook's names.
    """

    def __init__(
        self,
        take: Callable[[], Samples],
        *,
        names: Collection[str],
        prompt: str = "",
        context: str = "",
        user_names: Collection[str] = (),
    ) -> None:
        self._take = take
        self._samples: Samples | None = None
        self.names = frozenset(names)
        self.prompt = prompt
        self.context = context
        self.user_names = frozenset(user_names)

    async def samples(self) -> Samples:
        """Give the copies, taking them on first use."""
        if self._samples is None:
            # Copying a large table takes a moment: answers that stream must not wait for it.
            self._samples = await asyncio.to_thread(self._take)
        return self._samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The code that is tried.

    Attributes:
        source: its text.
        name: the module's name; `None` is the code of a plain cell.
        labels: what it can do when it is called, as the policy says.
        settings: the limits.
        examples: all examples of the prompt, by number.
        tried: the numbers of those that need the copies.
        module_dir: where the user's other modules lie.
        fixed_names: names that the examples know, with the text of their literal values.
        acts: whether it does at once what must be confined.
    """

    source: str
    name: str | None
    labels: Collection[str]
    settings: Settings
    examples: Sequence[Example] = ()
    tried: Collection[int] = ()
    module_dir: Path | None = None
    fixed_names: Mapping[str, str] = field(default_factory=dict)
    acts: bool = False

    @property
    def must_be_confined(self) -> bool:
        """Tell whether the code reaches out of the process."""
        return self.acts or bool(OUTSIDE & set(self.labels))


def named_variables(versions: Iterable[Optioned]) -> frozenset[str]:
    """Give the notebook's variables that the option `with` of stored versions names."""
    named = ",".join(version.options.get("with", "") for version in versions)
    items = (item.strip() for item in named.split(","))
    names = (item.partition(":")[0].strip() for item in items if not item.startswith("cell:"))
    return frozenset(name.partition(".")[0] for name in names if name)


def examples_on_copies(examples: Sequence[Example], names: Collection[str]) -> frozenset[int]:
    """Number the examples that use a named variable, or what such an example has made."""
    using: set[int] = set()
    made = set(names)
    for number, example in enumerate(examples):
        if example.needs_io:
            continue
        if made & loaded_names(example.source):
            using.add(number)
            made |= bound_names(example.source)
    return frozenset(using)

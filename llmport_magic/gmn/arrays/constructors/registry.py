"""What constructors there are, and the array that a value stands for."""

from __future__ import annotations

import difflib
import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from llmport_magic.gmn.arrays.constructors.axes import MATRICES, Axis, Here, Place, listed, said
from llmport_magic.gmn.arrays.constructors.literals import literal
from llmport_magic.gmn.notation.nodes import Call

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmport_magic.gmn.notation.nodes import Value

Make: TypeAlias = "Callable[..., NDArray[np.float64]]"
_DEEPEST = 12
# Comparing more letters, or more names, takes longer than anybody waits for a hint.
_COMPARED = 100


@dataclass(frozen=True, slots=True)
class Constructor:
    """A short way to write an array.

    Attributes:
        name: how it is called.
        signature: its arguments with their defaults, as the notation writes them.
        meaning: what it stands for, in short.
        details: what else there is to know of it.
        places: the fields in which it may stand.
        example: one use.
        make: gives the array.
    """

    name: str
    signature: str
    meaning: str
    details: str
    places: tuple[Place, ...]
    example: str
    make: Make


class _NamedError(ValueError):
    """Names the constructor to mend; those around it have nothing to add."""


CONSTRUCTORS: dict[str, Constructor] = {}
# Other names of the same thing.
ALIASES = {"eye": "identity", "one_hot": "onehot", "towards": "toward"}


def constructor(signature: str, *places: Place, example: str) -> Callable[[Make], Make]:
    """Enter a function as the constructor of that signature; its docstring says what it means."""

    def enter(make: Make) -> Make:
        name = signature.partition("(")[0]
        meaning, _, rest = inspect.cleandoc(make.__doc__ or "").partition("\n\n")
        details = " ".join(rest.split())
        CONSTRUCTORS[name] = Constructor(name, signature, meaning, details, places, example, make)
        return make

    return enter


def expand(value: Value, axes: Sequence[Axis], place: Place) -> NDArray[np.float64]:
    """Give the array that a value stands for; nothing in it is ever evaluated.

    Args:
        value: numbers written out, or a constructor.
        axes: the array's: of an emission `[observation, state, …]`, of a transition `[next,
            previous, …, action]`, without the last one where no control is named; of a vector one.
        place: the field in which it stands.

    Raises:
        ValueError: it stands for none, in one line what was expected, what was found and what to
            write. That its columns sum to 1 is not looked at where they are written out.
    """
    return filled(value, Here(place, tuple(axes)))


def filled(value: Value, here: Here) -> NDArray[np.float64]:
    """Do what `expand` does, in a constructor's argument."""
    if here.depth > _DEEPEST:
        raise ValueError(f"constructors are nested more than {_DEEPEST} deep")
    if isinstance(value, tuple):
        return literal(value, here)
    if isinstance(value, str) and "(" in value:
        from llmport_magic.gmn.notation.text import read_value

        value = read_value(value)
    if isinstance(value, str):
        value = Call(value)
    if isinstance(value, Call) and not value.name:
        raise ValueError(f"there is nothing: write a list of numbers, or one of {_names(here)}")
    certain = here.place == "initial" or (here.place in MATRICES and here.depth > 0)
    if isinstance(value, Call):
        known = _named(value.name)
        if known is not None:
            return _made(known, value, here)
        bare = not value.arguments and not value.named
        if not (certain and bare and value.name in here.to.labels):
            raise _NamedError(_unknown(value.name, here, certain=certain))
    if not certain:
        raise ValueError(
            f"{said(value)} is no {_thing(here)}: write a list of numbers, or one of {_names(here)}"
        )
    column = np.zeros(here.to.size)
    column[here.to.index(value)] = 1.0
    return here.along(column)


def _named(name: str) -> Constructor | None:
    lower = name.lower()
    return CONSTRUCTORS.get(ALIASES.get(lower, lower))


def _made(known: Constructor, call: Call, here: Here) -> NDArray[np.float64]:
    if here.place not in known.places:
        places = " or ".join(known.places)
        raise _NamedError(
            f"`{known.name}` may stand in {places}; in {here.place} there are {_names(here)}"
        )
    try:
        bound = _bound(known, call)
    except TypeError as error:
        raise _NamedError(f"{said(call)}: {error}; it is `{known.signature}`") from None
    try:
        return known.make(here, *bound.args, **bound.kwargs)
    except _NamedError:
        raise
    except ValueError as error:
        raise _NamedError(f"{said(call)}: {error}") from None


def _bound(known: Constructor, call: Call) -> inspect.BoundArguments:
    """Bind the arguments that were written to the constructor's."""
    for name, count in Counter(name for name, _ in call.named).items():
        if count > 1:
            raise TypeError(f"`{name}` is given twice")
    signature = inspect.signature(known.make)
    here, *parameters = signature.parameters.values()
    del here
    known_names = [each.name for each in parameters]
    for name, _ in call.named:
        near = difflib.get_close_matches(name[:_COMPARED].lower(), known_names, n=1)
        if near and name not in known_names:
            raise TypeError(f"it has no `{name}` (did you mean `{near[0]}`?)")
    return signature.replace(parameters=parameters).bind(*call.arguments, **dict(call.named))


def _thing(here: Here) -> str:
    return "matrix" if here.place in MATRICES else "vector"


def _allowed(here: Here) -> list[str]:
    return [each.name for each in CONSTRUCTORS.values() if here.place in each.places]


def _names(here: Here) -> str:
    return ", ".join(f"`{name}`" for name in _allowed(here))


def _unknown(name: str, here: Here, *, certain: bool) -> str:
    known = [*_allowed(here), *(here.to.labels if certain else ())]
    near = difflib.get_close_matches(name[:_COMPARED].lower(), known[:_COMPARED], n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    labels = (
        f"; `{here.to.name}` has {listed(here.to.labels)}" if certain and here.to.labels else ""
    )
    return f"unknown constructor {said(name)}: {hint}there are {_names(here)}{labels}"


def arguments(known: Constructor) -> dict[str, Any]:
    """Give the names of a constructor's arguments with their defaults."""
    parameters = list(inspect.signature(known.make).parameters.values())[1:]
    return {each.name: each.default for each in parameters}

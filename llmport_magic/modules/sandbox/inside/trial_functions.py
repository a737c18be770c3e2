"""Runs in the sandbox: which of a module's functions take the user's variables."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

Call: TypeAlias = tuple[Callable[..., Any], dict[str, str], bool]

_FRAMES = frozenset({"data", "dataframe", "dataset", "df", "frame", "table"})
_ARRAYS = frozenset({"a", "arr", "array", "data", "matrix", "values", "x"})
_LISTS = frozenset({"data", "entries", "items", "numbers", "records", "rows", "values"})
_USUAL_NAMES = {
    "DataFrame": _FRAMES,
    "Series": frozenset({"column", "data", "s", "series", "values"}),
    "ndarray": _ARRAYS,
    **dict.fromkeys(("list", "tuple", "set", "frozenset"), _LISTS),
    "dict": frozenset({"config", "data", "mapping"}),
    "str": frozenset({"s", "string", "text"}),
}


def public_names(module: types.ModuleType) -> list[str]:
    """Name what a star import gives."""
    names = getattr(module, "__all__", None)
    if not isinstance(names, (list, tuple)):
        names = [name for name in vars(module) if not name.startswith("_")]
    return [name for name in names if isinstance(name, str) and hasattr(module, name)]


def calls(module: types.ModuleType, kinds: Mapping[str, str], prompt: str) -> Iterator[Call]:
    """Give each function with what it is called with, and whether it surely takes that.

    By name first. Only where no parameter has a variable's name and there is one variable, it goes
    to the functions that need one argument.

    Args:
        module: whose public functions they are.
        kinds: the type of each variable, by its name.
        prompt: what the user wrote: a call in it says what a function takes.
    """
    functions = []
    for name in public_names(module):
        value = getattr(module, name)
        own = getattr(value, "__module__", None) == module.__name__
        if own and callable(value) and not isinstance(value, type) and _parameters(value):
            functions.append(value)
    named = []
    for function in functions:
        given, required = {}, []
        for parameter in _parameters(function) or ():
            if parameter.name in kinds:
                given[parameter.name] = parameter.name
            elif parameter.default is parameter.empty:
                required.append(parameter.name)
        if given and not required:
            named.append((function, given, True))
    if named:
        yield from named
    elif len(kinds) == 1:
        yield from _by_position(functions, next(iter(kinds.items())), prompt)


def _by_position(
    functions: list[Callable[..., Any]], variable: tuple[str, str], prompt: str
) -> Iterator[Call]:
    found = []
    name, kind = variable
    for function in functions:
        parameters = _parameters(function) or []
        required = [each for each in parameters if each.default is each.empty]
        if len(required) != 1:
            continue
        annotation = required[0].annotation
        fits = _fits(annotation, kind)
        if fits is False:
            continue
        said = f"{function.__name__}({name}" in prompt.replace(" ", "")
        usual = required[0].name.lower() in _USUAL_NAMES.get(kind, ())
        found.append((function, {required[0].name: name}, bool(fits or said or usual)))
    certain = [call for call in found if call[2]]
    yield from certain or found


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """Give what a function can be called with by name; `None` where that is not known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    listed = [each for each in parameters if each.kind in kinds]
    bare = any(
        each.kind is each.POSITIONAL_ONLY and each.default is each.empty for each in parameters
    )
    return None if bare else listed


def _fits(annotation: Any, kind: str) -> bool | None:
    """Tell whether an annotation names the type; `None` where it says nothing about it."""
    if annotation is inspect.Parameter.empty:
        return None
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    words = set(text.replace("[", " ").replace("]", " ").replace("|", " ").split())
    last = {word.strip(",'\"").rpartition(".")[2] for word in words}
    if kind in last:
        return True
    loose = {"Any", "object", "ArrayLike", "Iterable", "Sequence", "Collection", "Mapping", "T"}
    return None if last & loose else False

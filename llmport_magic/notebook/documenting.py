"""What a model is told about code: signatures, docstrings, and the source where it is asked for."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from llmport_magic.errors import UsageError
from llmport_magic.modules.parsing import parse
from llmport_magic.notebook.describing import Description, brief
from llmport_magic.notebook.visible import one_line

_LONGEST_DEFAULT = 60
_LONGEST_LINE = 120
_MOST_MEMBERS = 1_000
_LITERALS = (str, int, float, complex, bool, bytes, type(None))


def is_code(value: Any) -> bool:
    """Tell whether a value is a module, a class or something like a function."""
    return inspect.ismodule(value) or inspect.isclass(value) or inspect.isroutine(value)


def describe_code(name: str, value: Any, *, whole: bool = True) -> Description:
    """Describe a module, a class or a function.

    Args:
        name: what the user calls it.
        value: the thing itself.
        whole: with signatures and docstrings of the members; else with their names only.
    """
    if inspect.ismodule(value):
        return _module(value, whole)
    if inspect.isclass(value):
        return _class(value, whole)
    signature = signature_of(value)
    own = getattr(value, "__name__", name)
    head = f"function {own}{signature}"
    documentation = _documentation(value)
    stable = f"{head}\n{documentation}"
    return Description(brief="function", head=head, stable=stable, documentation=documentation)


def _documentation(value: Any) -> str:
    found = inspect.getdoc(value)
    if not isinstance(found, str):
        return ""
    # What a dataclass without a docstring is given holds the reprs of its defaults.
    name = getattr(value, "__name__", "")
    is_generated = dataclasses.is_dataclass(value) and found.startswith(f"{name}(")
    return "" if is_generated else found.strip()


def _first_line(value: Any) -> str:
    return one_line(_documentation(value).split("\n", 1)[0], _LONGEST_LINE)


def signature_of(value: Any) -> str:
    """Write a signature; a default is a literal, a name of code or `...`: a repr may hold data."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "(…)"
    parameters = [
        each.replace(default=_shown_default(each.default), annotation=_annotation(each.annotation))
        for each in signature.parameters.values()
    ]
    returned = _annotation(signature.return_annotation)
    return str(signature.replace(parameters=parameters, return_annotation=returned))


class _Written:
    """Something that is written as its text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _shown_default(value: Any) -> Any:
    if value is inspect.Parameter.empty:
        return value
    if inspect.isclass(value) or (inspect.isroutine(value) and value.__name__.isidentifier()):
        return _Written(one_line(value.__name__, _LONGEST_DEFAULT))
    return _Written(one_line(repr(value), _LONGEST_DEFAULT) if _is_literal(value) else "...")


def _is_literal(value: Any) -> bool:
    if type(value) in (tuple, list, set, frozenset):
        return len(value) <= 6 and all(map(_is_literal, value))
    return type(value) in _LITERALS or (type(value) is dict and not value)


def _annotation(value: Any) -> Any:
    if value is inspect.Parameter.empty or value is None:
        return value
    if isinstance(value, str):
        return _Written(one_line(value, _LONGEST_LINE))
    known = (type, types.GenericAlias, types.UnionType, typing.TypeVar)
    if isinstance(value, known) or type(value).__module__ == "typing":
        text = inspect.formatannotation(value)
        # What stands beside a type in `Annotated` is any object.
        return _Written("..." if "Annotated[" in text else one_line(text, _LONGEST_LINE))
    return _Written("...")


# -- members -----------------------------------------------------------------------------------


def _class(kind: type, whole: bool) -> Description:
    bases = [base.__name__ for base in kind.__bases__ if base is not object]
    head = f"class {kind.__name__}{signature_of(kind)}" + (
        f", a kind of {', '.join(bases)}" if bases else ""
    )
    names = [
        name
        for parent in reversed(kind.__mro__[:-1])
        for name in vars(parent)
        if not name.startswith("_")
    ]
    members = {name: inspect.getattr_static(kind, name, None) for name in dict.fromkeys(names)}
    return _with_members("class", head, _documentation(kind), members, whole)


def _module(module: types.ModuleType, whole: bool) -> Description:
    version = vars(module).get("__version__")
    told = f" {one_line(version, 40)}" if isinstance(version, str) else ""
    listed = vars(module).get("__all__")
    if isinstance(listed, (list, tuple)):
        names = [name for name in listed if isinstance(name, str) and name in vars(module)]
    else:
        names = [name for name, each in vars(module).items() if _is_own(name, each, module)]
    members = {name: vars(module)[name] for name in names}
    head = f"module {module.__name__}{told}"
    return _with_members("module", head, _documentation(module), members, whole)


def _is_own(name: str, value: Any, module: types.ModuleType) -> bool:
    if name.startswith("_") or inspect.ismodule(value):
        return False
    home = getattr(value, "__module__", None) if is_code(value) else module.__name__
    return home == module.__name__


def _with_members(
    kind: str, head: str, documentation: str, members: dict[str, Any], whole: bool
) -> Description:
    shown = list(members.items())[:_MOST_MEMBERS]
    entries = tuple(_member(name, each) for name, each in shown) if whole else ()
    return Description(
        brief=kind,
        head=head,
        stable=f"{head} {','.join(sorted(members))}",
        entries=entries,
        noun="member",
        more=max(0, len(members) - len(shown)),
        documentation=documentation,
    )


def _member(name: str, value: Any) -> tuple[str, str]:
    inner = getattr(value, "__func__", value)
    if isinstance(value, property):
        return f"{name}: property", _first_line(value)
    if inspect.isclass(inner):
        return f"class {name}", _first_line(inner)
    if callable(inner) and inspect.isroutine(inner):
        return f"{name}{signature_of(inner)}", _first_line(inner)
    return f"{name}: {brief(value)}", ""


# -- sources -----------------------------------------------------------------------------------


def source_of(name: str, value: Any, cells: Sequence[str]) -> str:
    """Give the source of a function, a class or a module.

    Args:
        name: what the user calls it.
        value: the thing itself.
        cells: the notebook's cells as they were run; a class that one of them defined is found
            there, where `inspect` finds no file.

    Raises:
        UsageError: there is none.
    """
    if not is_code(value):
        raise UsageError(
            f"`--with {name}:source`: `{name}` is data ({brief(value)}), only functions, classes "
            f"and modules have a source: `--with {name}`"
        )
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        own = getattr(value, "__name__", name)
        found = next((text for cell in reversed(cells) for text in _defined(own, cell)), None)
        if found is not None and getattr(value, "__module__", "") == "__main__":
            return found
        raise UsageError(
            f"`--with {name}:source`: no source of `{name}` is found, as it is not written in "
            f"Python or its file is gone: `--with {name}` sends its signature and docstring"
        ) from None


def _defined(name: str, cell: str) -> Iterator[str]:
    try:
        tree = parse(cell)
    except (SyntaxError, ValueError):
        return
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            yield "\n".join(cell.split("\n")[first - 1 : node.end_lineno])

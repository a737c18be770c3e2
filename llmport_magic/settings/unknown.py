"""What is written where settings are looked for, and means nothing: a slip nobody else would tell.

The environment, `.env` and `loom.toml` are shared with other programs, and a provider may be
registered later: a name that nobody knows is no error there.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from llmport_magic.settings.administration import administration
from llmport_magic.settings.environment import variables
from llmport_magic.settings.layer import Layer, Rank
from llmport_magic.settings.project import project_files, project_folder
from llmport_magic.settings.reading import Content, read_settings
from llmport_magic.settings.tables import SECTIONS, own_variables
from llmport_magic.settings.values import OF_A_PROVIDER, Settings, is_of_a_provider

# Somebody who writes them expects them to be found.
_NOT_FOUND = ("llmport.yaml", "llmport.yml", "llmport.json")
# Other programs have fields of their own there: only what is nearly ours is taken for a slip.
_NEAR = 0.75


def unknown_names(
    settings: Settings, providers: Iterable[str], short: Callable[[str | Path], str] = str
) -> Iterator[str]:
    """Tell of each such name in a line, with the nearest that means something.

    Args:
        settings: as they resolve.
        providers: the names of those that are known.
        short: writes the path of a file, or a place in it.
    """
    known = list(providers)
    told = {name: layer.label for layer in settings.layers for name in layer.providers if name}
    for name, label in told.items():
        if name not in known:
            near = _nearest(name, known)
            yield f"no provider is called `{name}`, of whom {short(label)} has a table{near}"
    rules = administration()
    for name in rules.providers or ():
        if name not in known:
            near = _nearest(name, known)
            yield f"no provider is called `{name}`, whom {short(rules.path)} allows{near}"
    meant = _known_variables(known)
    yield from _of_variables(variables(), meant, lambda _: "the environment")
    for layer in settings.layers:
        if layer.rank == Rank.NAMED:
            yield from _of_variables(layer.variables, meant, partial(_place, layer, short))
    for path in project_files():
        yield from _of_file(read_settings(path), meant, short)
    folder = project_folder() or Path().absolute()
    for name in _NOT_FOUND:
        if (folder / name).is_file():
            yield (
                f"{short(folder / name)} counts only where it is named: set LLMPORT_CONFIG, or "
                "write an llmport.toml"
            )


def _of_file(
    content: Content, meant: Iterable[str], short: Callable[[str | Path], str]
) -> Iterator[str]:
    if content.holds_variables:
        yield from _of_variables(content.table, meant, lambda name: short(content.place(name)))
        for (name,) in content.lines.keys() - {(name,) for name in content.table}:
            yield f"`{name}` in {short(content.place(name))} has no `=`: it is not read"
    elif content.path.name == "loom.toml":
        for provider, section in (content.table.get(SECTIONS) or {}).items():
            for name in section if isinstance(section, Mapping) else ():
                near = difflib.get_close_matches(name, OF_A_PROVIDER, n=1, cutoff=_NEAR)
                if near and not is_of_a_provider(name):
                    place = short(content.place(SECTIONS, provider, name))
                    yield f"`{name}` in {place} is no setting: did you mean `{near[0]}`?"


def _of_variables(
    given: Iterable[str], meant: Iterable[str], place: Callable[[str], str]
) -> Iterator[str]:
    for name in sorted(given):
        if name.startswith("LLMPORT_") and name not in meant:
            yield f"`{name}` in {place(name)} is no setting{_nearest(name, meant)}"


def _known_variables(providers: Iterable[str]) -> set[str]:
    heads = [name.upper().replace("-", "_") for name in providers]
    known = {*own_variables(), "LLMPORT_CONFIG", *(f"LLMPORT_{head}_MODEL" for head in heads)}
    for head in heads:
        known |= {f"LLMPORT_LLM__{head}__{name.upper()}" for name in OF_A_PROVIDER}
    return known


def _place(layer: Layer, short: Callable[[str | Path], str], name: str) -> str:
    return short(layer.place(name).removesuffix(f": {name}"))


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f": did you mean `{near[0]}`?" if near else ""

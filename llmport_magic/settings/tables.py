"""Turns tables and environment variables into layers of checked settings."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.secrets import Secret, variable
from llmport_magic.settings.layer import Given, Layer, Rank
from llmport_magic.settings.reading import Content
from llmport_magic.settings.values import OF_A_PROVIDER, checked, named, setting_names

SECTIONS = "llm"
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_OTHER_VARIABLES = {"LLM_PROVIDER": "provider"}


class Unexpanded(str):
    """A value that names environment variables, looked up when the value is used."""

    __slots__ = ()


def layer_of_table(
    table: Mapping[str, Any], rank: Rank, source: str, place: Callable[..., str] | None = None
) -> Layer:
    """Read a table of settings, with those of single providers below `llm`.

    Args:
        table: settings by name, and `llm` with a table for each provider.
        rank: how strong they are.
        source: what `%llmport config` says of where they came from.
        place: says where a field stands, given its path of names; for files.

    Raises:
        ConfigError: an unknown setting or a bad value, with its place.
    """

    def where(*names: str) -> str:
        return place(*names) if place else source

    flat = {name: value for name, value in table.items() if name != SECTIONS}
    sections = table.get(SECTIONS, {})
    if not isinstance(sections, Mapping):
        raise ConfigError(f"`{SECTIONS}` in {where(SECTIONS)} holds a table for each provider")
    providers = {}
    for name, section in sections.items():
        if not isinstance(section, Mapping):
            raise ConfigError(f"`{SECTIONS}.{name}` in {where(SECTIONS, name)} must be a table")
        inner = functools.partial(where, SECTIONS, name)
        providers[str(name).lower()] = _given(section, OF_A_PROVIDER, inner)
    return Layer(
        rank=rank, label=source, values=_given(flat, setting_names(), where), providers=providers
    )


def layer_of_file(content: Content, rank: Rank, label: str = "") -> Layer:
    """Read the settings of a file: its fields, or those below `llmport`."""
    inner = content.below("tool", "llmport") or content.below("llmport") or content
    layer = layer_of_table(inner.table, rank, label or str(content.path), inner.place)
    if not label:
        return layer
    # What names the file is told, too.
    return Layer(
        rank=rank,
        label=label,
        values={name: Given(one.value, label) for name, one in layer.values.items()},
        providers={
            name: {field: Given(one.value, label) for field, one in section.items()}
            for name, section in layer.providers.items()
        },
    )


def layer_of_variables(
    variables: Mapping[str, str | Secret], rank: Rank, place: Callable[[str], str] = str
) -> Layer:
    """Read settings out of environment variables, or what stands for them in a `.env` file.

    Args:
        variables: by name; an empty one is not set.
        rank: how strong they are.
        place: says where a variable stands.
    """
    values: dict[str, Given] = {}
    names = {**_OTHER_VARIABLES, **{f"LLMPORT_{name.upper()}": name for name in setting_names()}}
    for own, name in names.items():
        value = variables.get(own)
        if isinstance(value, Secret) or (value and value.strip()):
            text = value if isinstance(value, Secret) else value.strip()
            values[name] = Given(checked(name, text, place(own)), place(own))
    return Layer(rank=rank, values=values, variables=variables)


def expanded(given: Given, name: str) -> Given:
    """Put the environment's values in the place of `${NAME}`.

    Raises:
        ConfigError: the variable is not set.
    """
    if not isinstance(given.value, Unexpanded):
        return given

    def value(found: re.Match[str]) -> str:
        text = variable(found[1])
        if not text:
            raise ConfigError(
                f"`{found[0]}` of `{name}` in {given.source} is not set in the environment: set it"
            )
        return text

    text = _VARIABLE.sub(value, given.value)
    return Given(checked(name, text, given.source), given.source)


def _given(
    table: Mapping[str, Any], known: Iterable[str], where: Callable[[str], str]
) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for word, raw in table.items():
        if raw is None:
            continue
        place = where(str(word))
        name, value = named(str(word), raw, known, place)
        if name in found:
            raise ConfigError(f"`{word}` in {place} says `{name}` once more: leave one out")
        several = isinstance(value, str) and _VARIABLE.search(value)
        found[name] = Given(Unexpanded(value) if several else checked(name, value, place), place)
    return found

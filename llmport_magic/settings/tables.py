"""Turns tables and environment variables into layers of checked settings."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.secrets import Secret, variable
from llmport_magic.settings.layer import Given, Layer, Rank
from llmport_magic.settings.reading import Content
from llmport_magic.settings.values import (
    OF_A_PROVIDER,
    checked,
    is_of_a_provider,
    named,
    setting_names,
)

SECTIONS = "llm"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Unexpanded:
    """A value that names environment variables, looked up when the value is used.

    Attributes:
        value: a text, or a table or list with such a text.
    """

    value: Any

    def __str__(self) -> str:
        return str(self.value)


def layer_of_table(
    table: Mapping[str, Any], rank: Rank, source: str, place: Callable[..., str] | None = None
) -> Layer:
    """Read a table of settings, with those of single providers below `llm`.

    Args:
        table: settings by name, and `llm` with a table for each provider, who need not be known:
            somebody may register it later.
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


def layer_of_file(content: Content, rank: Rank, note: str = "") -> Layer:
    """Read the settings of a file: its fields, or those below `llmport` or `tool.llmport`.

    Args:
        content: of the file; a `.env` file holds variables.
        rank: how strong they are.
        note: what to say beside each place, such as who names the file.

    Raises:
        ConfigError: an unknown setting or a bad value, with its place.
    """
    if content.holds_variables:
        layer = layer_of_variables(content.table, rank, content.place_of_variable)
    else:
        ours = content.below("tool", "llmport")
        if ours is None and content.path.name == "pyproject.toml":
            raise ConfigError(f"`{content.path}` has no table `[tool.llmport]`: add one")
        inner = ours or content.below("llmport") or content
        layer = layer_of_table(inner.table, rank, str(content.path), inner.place)
    return _noted(layer, note) if note else layer


def section_values(section: Mapping[str, Any], place: Callable[[str], str]) -> dict[str, Any]:
    """Check the settings of one provider, and put the environment's values in place.

    Args:
        section: by their names, or other words for them.
        place: says where a field stands.

    Raises:
        ConfigError: an unknown setting, a bad value or a variable that is not set.
    """
    given = _given(section, OF_A_PROVIDER, place)
    return {name: expanded(one, name).value for name, one in given.items()}


def layer_of_providers(content: Content, rank: Rank) -> Layer:
    """Read the tables of providers in another program's file, as far as they are settings."""
    sections = content.table.get(SECTIONS)
    known = {
        name: {field: value for field, value in table.items() if is_of_a_provider(field)}
        for name, table in (sections.items() if isinstance(sections, Mapping) else ())
        if isinstance(table, Mapping)
    }
    return layer_of_table({SECTIONS: known}, rank, str(content.path), content.place)


def _noted(layer: Layer, note: str) -> Layer:
    def told(values: Mapping[str, Given]) -> dict[str, Given]:
        return {name: Given(one.value, f"{one.source} ({note})") for name, one in values.items()}

    return replace(
        layer,
        values=told(layer.values),
        providers={name: told(section) for name, section in layer.providers.items()},
    )


@cache
def own_variables() -> dict[str, str]:
    """Name the variables that hold settings of whoever answers, with the name of each setting."""
    return {"LLM_PROVIDER": "provider"} | {f"LLMPORT_{n.upper()}": n for n in setting_names()}


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
    for own, name in own_variables().items():
        value = variables.get(own)
        if isinstance(value, Secret) or (value and value.strip()):
            text = value if isinstance(value, Secret) else value.strip()
            values[name] = Given(checked(name, text, place(own)), place(own))
    return Layer(rank=rank, values=values, variables=variables, place=place)


def expanded(given: Given, name: str) -> Given:
    """Put the environment's values in the place of `${NAME}`.

    Raises:
        ConfigError: the variable is not set.
    """
    if not isinstance(given.value, Unexpanded):
        return given

    def text_of(found: re.Match[str]) -> str:
        text = variable(found[1])
        if not text:
            raise ConfigError(
                f"`{found[0]}` of `{name}` in {given.source} is not set in the environment: set it"
            )
        return text

    def value_of(value: Any) -> Any:
        if isinstance(value, str):
            text = _VARIABLE.sub(text_of, value)
            # What a header takes from a variable is a key more often than not.
            return Secret(text) if name == "headers" and text != value else text
        if isinstance(value, Mapping):
            return {key: value_of(part) for key, part in value.items()}
        return [value_of(part) for part in value] if isinstance(value, list) else value

    return Given(checked(name, value_of(given.value.value), given.source), given.source)


def _names_variable(value: Any) -> bool:
    if isinstance(value, str):
        return _VARIABLE.search(value) is not None
    parts = value.values() if isinstance(value, Mapping) else value
    return isinstance(value, (Mapping, list)) and any(map(_names_variable, parts))


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
        if _names_variable(value):
            if name == "provider":
                raise ConfigError(
                    f"`provider` in {place} is a name, not a variable: set LLMPORT_PROVIDER instead"
                )
            found[name] = Given(Unexpanded(value), place)
        else:
            found[name] = Given(checked(name, value, place), place)
    return found

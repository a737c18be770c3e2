"""One source of settings, and how strong it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

from llmport_magic.secrets import Secret, masked_repr


class Rank(IntEnum):
    """The kinds of sources, the weakest first."""

    CATALOGUE = 0
    SYSTEM = 1
    USER = 2
    PROJECT = 3
    ENVIRONMENT = 4
    NAMED = 5
    CONFIGURED = 6
    ARGUMENT = 7
    POLICY = 8


class Given(NamedTuple):
    """A value, and what `%llmport config` says of where it came from."""

    value: Any
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one source says.

    Attributes:
        rank: how strong it is.
        values: settings by name.
        providers: settings of one provider, by its name.
        variables: environment variables, by name, for what only the catalogue knows the names of.
        place: says where a variable stands.
        label: what source it is.
        inert: what a project's file says and nobody has allowed yet, with where it stands.
    """

    rank: Rank
    values: Mapping[str, Given] = field(default_factory=dict)
    providers: Mapping[str, Mapping[str, Given]] = field(default_factory=dict)
    variables: Mapping[str, str | Secret] = field(default_factory=dict)
    place: Callable[[str], str] = str
    label: str = ""
    inert: Mapping[str, str] = field(default_factory=dict)
    __repr__ = masked_repr

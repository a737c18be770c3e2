"""Providers from a project's own file: `[llm.NAME]` tables in TOML, as `loom.toml` has them."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import ConfigError, UsageError
from llmport_magic.secrets import masked_repr
from llmport_magic.settings import (
    OF_A_PROVIDER,
    origin,
    read_settings,
    resolve,
    section_values,
)
from llmport_magic.settings.values import is_of_a_provider

if TYPE_CHECKING:
    from llmport_magic.llm.connector import BaseLLMConnector
    from llmport_magic.settings import Content

# The words that come first in a message.
_WORDS = ("base_url", "api_base", "model", "api_key_env", "api_key", "timeout_ms", "timeout_sec")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectConfig:
    """What a project's file says about providers.

    Attributes:
        path: of the file.
        llm: the fields of each `[llm.NAME]` table, by name; keys that stand there are secrets.
        content: of the file, or of the table in it that is ours, which knows the lines.
    """

    path: str
    llm: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    content: Content | None = field(default=None, repr=False, compare=False)
    __repr__ = masked_repr

    def place(self, *names: str) -> str:
        """Say where a field stands."""
        return f"`{self.path}`" if self.content is None else self.content.place(*names)


def load_project_config(path: str | Path) -> ProjectConfig:
    """Read the `[llm.NAME]` tables of a settings file that you name.

    In `pyproject.toml` they stand as `[tool.llmport.llm.NAME]`; `llmport.toml` may have them as
    `[llmport.llm.NAME]`. A table may hold every setting of a provider, such as `base_url` (or
    `api_base`), `model`, `api_key_env` (or `api_key`), `temperature`, `max_tokens` (tokens) and
    `timeout_ms` (or `timeout_sec`). What is in a table is checked when its provider is made.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: it cannot be read, or is not what its name says; the message tells the line.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no project file `{path}`: check its path")
    content = read_settings(Path(path))
    ours = content.below("tool", "llmport") or content.below("llmport") or content
    tables = ours.table.get("llm")
    sections = tables if isinstance(tables, Mapping) else {}
    known = {name: table for name, table in sections.items() if isinstance(table, Mapping)}
    return ProjectConfig(path=str(path), llm=known, content=ours)


def connector_from(
    ctx: Any, name: str, config: ProjectConfig | Mapping[str, Any]
) -> BaseLLMConnector:
    """Make the connector of a section; see `LLMProvider.from_config`.

    Raises:
        UsageError: the configuration is none.
        ConfigError: nobody knows the name, or a field is missing or wrong.
    """
    from llmport_magic.llm.registry import default_registry, named_connector

    if not isinstance(config, (ProjectConfig, Mapping)):
        raise UsageError("give what `load_project_config(path)` gives, or {'llm': {name: fields}}")
    given = isinstance(config, ProjectConfig)
    source = f"`{config.path}`" if isinstance(config, ProjectConfig) else "the configuration"
    sections = config.llm if isinstance(config, ProjectConfig) else config.get("llm", {})
    registry = default_registry()
    known = [row.name for row in registry.providers()]
    if name not in sections:
        if name not in known:
            raise ConfigError(_unknown(name, source, [*sections, *known]))
        warnings.warn(
            f"no `[llm.{name}]` in {source}: taking the preset `{name}`", UserWarning, stacklevel=3
        )
        return named_connector(name, ctx=ctx)

    def place(field_: str = "") -> str:
        line = config.place("llm", name, field_) if isinstance(config, ProjectConfig) else source
        return f"`[llm.{name}]` of {line if given else source}"

    values = _checked(sections[name], place)
    if name not in known and "base_url" not in values:
        raise ConfigError(f"{place()} needs a `base_url`: `{name}` is no provider of the catalogue")
    return _made(ctx, name, values, place())


def _made(ctx: Any, name: str, values: dict[str, Any], source: str) -> BaseLLMConnector:
    """Put a section over the row of its name; without one the section stands for itself."""
    from llmport_magic.llm.catalogue import provider_from
    from llmport_magic.llm.registry import default_registry
    from llmport_magic.llm.selection import connector_of

    registry = default_registry()
    has_key = bool(values.get("api_key") or values.get("api_key_env"))
    if any(row.name == name for row in registry.providers()):
        row = registry.provider(name)
        away = "base_url" in values and origin(values["base_url"]) != origin(row.base_url)
        if away and row.connector is None:
            # The key of the row was given for the row's server: another one may need none.
            row = replace(row, key_required=has_key)
    else:
        row = provider_from({"name": name, "key_required": has_key}, source=source)
    return connector_of(row, resolve(config={"llm": {name: values}}, provider=name), registry, ctx)


def _checked(section: Mapping[str, Any], place: Any) -> dict[str, Any]:
    """Give the values of a section by the names of settings, with variables looked up.

    Raises:
        ConfigError: an unknown field or a bad value, with its place.
    """
    for word, value in section.items():
        if not is_of_a_provider(word):
            near = difflib.get_close_matches(word, (*_WORDS, *OF_A_PROVIDER), n=1)
            words = ", ".join(dict.fromkeys((*_WORDS[:3], *_WORDS, *OF_A_PROVIDER)))
            hint = f"did you mean `{near[0]}`?" if near else f"known: {words}"
            raise ConfigError(f"unknown field `{word}` in {place(word)}: {hint}")
        if value == "":
            raise ConfigError(f"`{word}` in {place(word)} must be str, not empty")
    if "api_key" in section and "api_key_env" in section:
        raise ConfigError(f"{place()} has `api_key` and `api_key_env`: leave one out")
    return section_values(section, place)


def _unknown(name: str, source: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    names = ", ".join(dict.fromkeys(known))
    return f"no `[llm.{name}]` in {source}, and no provider `{name}`: {hint}known: {names}"

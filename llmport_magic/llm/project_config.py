"""Providers from a project's own file: `[llm.NAME]` tables in TOML, as `loom.toml` has them."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llmport_magic.errors import ConfigError, UsageError
from llmport_magic.secrets import Secret, find_key, variable

if TYPE_CHECKING:
    from llmport_magic.llm.connector import BaseLLMConnector
    from llmport_magic.llm.provider import LLMConfig

_FIELDS = {
    "base_url": str,
    "api_base": str,
    "model": str,
    "api_key": str,
    "api_key_env": str,
    "temperature": float,
    "max_tokens": int,
    "timeout_ms": float,
    "timeout_sec": float,
}
# Two words for one thing: a section holds one of them.
_PAIRS = (("base_url", "api_base"), ("api_key", "api_key_env"), ("timeout_ms", "timeout_sec"))
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectConfig:
    """What a project's file says about providers.

    Attributes:
        path: of the file.
        llm: the fields of each `[llm.NAME]` table, by name; keys that stand there are secrets.
    """

    path: str
    llm: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def load_project_config(path: str | Path) -> ProjectConfig:
    """Read the `[llm.NAME]` tables of a TOML file.

    In `pyproject.toml` they stand as `[tool.llmport.llm.NAME]`; `llmport.toml` may have them as
    `[llmport.llm.NAME]`. A table may hold `base_url` (or `api_base`), `model`, `api_key_env` (or
    `api_key`), `temperature`, `max_tokens` (tokens) and `timeout_ms` (or `timeout_sec`). What is
    in a table is checked when its provider is made.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: it cannot be read, or is no TOML; the message tells the line.
    """
    import tomllib

    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no project file `{path}`: check its path") from None
    except OSError as error:
        raise ConfigError(f"cannot read project file `{path}`: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"project file `{path}` is not valid TOML: {error}") from None
    ours = _table(_table(content, "tool"), "llmport") or _table(content, "llmport")
    tables = _table(ours, "llm") or _table(content, "llm")
    sections = {name: _kept(table) for name, table in tables.items() if isinstance(table, dict)}
    return ProjectConfig(path=str(path), llm=sections)


def connector_from(
    ctx: Any, name: str, config: ProjectConfig | Mapping[str, Any]
) -> BaseLLMConnector:
    """Make the connector of a section; see `LLMProvider.from_config`."""
    from llmport_magic.llm.registry import PROVIDER_CONFIG, named_connector

    if isinstance(config, ProjectConfig):
        source, sections = f"`{config.path}`", config.llm
    elif not isinstance(config, Mapping):
        raise UsageError("give what `load_project_config(path)` gives, or {'llm': {name: fields}}")
    else:
        source, sections = "the configuration", config.get("llm", {})
    if name not in sections:
        if name not in PROVIDER_CONFIG:
            raise ConfigError(_unknown(name, source, [*sections, *PROVIDER_CONFIG]))
        warnings.warn(
            f"no `[llm.{name}]` in {source}: taking the preset `{name}`", UserWarning, stacklevel=3
        )
        return named_connector(name, ctx=ctx)
    values = _values(sections[name], f"`[llm.{name}]` of {source}")
    if name in PROVIDER_CONFIG:
        return _known(ctx, name, values)
    return _custom(ctx, name, values, source)


def _known(ctx: Any, name: str, values: dict[str, Any]) -> BaseLLMConnector:
    """Put a section over the preset of its name."""
    from llmport_magic.llm.provider import LLMProvider
    from llmport_magic.llm.registry import default_registry, named_connector

    row = default_registry().provider(name)
    if row.connector is not None:
        milliseconds, variables = values.pop("timeout_ms", None), values.pop("api_key_vars", ())
        if milliseconds is not None:
            values["total_timeout"] = milliseconds / 1000
        values.setdefault("api_key", find_key(variables))
        return named_connector(name, ctx=ctx, **values)
    preset = named_connector(name, ctx=ctx)
    assert isinstance(preset, LLMProvider)
    if "base_url" in values and _origin(values["base_url"]) != _origin(row.base_url):
        # The preset's key was given for the preset's server, and goes to no other.
        away = "the provider's own was set for another address"
        values = {"api_key": None, "key_withheld": away, "key_required": False, **values}
    return LLMProvider(ctx, replace(preset.config, **_with_key(values)))


def _custom(ctx: Any, name: str, values: dict[str, Any], source: str) -> BaseLLMConnector:
    from llmport_magic.llm.provider import LLMConfig, LLMProvider

    if "base_url" not in values:
        raise ConfigError(
            f"`[llm.{name}]` of {source} needs a `base_url`: `{name}` is no provider of the "
            "catalogue"
        )
    config: LLMConfig = LLMConfig(**{"model": "", "provider": name, **_with_key(values)})
    return LLMProvider(ctx, config)


def _with_key(values: dict[str, Any]) -> dict[str, Any]:
    """Let a key of the section be the only one, and be required."""
    if values.get("api_key") is None and not values.get("api_key_vars"):
        return values
    own = {"api_key": None, "api_key_vars": (), **values, "key_required": True}
    return own | {"key_withheld": "", "keys": None}


def _values(section: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check a section; give its values as `LLMConfig` names them."""
    for name, value in section.items():
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(_FIELDS)}"
            raise ConfigError(f"unknown field `{name}` in {where}: {hint}")
        if not _is(value, _FIELDS[name]):
            shown = "" if name == "api_key" else f", not `{value}`"
            raise ConfigError(f"`{name}` in {where} must be {_FIELDS[name].__name__}{shown}")
    for first, second in _PAIRS:
        if first in section and second in section:
            raise ConfigError(f"{where} has `{first}` and `{second}`: leave one out")
    values = {
        name: _expanded(value, where) if isinstance(value, str) else value
        for name, value in section.items()
    }
    if "api_base" in values:
        values["base_url"] = values.pop("api_base")
    if "timeout_sec" in values:
        values["timeout_ms"] = values.pop("timeout_sec") * 1000
    if "api_key_env" in values:
        values["api_key_vars"] = (values.pop("api_key_env"),)
    if "api_key" in values:
        values["api_key"] = Secret(values["api_key"])
    return values


def _is(value: Any, kind: type) -> bool:
    if kind is str:
        return isinstance(value, (str, Secret)) and bool(value)
    number = isinstance(value, int) or (kind is float and isinstance(value, float))
    return number and not isinstance(value, bool) and value >= 0


def _expanded(text: str, where: str) -> str:
    def value(found: re.Match[str]) -> str:
        text = variable(found[1])
        if text is None:
            raise ConfigError(f"`{found[0]}` in {where} is not set in the environment: set it")
        return text

    return _VARIABLE.sub(value, text)


def _unknown(name: str, source: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    names = ", ".join(dict.fromkeys(known))
    return f"no `[llm.{name}]` in {source}, and no provider `{name}`: {hint}known: {names}"


def _table(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _kept(table: dict[str, Any]) -> dict[str, Any]:
    """Make a key that stands in the file a secret; the name of a variable is none."""
    key = table.get("api_key")
    if not isinstance(key, str) or not key.strip() or _VARIABLE.search(key):
        return table
    return {**table, "api_key": Secret(key)}


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)

"""Reads settings files: TOML, YAML, JSON and `.env`, and knows in which line a field stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.secrets import Secret

_TOML_HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]")
_TOML_KEY = re.compile(r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"))*)\s*=""")
_ENV_LINE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_]\w*)[ \t]*=[ \t]*"""
    r"""(?:(?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)")[ \t]*(?:\#.*)?|(?P<plain>.*))$""",
    re.MULTILINE,
)
_OURS = re.compile(r"LLMPORT_|MINDX_LLM__|LLM_PROVIDER$|\w+_API_KEY$")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_SECRET_NAME = re.compile(r"key|token|secret|password", re.IGNORECASE)
_NAMES_ONLY = ("api_key_env", "api_key_vars", "api_key_file", "keyring", "max_tokens")
_SEVERAL = "${"


@dataclass(frozen=True, slots=True)
class Content:
    """What a settings file holds.

    Attributes:
        path: of the file.
        table: its fields, tables in tables; keys are secrets.
        lines: in which line each field stands, by its path of names.
    """

    path: Path
    table: Mapping[str, Any]
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    def place(self, *names: str) -> str:
        """Say where a field stands, for a source or an error."""
        line = self.lines.get(names)
        return f"{self.path}, line {line}" if line else str(self.path)

    def below(self, *names: str) -> Content | None:
        """Give a table that lies in this one, or `None` where there is none."""
        table: Any = self.table
        for name in names:
            table = table.get(name) if isinstance(table, Mapping) else None
        if not isinstance(table, Mapping):
            return None
        depth = len(names)
        lines = {key[depth:]: line for key, line in self.lines.items() if key[:depth] == names}
        return Content(self.path, table, lines)


_read: dict[Path, tuple[tuple[int, int], Content]] = {}


def read_settings(path: Path) -> Content:
    """Read a settings file by the ending of its name; one that did not change is read once.

    Args:
        path: ends in `.toml`, `.yaml`, `.yml`, `.json` or `.env`; anything else is TOML.

    Raises:
        ConfigError: it cannot be read, or not as what its name says; with the line.
    """
    try:
        stat = path.stat()
        state = (stat.st_mtime_ns, stat.st_size)
        known = _read.get(path)
        if known is None or known[0] != state:
            text = path.read_text(encoding="utf-8-sig")
            known = _read[path] = (state, _content(path, text))
        return known[1]
    except OSError as error:
        raise ConfigError(f"cannot read settings file `{path}`: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"settings file `{path}` is not UTF-8: {error.reason}") from None


def _content(path: Path, text: str) -> Content:
    if path.name == ".env" or path.suffix == ".env":
        variables = dict(_variables(path, text))
        values = {name: value for name, (value, _) in variables.items()}
        return Content(path, values, {(name,): line for name, (_, line) in variables.items()})
    kind, parse = {
        ".yaml": ("YAML", _yaml),
        ".yml": ("YAML", _yaml),
        ".json": ("JSON", _json),
    }.get(path.suffix.lower(), ("TOML", _toml))
    try:
        table, lines = parse(text)
    except ValueError as error:
        what = " ".join(str(error).split())
        raise ConfigError(f"settings file `{path}` is not valid {kind}: {what}") from None
    if not isinstance(table, Mapping):
        raise ConfigError(f"settings file `{path}` holds no table of settings")
    return Content(path, _with_secrets(table), lines)


def _toml(text: str) -> tuple[Any, dict[tuple[str, ...], int]]:
    import tomllib

    return tomllib.loads(text), dict(_toml_lines(text))


def _toml_lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _TOML_HEADER.match(line)
        if header:
            table = _toml_names(header[1])
            yield table, number
        elif key := _TOML_KEY.match(line):
            yield (*table, *_toml_names(key[1])), number


def _toml_names(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _yaml(text: str) -> tuple[Any, dict[tuple[str, ...], int]]:
    import yaml

    try:
        table = yaml.safe_load(text)
        node = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return {} if table is None else table, dict(_yaml_lines(node, ()))


def _yaml_lines(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _yaml_lines(value, inner)


def _json(text: str) -> tuple[Any, dict[tuple[str, ...], int]]:
    table = json.loads(text)
    try:
        # JSON without tabs is YAML, whose reader knows the lines.
        return table, _yaml(text.replace("\t", " "))[1]
    except ValueError:
        return table, {}


def _variables(path: Path, text: str) -> Iterator[tuple[str, tuple[str | Secret, int]]]:
    """Read `NAME=value` with quotes, comments and `export`; other lines concern other programs."""
    for found in _ENV_LINE.finditer(text):
        name, line = found["name"], text.count("\n", 0, found.start("name")) + 1
        if found["single"] is not None:
            value = found["single"]
        elif found["double"] is not None:
            value = re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), found["double"])
        else:
            value = re.split(r"\s#|^#", found["plain"], maxsplit=1)[0].strip()
            if value[:1] in ("'", '"') and _OURS.match(name):
                raise ConfigError(f"`{name}` in {path}, line {line} has a quote that does not end")
        secret = value.strip() and _SECRET_NAME.search(name) and _SEVERAL not in value
        yield name, (Secret(value) if secret else value, line)


def _with_secrets(table: Any) -> Any:
    """Make secrets of the keys that stand in a file, by the names of their fields."""
    if isinstance(table, Mapping):
        return {str(name): _kept(str(name), value) for name, value in table.items()}
    return table


def _kept(name: str, value: Any) -> Any:
    if isinstance(value, str) and value.strip() and _SEVERAL not in value:
        hides = _SECRET_NAME.search(name) and name not in _NAMES_ONLY
        return Secret(value) if hides else value
    return _with_secrets(value)

"""Reads settings files: TOML, YAML, JSON and `.env`, and knows in which line a field stands."""

from __future__ import annotations

import hashlib
import json
import re
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from llmport_magic.errors import ConfigError
from llmport_magic.secrets import Secret
from llmport_magic.settings.values import setting_names

Lines: TypeAlias = dict[tuple[str, ...], int]

_MOST_BYTES = 1_000_000
# A few lines of YAML can stand for billions of fields.
_MOST_FIELDS = 10_000
# A file that is written twice within a tick of its clock has the same time both times.
_TICK_NANOSECONDS = 50_000_000
# What its reader lets through, for example for `!!bool perhaps`.
YAML_FAILS = (ValueError, AttributeError, LookupError, TypeError)
_LONGEST_SIGN = len(r"'\t'")
_TOML_SKIPPED = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL
)
_TOML_NAME = re.compile(r'"[^"]*"|\'[^\']*\'|[\w-]+')
_TOML_DOTTED = rf"(?:{_TOML_NAME.pattern})(?:\s*\.\s*(?:{_TOML_NAME.pattern}))*"
_TOML_HEADER = re.compile(rf"^\s*\[\[?\s*({_TOML_DOTTED})\s*\]")
_TOML_KEY = re.compile(rf"^\s*({_TOML_DOTTED})\s*=")
_QUOTED = re.compile(r"""'.'|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_ENV_LINE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_]\w*)[ \t]*=[ \t]*"""
    r"""(?:(?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)")[ \t]*(?:\#.*)?|(?P<plain>.*))$""",
    re.MULTILINE,
)
_OURS = re.compile(r"LLMPORT_|MINDX_LLM__|LLM_PROVIDER$|\w+_API_KEY$")
_ENV_NAME = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)\b", re.MULTILINE)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_SECRET_NAME = re.compile(r"key|token|secret|password|auth|cookie", re.IGNORECASE)
# What is shorter in another program's variable is a word, which is not to be masked everywhere.
_SHORTEST_OF_OTHERS = 16


@dataclass(frozen=True, slots=True)
class Content:
    """What a settings file holds.

    Attributes:
        path: of the file.
        table: its fields, tables in tables; keys are secrets.
        lines: in which line each field stands, by its path of names.
        digest: of the very bytes that were read.
    """

    path: Path
    table: Mapping[str, Any]
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    digest: str = ""

    @property
    def holds_variables(self) -> bool:
        """Whether it is a list of variables, not of settings."""
        return self.path.name == ".env" or self.path.suffix == ".env"

    def place(self, *names: str) -> str:
        """Say where a field stands, or what it stands in, for a source or an error."""
        for depth in range(len(names), 0, -1):
            if names[:depth] in self.lines:
                return f"{self.path}, line {self.lines[names[:depth]]}"
        return str(self.path)

    def place_of_variable(self, name: str) -> str:
        """Say where a variable stands, and which."""
        return f"{self.place(name)}: {name}"

    def below(self, *names: str) -> Content | None:
        """Give a table that lies in this one, or `None` where there is none."""
        table: Any = self.table
        for name in names:
            table = table.get(name) if isinstance(table, Mapping) else None
        if not isinstance(table, Mapping):
            return None
        depth = len(names)
        lines = {key[depth:]: line for key, line in self.lines.items() if key[:depth] == names}
        return Content(self.path, table, lines, self.digest)


def is_there(path: Path) -> bool:
    """Tell whether there is such a file; a link that leads nowhere is one that cannot be read.

    Raises:
        ConfigError: nobody can tell.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(f"cannot read settings file `{path}`: {error.strerror}") from None
    return True


_read: dict[str, tuple[tuple[int, ...], Content]] = {}


def read_settings(path: Path) -> Content:
    """Read a settings file by the ending of its name; one that did not change is read once.

    Of `pyproject.toml` only `[tool.llmport]` is read, and of `loom.toml` only `[llm]`.

    Args:
        path: ends in `.toml`, `.yaml`, `.yml`, `.json` or `.env`; anything else is TOML.

    Raises:
        ConfigError: it cannot be read, or not as what its name says; with the line.
    """
    try:
        found = path.stat()
        state = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
        known = _read.get(str(path))
        if known is not None and known[0] == state:
            return known[1]
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"cannot read settings file `{path}`: it is no plain file")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read settings file `{path}`: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(
            f"settings file `{path}` is too long: {_MOST_BYTES:,} bytes are read at most"
        )
    try:
        content = _content(path, data)
    except ConfigError as error:
        # A traceback with locals would print the keys of a file that has a slip somewhere else.
        del data
        error.__context__ = None
        raise error.with_traceback(None) from None
    if time.time_ns() - found.st_mtime_ns > _TICK_NANOSECONDS:
        _read[str(path)] = (state, content)
    return content


def _content(path: Path, data: bytes) -> Content:
    kind, parse = {
        ".env": (".env", _env),
        ".yaml": ("YAML", _yaml),
        ".yml": ("YAML", _yaml),
        ".json": ("JSON", _json),
    }.get(path.suffix.lower() or path.name, ("TOML", read_toml))
    try:
        table, lines = parse(_text(data))
        if not isinstance(table, Mapping):
            raise ConfigError(f"settings file `{path}` holds no table of settings")
        table = _with_secrets(_ours(path.name, table))
    except ConfigError:
        raise
    except ValueError as error:
        what = " ".join(str(error).split())
        raise ConfigError(f"settings file `{path}` is not valid {kind}: {what}") from None
    except RecursionError:
        raise ConfigError(f"settings file `{path}` is nested too deeply") from None
    return Content(path, table, lines, hashlib.sha256(data).hexdigest())


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"it is not UTF-8 text (at line {line})") from None
    if "\0" in text:
        raise ValueError("it is no text")
    return text.replace("\r\n", "\n")


def _ours(name: str, table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what other programs have in a file that they share with us."""
    if name == "pyproject.toml":
        tools = table.get("tool")
        ours = tools.get("llmport") if isinstance(tools, Mapping) else None
        return {} if ours is None else {"tool": {"llmport": ours}}
    if name == "loom.toml":
        return {"llm": table["llm"]} if "llm" in table else {}
    return table


def read_toml(text: str) -> tuple[Any, Lines]:
    """Give the table that a TOML text holds, and in which line each of its fields stands.

    Raises:
        ValueError: it is no TOML, with the line.
    """
    import tomllib

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        end = f"at line {len(text.splitlines()) or 1}, the end"
        raise ValueError(str(error).replace("at end of document", end)) from None
    return table, dict(_toml_lines(_TOML_SKIPPED.sub(_without_lines, text)))


def _without_lines(found: re.Match[str]) -> str:
    """Let nothing of a text of several lines look like a field."""
    return found[0] if "\n" not in found[0] else "\n" * found[0].count("\n")


def _toml_lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), start=1):
        header = _TOML_HEADER.match(line)
        if header:
            table = _toml_names(header[1])
            yield table, number
        elif key := _TOML_KEY.match(line):
            yield (*table, *_toml_names(key[1])), number


def _toml_names(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _TOML_NAME.findall(dotted))


def _yaml(text: str) -> tuple[Any, Lines]:
    import yaml

    try:
        table = yaml.safe_load(text)
        _check_number(table)
        return {} if table is None else table, _yaml_lines(text)
    except (yaml.YAMLError, *YAML_FAILS) as error:
        raise ValueError(yaml_problem(error)) from None


def yaml_problem(error: Exception) -> str:
    """Say what is wrong with a YAML text, and where, without any of the text: it may hold keys."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    # A single character in the wrong place is no key.
    if isinstance(error, (AttributeError, LookupError)):
        said = "a value is not what its tag says"
    what = _QUOTED.sub(
        lambda found: found[0] if len(found[0]) <= _LONGEST_SIGN else "…",
        " ".join(str(said).split()),
    )
    return f"{what} (line {mark.line + 1})" if mark else what


def _yaml_lines(text: str) -> Lines:
    import yaml

    lines: Lines = {}

    def walk(node: Any, path: tuple[str, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner, line = (*path, str(key.value)), key.start_mark.line + 1
                if lines.get(inner, line) != line and key.value != "<<":
                    raise ValueError(f"`{key.value}` stands in line {lines[inner]} and line {line}")
                lines[inner] = line
                walk(value, inner)

    walk(yaml.compose(text, yaml.SafeLoader), ())
    return lines


def _check_number(table: Any) -> None:
    todo, count = [table], 0
    while todo:
        one = todo.pop()
        count += 1
        if count > _MOST_FIELDS:
            raise ValueError(f"it stands for more than {_MOST_FIELDS:,} fields")
        if isinstance(one, (Mapping, list)):
            todo += one.values() if isinstance(one, Mapping) else one


def _json(text: str) -> tuple[Any, Lines]:
    import yaml

    table = json.loads(text, object_pairs_hook=_unique)
    try:
        # JSON without tabs is YAML, whose reader knows the lines.
        return table, _yaml_lines(text.replace("\t", " "))
    except (yaml.YAMLError, ValueError):
        return table, {}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"`{name}` stands there twice")
        table[name] = value
    return table


def _env(text: str) -> tuple[Any, Lines]:
    """Read `NAME=value` with quotes, comments and `export`; other lines concern other programs.

    A variable of ours that stands there without `=` has a line, and no value.
    """
    table: dict[str, Any] = {}
    lines: Lines = {}
    line, seen = 1, 0
    for found in _ENV_LINE.finditer(text):
        name = found["name"]
        line, seen = line + text.count("\n", seen, found.start("name")), found.start("name")
        if found["single"] is not None:
            value = found["single"]
        elif found["double"] is not None:
            value = re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), found["double"])
        else:
            value = re.split(r"\s#|^#", found["plain"], maxsplit=1)[0].strip()
            if value[:1] in ("'", '"') and _OURS.match(name):
                raise ValueError(f"`{name}` has a quote that does not end (at line {line})")
        if not value.strip():
            continue
        if _holds_key(name):
            if not _OURS.match(name) and len(value) < _SHORTEST_OF_OTHERS:
                continue
            value = Secret(value)
        table[name], lines[(name,)] = value, line
    rest = _ENV_LINE.sub(lambda found: "\n" * found[0].count("\n"), text)
    for found in _ENV_NAME.finditer(rest):
        if _OURS.match(found[1]):
            lines.setdefault((found[1],), rest.count("\n", 0, found.start(1)) + 1)
    return table, lines


def _with_secrets(table: Mapping[str, Any], below: str = "") -> dict[str, Any]:
    """Make secrets of the keys that stand in a file, by the names of their fields."""
    return {str(name): _kept(str(name), value, below) for name, value in table.items()}


def _kept(name: str, value: Any, below: str) -> Any:
    if isinstance(value, Mapping):
        return _with_secrets(value, name)
    told = isinstance(value, str) and value.strip() and "${" not in value
    # What stands in `options` are words of the provider, such as a token that ends a text.
    return Secret(value) if told and below != "options" and _holds_key(name, below) else value


def _holds_key(name: str, below: str = "") -> bool:
    """Tell by the name of a field, or of a variable, whether it holds a key."""
    word = name.lower()
    if below != "headers":
        word = word.rpartition("__")[2].removeprefix("llmport_")
        if word in setting_names():
            return word == "api_key"
    return bool(_SECRET_NAME.search(word))

"""The words that are said to a model: `templates.toml` beside this file, or a user's own.

A template's placeholders are written `<<name>>` and are filled in one pass, so that whatever
stands in the user's prompt, braces and placeholders included, arrives to the letter. A TOML file
named by the setting `templates` replaces any of the templates; it is read anew for each request.
"""

from __future__ import annotations

import difflib
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from llmport_magic.errors import ConfigError
from llmport_magic.settings.reading import Lines, read_toml

_SHIPPED = Path(__file__).with_name("templates.toml")
TEMPLATES: Mapping[str, str] = MappingProxyType(tomllib.loads(_SHIPPED.read_text("utf-8")))

# What a template must not lose: the user's prompt, the code to be changed, what is wrong with it.
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "module": ("prompt",),
    "update": ("prompt", "code"),
    "cell": ("prompt",),
    "context": ("context",),
    "repair": ("findings",),
    "small_module": ("prompt",),
    "small_update": ("prompt", "code"),
    "small_cell": ("prompt",),
    "small_repair": ("findings",),
    "names": ("names",),
    "needed_update": ("prompt", "code"),
    "needed_repair": ("prompt", "code", "findings"),
    "completion": ("prompt",),
    "completion_update": ("code",),
    "fix": ("code", "error"),
    "fix_repair": ("findings",),
    "small_fix": ("code", "error"),
    "explain": ("code", "error"),
    "small_explain": ("code", "error"),
    "explain_module": ("code",),
    "small_explain_module": ("code",),
    "wish": ("prompt",),
}
_PLACEHOLDERS = ("name", "names", "prompt", "context", "code", "findings", "error", "wish")
_PLACEHOLDER = re.compile(rf"<<({'|'.join(_PLACEHOLDERS)})>>")
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class OwnTemplates:
    """What a user's file says in the place of our templates.

    Attributes:
        path: of the file.
        texts: the templates that it replaces.
        lines: in which line each of them begins.
    """

    path: Path
    texts: Mapping[str, str] = field(default_factory=dict)
    lines: Lines = field(default_factory=dict)

    def place(self, name: str) -> str:
        """Say where a template stands."""
        line = self.lines.get((name,))
        return f"`{self.path}`, line {line}" if line else f"`{self.path}`"


def shipped_text() -> str:
    """Give the text of the file with our templates, to begin one's own with."""
    return _SHIPPED.read_text("utf-8")


def read_templates(path: str | None = None) -> Mapping[str, str]:
    """Give every template by name, those of a file in the place of ours.

    Raises:
        ConfigError: as `own_templates`.
    """
    return TEMPLATES if path is None else {**TEMPLATES, **own_templates(path).texts}


def own_templates(path: str) -> OwnTemplates:
    """Read a user's file of templates.

    Raises:
        ConfigError: for a file that cannot be read, and, with its line, for a template that is
            unknown or lacks what it is there to say.
    """
    text = _text_of(Path(path))
    try:
        table, lines = read_toml(text)
    except ValueError as error:
        raise ConfigError(f"the templates `{path}` are not valid TOML: {error}") from None
    own = OwnTemplates(Path(path), table, lines)
    for name, template in table.items():
        _check(own, name, template)
    return own


def _text_of(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"cannot read the templates `{path}`: it is no plain file")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the templates `{path}`: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(
            f"the templates `{path}` are too long: {_MOST_BYTES:,} bytes are read at most"
        )
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"the templates `{path}` are not UTF-8 text (at line {line}): save them as UTF-8"
        ) from None


def _check(own: OwnTemplates, name: str, template: object) -> None:
    if name not in TEMPLATES:
        near = difflib.get_close_matches(name, TEMPLATES, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"use one of {', '.join(TEMPLATES)}"
        raise ConfigError(f"unknown template `{name}` in {own.place(name)}: {hint}")
    if not isinstance(template, str):
        raise ConfigError(f"the template `{name}` in {own.place(name)} must be a text")
    for needed in _REQUIRED.get(name, ()):
        if f"<<{needed}>>" not in template:
            raise ConfigError(
                f"the template `{name}` in {own.place(name)} lacks `<<{needed}>>`: add it"
            )


def fill(template: str, **values: str) -> str:
    """Put values in the place of a template's placeholders, in one pass."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)

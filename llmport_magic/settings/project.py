"""Settings files that were found in the project, and what the user has allowed them.

A cloned folder must not decide where a prompt or a key goes, nor what code runs. So a file that
was found, not named, is inert in that until its very text was allowed with `%llmport trust`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.secrets import Secret
from llmport_magic.settings.layer import Given, Layer, Rank
from llmport_magic.settings.reading import Content, read_settings
from llmport_magic.settings.tables import (
    SECTIONS,
    Unexpanded,
    layer_of_file,
    layer_of_table,
    layer_of_variables,
)
from llmport_magic.settings.values import is_of_a_provider

# The weakest first.
_FILES = (".env", "loom.toml", "pyproject.toml", "llmport.toml")
_ROOT_MARKS = (*_FILES[1:], ".git")
# What could redirect a prompt or a key, or execute something.
NEEDS_TRUST = frozenset(
    {
        "api_key",
        "api_key_env",
        "api_key_file",
        "ask_for_key",
        "base_url",
        "cache",
        "factory_config_path",
        "fallback",
        "headers",
        "keyring",
        "plain_http_hosts",
        "templates",
        "transport",
        "trust",
        "trust_env",
    }
)


def project_folder(start: Path | None = None) -> Path | None:
    """Give the nearest folder upwards that is a project's, or `None`.

    The search ends at the user's home, whose files belong to no project.
    """
    start = (start or Path()).absolute()
    home = Path.home()
    for folder in (start, *start.parents):
        if folder == home:
            return None
        if any((folder / mark).exists() for mark in _ROOT_MARKS):
            return folder
        if folder == start and (folder / ".env").is_file():
            return folder
    return None


def project_files() -> list[Path]:
    """Name the settings files of the project, the weakest first."""
    folder = project_folder()
    return [] if folder is None else [path for name in _FILES if (path := folder / name).is_file()]


def project_layers() -> Iterator[Layer]:
    """Give what the project's files say, the weakest first; what is not allowed is left out."""
    for path in project_files():
        content = read_settings(path)
        layer = _layer(content)
        if layer is not None:
            yield layer if is_trusted(path) else _without_dangers(layer, content)


def _layer(content: Content) -> Layer | None:
    path = content.path
    if path.name == ".env":
        variables = {name: value for name, value in content.table.items() if value}
        layer = layer_of_variables(variables, Rank.PROJECT, content.place)
        return replace(layer, label=str(path))
    if path.name == "llmport.toml":
        return layer_of_file(content, Rank.PROJECT)
    if path.name == "pyproject.toml":
        ours = content.below("tool", "llmport")
        return layer_of_file(content, Rank.PROJECT) if ours else None
    # Another program's file, of which only the providers are ours to read.
    tables = content.below(SECTIONS)
    if tables is None:
        return None
    known = {
        name: {field: value for field, value in table.items() if is_of_a_provider(field)}
        for name, table in tables.table.items()
        if isinstance(table, Mapping)
    }
    return layer_of_table({SECTIONS: known}, Rank.PROJECT, str(path), content.place)


def _without_dangers(layer: Layer, content: Content) -> Layer:
    inert: dict[str, str] = {}

    def safe(values: Mapping[str, Given], prefix: str = "") -> dict[str, Given]:
        kept = {}
        for name, given in values.items():
            if _is_dangerous(name, given, content.path.parent):
                inert[prefix + name] = given.source
            else:
                kept[name] = given
        return kept

    values = safe(layer.values)
    providers = {
        name: safe(section, f"{SECTIONS}.{name}.") for name, section in layer.providers.items()
    }
    variables: dict[str, str | Secret] = {}
    for name, value in layer.variables.items():
        if isinstance(value, Secret) or name.endswith(("_URL", "_HOST", "_KEY", "_BASE")):
            # Only what a provider reads is told: most variables concern other programs.
            if name.startswith(("LLMPORT_LLM__", "MINDX_LLM__")) or name.endswith("_API_KEY"):
                inert[name] = content.place(name)
        else:
            variables[name] = value
    return replace(layer, values=values, providers=providers, variables=variables, inert=inert)


def _is_dangerous(name: str, given: Given, folder: Path) -> bool:
    value = given.value
    if isinstance(value, Unexpanded):
        return True
    if name == "embedded_model":
        return value not in ("large", "small")
    if name == "module_dir":
        return not (folder / value).resolve().is_relative_to(folder.resolve())
    return name in NEEDS_TRUST


def is_trusted(path: Path) -> bool:
    """Tell whether the user has allowed the text that a file has now."""
    known = _trusted().get(str(path.resolve()))
    return known is not None and known == _hash(path)


def trust(path: Path) -> None:
    """Allow a file all that it says, as long as its text stays as it is.

    Raises:
        ConfigError: the administrator forbids it, or the user's folder cannot be written.
    """
    from llmport_magic.settings.administration import administration

    rules = administration()
    if not rules.project_files:
        raise ConfigError(f"`{rules.path}` does not allow files of a project to be trusted")
    _write({**_trusted(), str(path.resolve()): _hash(path)})


def distrust(path: Path) -> bool:
    """Take back what `trust` allowed; tells whether there was something."""
    known = _trusted()
    if known.pop(str(path.resolve()), None) is None:
        return False
    _write(known)
    return True


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"cannot read settings file `{path}`: {error.strerror}") from None


def _record() -> Path:
    from llmport_magic.settings.environment import user_config_file

    return user_config_file().with_name("trusted.json")


def _trusted() -> dict[str, Any]:
    try:
        found = json.loads(_record().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"`{_record()}`, the list of trusted files, cannot be read ({error}): remove it and "
            "trust them anew"
        ) from None
    return found if isinstance(found, dict) else {}


def _write(known: Mapping[str, str]) -> None:
    from llmport_magic.files import Folder

    try:
        _record().parent.mkdir(parents=True, exist_ok=True)
        folder = Folder(_record().parent)
        folder.write(_record().name, json.dumps(dict(known), indent=1).encode(), mode=0o600)
    except OSError as error:
        raise ConfigError(f"cannot write `{_record()}`: {error.strerror}") from None

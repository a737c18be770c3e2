"""Settings files that were found in the project, and what the user has allowed them.

A cloned folder must not decide where a prompt or a key goes, nor what code runs, nor what is
spent. So a file that was found, not named, is inert in that until its very text was allowed with
`%llmport trust`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.settings.administration import administration
from llmport_magic.settings.environment import user_config_file
from llmport_magic.settings.factory_file import FILE_NAME as FACTORY_FILE
from llmport_magic.settings.factory_file import FOUND as FACTORY_FILES
from llmport_magic.settings.factory_file import layer_of_factory_file
from llmport_magic.settings.layer import Given, Layer, Rank
from llmport_magic.settings.reading import Content, read_settings
from llmport_magic.settings.tables import (
    SECTIONS,
    Unexpanded,
    layer_of_file,
    layer_of_providers,
    own_variables,
)
from llmport_magic.settings.values import OF_A_PROVIDER

# The weakest first.
_OWN_FOLDER = (".env", *FACTORY_FILES)
_FILES = (*_OWN_FOLDER, "loom.toml", "pyproject.toml", "llmport.toml")
_ROOT_MARKS = ("loom.toml", "pyproject.toml", "llmport.toml", ".git")
# What a file that nobody trusts may set to any value; of a few others it depends on the value,
# see `_is_dangerous`.
HARMLESS = frozenset(
    (
        "backoff",
        "backoff_max",
        "cloud_run_friendly_models",
        "connect_timeout",
        "cool_down",
        "embedded_threads",
        "first_byte_timeout",
        "http2",
        "idle_timeout",
        "keep_alive",
        "max_body_bytes",
        "max_line_bytes",
        "max_tokens",
        "pool_size",
        "reasoning_timeout",
        "retry_after_max",
        "seed",
        "stdout",
        "temperature",
        "total_timeout",
        "unhealthy_after",
        "update_context",
    )
)
_ONLY_SAFE = {"mode": "frozen"}
_SIZES = ("large", "small")
# In a project's file a path is meant from where the file is, wherever the notebook is below.
_PATHS = ("api_key_file", "embedded_model", "factory_config_path", "module_dir", "templates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a project's file says and only a trusted one may.

    Attributes:
        name: of the setting, `llm.NAME.SETTING` in a provider's table, or of the variable.
        value: as it stands there; a key is a secret.
        place: the file and the line.
        setting: whether it is one, and not a variable that may concern other programs only.
    """

    name: str
    value: Any
    place: str
    setting: bool = True


def project_folder(start: Path | None = None) -> Path | None:
    """Give the nearest folder upwards that is a project's, or `None`.

    The search ends at the user's home, whose files belong to no project.
    """
    try:
        start = (start or Path()).absolute()
        homes = {str(Path.home()), os.path.realpath(Path.home())}
    except (OSError, RuntimeError):
        # The folder was removed, or there is no home.
        return None
    for folder in (start, *start.parents):
        if str(folder) in homes:
            return None
        # With each call of a model, and three times as fast as with a `Path`.
        if any(os.path.exists(f"{folder}/{mark}") for mark in _ROOT_MARKS):  # noqa: PTH110
            return folder
        if folder == start and any((folder / name).is_file() for name in _OWN_FOLDER):
            return folder
    return None


def project_files() -> list[Path]:
    """Name the settings files of the project, the weakest first."""
    folder = project_folder()
    return [] if folder is None else [path for name in _FILES if (path := folder / name).is_file()]


def project_layers(*, named: bool = False) -> Iterator[Layer]:
    """Give what the project's files say, the weakest first; what is not allowed is left out.

    Args:
        named: whether the user's own file names a provider, which then stands.
    """
    paths = project_files()
    allowed = _allowed() if paths else {}
    for path in paths:
        yield _allowed_of(path, allowed, named=named)


def layer_named_by_project(path: Path) -> Layer:
    """Give what a project's `factory_config_path` leads to: no more than what was found."""
    content = read_settings(path)
    layer = _placed(layer_of_factory_file(content, Rank.PROJECT), content)
    if _allowed().get(str(path.resolve())) == content.digest:
        return layer
    return _split(layer, content, named=False)[0]


_layers: dict[str, tuple[Content, Layer]] = {}


def _allowed_of(path: Path, allowed: Mapping[str, str], *, named: bool) -> Layer:
    content = read_settings(path)
    known = _layers.get(str(path))
    if known is None or known[0] is not content:
        known = _layers[str(path)] = (content, _layer(content))
    if allowed.get(str(path.resolve())) == content.digest:
        return known[1]
    return _split(known[1], content, named=named)[0]


def held_back(path: Path) -> tuple[Held, ...]:
    """Name what a file says that only a trusted one may.

    Raises:
        ConfigError: it cannot be read.
    """
    content = read_settings(path)
    return _split(_layer(content), content, named=False)[1]


def _layer(content: Content) -> Layer:
    name = content.path.name
    if name == "loom.toml":
        return layer_of_providers(content, Rank.PROJECT)
    if name == "pyproject.toml" and not content.table:
        return Layer(rank=Rank.PROJECT, label=str(content.path))
    read = layer_of_factory_file if name == FACTORY_FILE else layer_of_file
    return _placed(read(content, Rank.PROJECT), content)


def _placed(layer: Layer, content: Content) -> Layer:
    folder = content.path.parent.absolute()

    def placed(values: Mapping[str, Given]) -> dict[str, Given]:
        return {name: _from_folder(name, one, folder) for name, one in values.items()}

    return replace(
        layer,
        values=placed(layer.values),
        providers={name: placed(section) for name, section in layer.providers.items()},
        label=str(content.path),
    )


def _from_folder(name: str, given: Given, folder: Path) -> Given:
    value = given.value
    if name not in _PATHS or isinstance(value, Unexpanded) or value.startswith("~"):
        return given
    if name == "embedded_model" and value in _SIZES:
        return given
    return Given(str(folder / given.value), given.source)


def _split(layer: Layer, content: Content, *, named: bool) -> tuple[Layer, tuple[Held, ...]]:
    """Give what an untrusted file may say, and what it may not.

    Args:
        layer: of the file.
        content: of the file.
        named: whether the user's own file names a provider.
    """
    held: list[Held] = []
    folder = content.path.parent

    def safe(values: Mapping[str, Given], provider: str = "") -> dict[str, Given]:
        kept = {}
        for name, given in values.items():
            taken = named and name == "provider"
            if taken or _is_dangerous(name, given.value, folder, provider):
                shown = f"{SECTIONS}.{provider}.{name}" if provider else name
                value = given.value
                value = value.value if isinstance(value, Unexpanded) else value
                held.append(Held(name=shown, value=value, place=given.source))
            else:
                kept[name] = given
        return kept

    values = safe(layer.values)
    providers = {name: safe(section, name) for name, section in layer.providers.items()}
    variables = {}
    for name, value in layer.variables.items():
        if _may_stand(name, value, folder):
            variables[name] = value
        elif name not in own_variables():
            held.append(Held(name=name, value=value, place=layer.place(name), setting=False))
    kept = replace(
        layer,
        values=values,
        providers=providers,
        variables=variables,
        inert={one.name: one.place for one in held if one.setting or _is_ours(one.name)},
    )
    return kept, tuple(held)


def _is_ours(variable: str) -> bool:
    """Tell by its name alone whether a variable is a provider's."""
    return variable.startswith(("LLMPORT_LLM__", "MINDX_LLM__")) or variable.endswith("_API_KEY")


def _may_stand(variable: str, value: Any, folder: Path) -> bool:
    """Tell whether a variable of an untrusted `.env` file may count for some provider.

    Only a provider's row tells what a variable means, so that only a few names are let through.
    """
    if variable.endswith("_MODEL") and "__" not in variable:
        return not _is_weights(value, folder)
    head, _, last = variable.rpartition("__")
    if not head.startswith(("LLMPORT_LLM__", "MINDX_LLM__")) or last.lower() not in OF_A_PROVIDER:
        return False
    return not _is_dangerous(last.lower(), value, folder, head.partition("__")[2].lower())


def _is_dangerous(name: str, value: Any, folder: Path, provider: str = "") -> bool:
    if isinstance(value, Unexpanded):
        return True
    if name == "embedded_model" or (name, provider) == ("model", "embedded"):
        return value not in _SIZES
    if name == "model":
        return _is_weights(value, folder)
    if name == "module_dir":
        return not Path(value).expanduser().resolve().is_relative_to(folder.resolve())
    if name in _ONLY_SAFE:
        return bool(value != _ONLY_SAFE[name])
    # Nobody who did not ask for the mock may get its answers for those of a model.
    return str(value).strip().lower() == "mock" if name == "provider" else name not in HARMLESS


def _is_weights(model: Any, folder: Path) -> bool:
    """Tell whether a model's name is that of a file, which the embedded model would load."""
    path = Path(str(model)).expanduser()
    return path.suffix.lower() == ".gguf" or path.exists() or (folder / path).exists()


def is_trusted(path: Path) -> bool:
    """Tell whether the user has allowed the text that a file has now."""
    return _allowed().get(str(path.resolve())) == read_settings(path).digest


def _allowed() -> Mapping[str, str]:
    return _trusted() if administration().project_files else {}


def trust(path: Path) -> None:
    """Allow a file all that it says, as long as its text stays as it is.

    Raises:
        ConfigError: the administrator forbids it, or the user's folder cannot be written.
    """
    rules = administration()
    if not rules.project_files:
        raise ConfigError(f"`{rules.path}` does not allow files of a project to be trusted")
    _write({**_trusted(), str(path.resolve()): read_settings(path).digest})


def distrust(path: Path) -> bool:
    """Take back what `trust` allowed; tells whether there was something."""
    known = dict(_trusted())
    if known.pop(str(path.resolve()), None) is None:
        return False
    _write(known)
    return True


def _record() -> Path:
    return user_config_file().with_name("trusted.json")


def _trusted() -> Mapping[str, str]:
    """Give the digest of each file that was allowed, by its path."""
    try:
        found = json.loads(_record().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
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

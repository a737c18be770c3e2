"""Providers in YAML files: read, with the line of what is wrong, and written without secrets."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.files import Folder, real_root
from llmport_magic.llm.capabilities import LLMProfile, Provider
from llmport_magic.llm.catalogue import ALIASES, RATES, Place, provider_from
from llmport_magic.llm.models import Models
from llmport_magic.secrets import Secret
from llmport_magic.settings import YAML_FAILS, user_config_file, yaml_problem

_HEAD = "# A provider of llmport_magic, as `registry.load_provider_file` reads it.\n"


class ProviderFiles(Models):
    """The part of a registry that reads and writes files."""

    def load_provider_file(self, path: str | Path) -> Provider:
        """Read a provider from a YAML file, and put it over the one of that name.

        The fields stand under `provider`, or at the top. What the file does not say stays as it
        was, also within a model; a provider that is not known is added.

        Raises:
            ConfigError: the file cannot be read, or a field cannot be used; the message has file,
                line and field.
        """
        # Those of other packages count as known, too.
        self.providers()
        return self._change(lambda known: _row(Path(path), known))

    def load_provider_files(self, folder: str | Path, *, strict: bool = True) -> list[Provider]:
        """Read every `*.yaml` of a folder, in the order of their names.

        Args:
            folder: where they lie; one that is not there has none.
            strict: whether a file that cannot be used is an error, and nothing is loaded then;
                otherwise the others are loaded, and a warning names it.

        Raises:
            ConfigError: see `load_provider_file`; or the folder is a file.
        """
        if Path(folder).is_file():
            raise ConfigError(f"{folder} is a file, no folder: read it with `load_provider_file`")
        paths = sorted(Path(folder).glob("*.yaml"))
        if strict:
            # All of them are read before the first one counts.
            rows_over({row.name: row for row in self.providers()}, paths)
        loaded = []
        for path in paths:
            try:
                loaded.append(self.load_provider_file(path))
            except ConfigError as error:
                if strict:
                    raise
                warnings.warn(f"{error}: the file is left out", stacklevel=2)
        return loaded

    def to_provider_files(self, folder: str | Path) -> list[Path]:
        """Write a file for each provider; reading them again gives the same providers.

        A header that holds a secret is left out, and named in the file. So is a connector that
        has no import path, with its provider: a warning says so.

        Args:
            folder: made where it is not there; files of the same names are replaced.

        Returns:
            The paths of the files.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        target, written = Folder(real_root(folder)), []
        for row in self.providers():
            try:
                text = as_yaml(row)
            except ConfigError as error:
                warnings.warn(str(error), stacklevel=2)
                continue
            target.write(f"{row.name}.yaml", text.encode())
            written.append(Path(folder) / f"{row.name}.yaml")
        return written


def rows_over(known: Mapping[str, Provider], paths: Iterable[Path]) -> dict[str, Provider]:
    """Read files, and give all rows with what the files say put over them.

    Raises:
        ConfigError: see `ProviderFiles.load_provider_file`.
    """
    rows = dict(known)
    for path in paths:
        row = _row(path, rows)
        rows[row.name] = row
    return rows


def users_files() -> list[Path]:
    """Name the files that the user keeps for every notebook, beside the settings file."""
    return sorted((user_config_file().parent / "providers").glob("*.yaml"))


def _row(path: Path, known: Mapping[str, Provider]) -> Provider:
    content, lines = _read(path)
    row = provider_from(content, source=path.name, lines=lines, known=known)
    if row.connector is None and not row.base_url:
        raise Place(path.name).error(f"`{row.name}` needs a `base_url` or a `connector`")
    return row


def _read(path: Path) -> tuple[Any, Mapping[tuple[str, ...], int]]:
    """Read a YAML file: its content, and the line of each key by its path."""
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        content = None if node is None else loader.construct_document(node)
    except (OSError, RecursionError, yaml.YAMLError, *YAML_FAILS) as error:
        said = getattr(error, "strerror", None) or yaml_problem(error)
        raise ConfigError(f"{path.name} cannot be read: {said}: check the file") from None
    lines: dict[tuple[str, ...], int] = {}
    for keys, at in () if node is None else _lines(node, (), set()):
        below = keys[1:] if keys[0] == "provider" else keys
        if below in lines:
            raise Place(path.name, below, {below: at}).error("the key stands there twice")
        lines[below] = at
    return content, lines


def _lines(node: Any, keys: tuple[str, ...], seen: set[int]) -> Iterator[tuple[Any, int]]:
    if id(node) in seen or not isinstance(node.value, list) or node.id != "mapping":
        return
    seen.add(id(node))
    for key, value in node.value:
        if isinstance(key.value, str) and key.value != "<<":
            below = (*keys, ALIASES.get(key.value, key.value))
            yield below, key.start_mark.line + 1
            yield from _lines(value, below, seen)


def as_yaml(row: Provider) -> str:
    """Write a provider as a file has it, without secrets.

    Raises:
        ConfigError: its connector is an object, which no file can hold.
    """
    import yaml

    secret = [name for name, value in row.headers.items() if isinstance(value, Secret)]
    told = _told(row, ("models", "headers", "connector", "rate_limit_profiles", *RATES))
    rates = {name: getattr(row, name) for name in RATES if getattr(row, name) is not None}
    headers = {name: value for name, value in row.headers.items() if name not in secret}
    given = {
        "rate_limits": rates,
        "rate_limit_profiles": {n: _told(each) for n, each in row.rate_limit_profiles.items()},
        "headers": headers,
        "connector": _path_of(row),
        "models": {name: _model(profile) for name, profile in row.models.items()},
    }
    # It depends on the variables where a file does not say it.
    told |= {"key_required": row.key_required}
    told |= {name: value for name, value in given.items() if value}
    left_out = "".join(f"# Left out, it holds a secret: the header {name}\n" for name in secret)
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump({"provider": told}, None, dumper, sort_keys=False, allow_unicode=True)
    return f"{_HEAD}{left_out}{text}"


def _told(value: Any, without: Iterable[str] = ()) -> dict[str, Any]:
    """Give the fields that are not as they are when nobody says them, as YAML has them."""
    return {
        each.name: _plain(found)
        for each in fields(value)
        if each.name not in without
        and ((found := getattr(value, each.name)) != each.default or each.default is MISSING)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _model(profile: LLMProfile) -> dict[str, Any]:
    able = _told(profile.capabilities)
    told = _told(profile, ("name", "provider", "capabilities", "available"))
    return told | ({"capabilities": able} if able else {})


def _path_of(row: Provider) -> str | None:
    """Give the import path of a connector class."""
    if row.connector is None or isinstance(row.connector, str):
        return row.connector
    if hasattr(row.connector, "load"):
        return str(row.connector.value)
    name = getattr(row.connector, "__qualname__", "<")
    if not isinstance(row.connector, type) or "<" in name or row.connector.__module__ == "__main__":
        raise ConfigError(
            f"`{row.name}` is left out: its connector has no import path that a file could hold"
        )
    return f"{row.connector.__module__}:{name}"


def provider_of_file(path: Path) -> Provider:
    """Read one provider out of a YAML file.

    Raises:
        ConfigError: the file cannot be read, or a field cannot be used, with its place.
    """
    return _row(path, {})

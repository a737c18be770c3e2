"""The one resolver: every source in its order, and what was set in this session."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.locks import lock
from llmport_magic.settings.administration import administration, system_folder
from llmport_magic.settings.environment import named_config_file, user_config_file, variables
from llmport_magic.settings.factory_file import FILE_NAME as FACTORY_FILE
from llmport_magic.settings.factory_file import layer_of_factory_file
from llmport_magic.settings.layer import Given, Layer, Rank
from llmport_magic.settings.merging import (
    ProviderNames,
    merged,
)
from llmport_magic.settings.project import layer_named_by_project, project_layers
from llmport_magic.settings.reading import is_there, read_settings
from llmport_magic.settings.tables import (
    SECTIONS,
    expanded,
    layer_of_file,
    layer_of_table,
    layer_of_variables,
)
from llmport_magic.settings.values import (
    PROVIDER_BOUND,
    Settings,
    named,
    setting_names,
)

_lock = lock()
_configured = Layer(rank=Rank.CONFIGURED)
_times_changed = 0


def configure(**settings: Any) -> None:
    """Set values for this session; they take effect with the next call.

    Setting `provider` to another one drops the model, key and URL set for the previous one.
    A value of `None` counts as not given, so that arguments may be handed on as they are;
    `reset_configuration()` takes back what was set. `llm={"groq": {...}}` sets values of single
    providers.

    Raises:
        ConfigError: for an unknown setting or a bad value; then nothing is changed.
    """
    global _configured
    new = layer_of_table(settings, Rank.CONFIGURED, "configure()")
    with _lock:
        old, kept = _configured, dict(_configured.values)
        said, before = new.values.get("provider"), kept.get("provider")
        if said and said.value.lower() != (before.value.lower() if before else "auto"):
            kept = {name: one for name, one in kept.items() if name not in PROVIDER_BOUND}
        providers = {**old.providers}
        for name, section in new.providers.items():
            providers[name] = {**providers.get(name, {}), **section}
        _configured = Layer(
            rank=Rank.CONFIGURED, values={**kept, **new.values}, providers=providers
        )
    _changed()


def reset_configuration(*names: str) -> None:
    """Forget what `configure()` set; the next source speaks.

    Args:
        *names: settings, or `llm` for those of single providers; none is everything. `provider`
            takes the model, key and URL with it that were set for that one.

    Raises:
        ConfigError: for an unknown setting; then nothing is changed.
    """
    global _configured
    known = (*setting_names(), SECTIONS)
    gone = {named(name, 0, known, "reset_configuration()")[0] for name in names}
    if "provider" in gone:
        gone |= {*PROVIDER_BOUND}
    with _lock:
        old = _configured if names else Layer(rank=Rank.CONFIGURED)
        values = {name: one for name, one in old.values.items() if name not in gone}
        providers = {} if SECTIONS in gone else old.providers
        _configured = Layer(rank=Rank.CONFIGURED, values=values, providers=providers)
    _changed()


def times_changed() -> int:
    """Count the changes in this session: what was resolved before one may be old."""
    return _times_changed


def _changed() -> None:
    global _times_changed
    _times_changed += 1


def get_config() -> dict[str, Any]:
    """Give a copy of every setting as it resolves now; a key shows as `********`."""
    return resolve().values()


def resolve(
    *, config: Mapping[str, Any] | str | os.PathLike[str] | None = None, **arguments: Any
) -> Settings:
    """Resolve every setting; arguments that are `None` count as not given.

    Args:
        config: settings as a mapping, which are as strong as arguments; or the path of a file
            with them, which stands above the one that `LLMPORT_CONFIG` names.
        **arguments: settings by name, the strongest.

    Raises:
        ConfigError: for an unknown setting, a bad value or a file that cannot be read.
    """
    layers = [*_layers(config), layer_of_table(arguments, Rank.ARGUMENT, "argument")]
    return _clamped(_with_factory_file(layers))


def resolve_for(settings: Settings, provider: str, names: ProviderNames) -> Settings:
    """Give the settings of one provider out of the layers of others.

    Args:
        settings: what `resolve` gave.
        provider: its name in the registry.
        names: what its row adds: names of variables, and the catalogue's values.
    """
    return merged(_layers_of(settings), provider, names, settings.provider)


def for_another(settings: Settings, provider: str) -> Settings:
    """Give settings with another provider named: what was set for whoever answers stays behind.

    Args:
        settings: what `resolve` gave.
        provider: its name in the registry.
    """
    layers = _layers_of(settings)
    named = Layer(rank=Rank.ARGUMENT, values={"provider": Given(provider, "fallback")})
    below = [layer for layer in layers if layer.rank < Rank.POLICY]
    return merged([*below, named, *layers[len(below) :]])


def for_task(settings: Settings, task: str) -> Settings:
    """Give settings with the model that `models` names for one kind of work.

    A model or a provider that was named more strongly stays: `--model` wins over a file's `models`.

    Args:
        settings: what `resolve` gave.
        task: `gmn` or `code`.
    """
    value = settings.models.get(task)
    if value is None:
        return settings
    rank = settings.ranks.get("models", Rank.ARGUMENT)
    named = {"model": value} if isinstance(value, str) else dict(value)
    if any(settings.ranks.get(name, Rank.CATALOGUE) > rank for name in ("provider", "model")):
        return settings
    source = f"`models.{task}` in {settings.source('models')}"
    own = Layer(rank=rank, values={name: Given(one, source) for name, one in named.items()})
    layers = _layers_of(settings)
    below = [layer for layer in layers if layer.rank <= rank]
    return merged([*below, own, *layers[len(below) :]])


def _layers_of(settings: Settings) -> tuple[Layer, ...]:
    """Give the layers of settings; those that were made by hand are taken for arguments."""
    if settings.layers:
        return settings.layers
    default = Settings()
    given = {
        name: Given(value, settings.source(name))
        for name, value in settings.values().items()
        if value != getattr(default, name) or name in settings.sources
    }
    return _clamped([Layer(rank=Rank.ARGUMENT, values=given)]).layers


def _clamped(layers: list[Layer]) -> Settings:
    settings = merged(layers)
    rules = administration().layer(settings.trust)
    return merged([*layers, rules]) if rules.values or rules.providers else settings


def _with_factory_file(layers: list[Layer]) -> list[Layer]:
    """Put the file that `factory_config_path` names in the place of those found in the project.

    It is as strong as every named file, unless a file of the project names it.
    """
    name = "factory_config_path"
    naming = next((layer for layer in reversed(layers) if name in layer.values), None)
    if naming is None:
        return layers
    given = expanded(naming.values[name], name)
    path = Path(given.value).expanduser()
    if not is_there(path):
        raise ConfigError(f"there is no `{path}`, which `{name}` ({given.source}) names")
    if naming.rank == Rank.PROJECT:
        named = layer_named_by_project(path)
    else:
        named = layer_of_factory_file(read_settings(path), Rank.NAMED, given.source)
    rest = [
        layer
        for layer in layers
        if layer.rank != Rank.PROJECT or Path(layer.label).name != FACTORY_FILE
    ]
    return sorted([named, *rest], key=lambda layer: layer.rank)


def _named(path: Path, note: str = "") -> Layer:
    read = layer_of_factory_file if path.name == FACTORY_FILE else layer_of_file
    return read(read_settings(path), Rank.NAMED, note)


def _layers(config: Mapping[str, Any] | str | os.PathLike[str] | None) -> Iterator[Layer]:
    """Give the layers, the weakest first."""
    own = [
        layer_of_file(read_settings(path), rank)
        for path, rank in (
            (system_folder() / "config.toml", Rank.SYSTEM),
            (user_config_file(), Rank.USER),
        )
        if is_there(path)
    ]
    yield from own
    yield from project_layers(named=any("provider" in layer.values for layer in own))
    yield layer_of_variables(variables(), Rank.ENVIRONMENT)
    named = named_config_file()
    if named:
        yield _named(Path(named), "LLMPORT_CONFIG")
    if isinstance(config, (str, os.PathLike)):
        yield _named(Path(config))
    with _lock:
        yield _configured
    if isinstance(config, Mapping):
        yield layer_of_table(config, Rank.ARGUMENT, "argument")

"""A router's settings as a mapping: one table for each provider beside the settings for all."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.settings import setting_names
from llmport_magic.settings.values import is_of_a_provider

# What Ollama takes as `options`, https://github.com/ollama/ollama/blob/main/docs/api.md (read
# 2026-11-21), as far as it has no name among the settings.
_OLLAMA = frozenset(
    (
        "frequency_penalty",
        "main_gpu",
        "min_p",
        "mirostat",
        "mirostat_eta",
        "mirostat_tau",
        "num_batch",
        "num_ctx",
        "num_gpu",
        "num_keep",
        "num_predict",
        "num_thread",
        "numa",
        "penalize_newline",
        "presence_penalty",
        "repeat_last_n",
        "repeat_penalty",
        "stop",
        "top_k",
        "top_p",
        "typical_p",
        "use_mmap",
    )
)


def translated(config: Mapping[str, Any], providers: Collection[str]) -> dict[str, Any]:
    """Give the mapping as settings have it: the providers' tables below `llm`.

    What nobody knows is left out, with a warning that names the nearest.

    Args:
        config: settings by name; a table by the name of its provider, also below `llm`.
        providers: that are known.

    Raises:
        ConfigError: a provider's table is none.
    """
    below = config.get("llm") or {}
    if not isinstance(below, Mapping):
        raise ConfigError("`llm` in the router's config holds a table for each provider")
    tables: dict[str, Mapping[str, Any]] = {str(n): table for n, table in below.items()}
    found: dict[str, Any] = {}
    for word, value in config.items():
        name = str(word)
        if name == "llm":
            continue
        if name in setting_names() or is_of_a_provider(name):
            found[name] = value
        elif name.lower() in providers:
            tables[name.lower()] = value
        else:
            _warn(name, "", (*providers, *setting_names()))
    found["llm"] = {name: _table(name, table) for name, table in tables.items()}
    return found


def _table(provider: str, table: Any) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise ConfigError(f"`{provider}` in the router's config must be a table of its settings")
    found: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for word, value in table.items():
        name = str(word)
        if is_of_a_provider(name):
            found[name] = value
        elif provider == "ollama" and name in _OLLAMA:
            options[name] = value
        else:
            more = _OLLAMA if provider == "ollama" else ()
            own = (each for each in (*setting_names(), "max_retries") if is_of_a_provider(each))
            _warn(name, f" of `{provider}`", (*own, *more))
    if options:
        found["options"] = {**options, **(found.get("options") or {})}
    return found


def _warn(name: str, whose: str, known: Collection[str]) -> None:
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f": did you mean `{near[0]}`?" if near else ""
    warnings.warn_explicit(
        f"unknown key `{name}`{whose} in the router's config is not used{hint}",
        UserWarning,
        "llmport_magic",
        1,
    )


def sections_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the providers that translated settings have tables for."""
    return tuple(config.get("llm", {}))

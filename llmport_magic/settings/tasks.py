"""The kinds of work for which `models` may name a model of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmport_magic.errors import ConfigError

TASKS = ("gmn", "code")
_FIELDS = {"provider", "model"}


def check_models(table: Mapping[str, Any], source: str) -> None:
    """Refuse a table that names no models.

    Args:
        table: by the kind of work the name of a model, or a table with `provider` and `model`.
        source: what to name in an error.

    Raises:
        ConfigError: an unknown kind of work, or what is neither.
    """
    for task, value in table.items():
        if task not in TASKS:
            raise ConfigError(f"`models` in {source} is for {' and '.join(TASKS)}, not `{task}`")
        of_table = isinstance(value, Mapping) and set(value) <= _FIELDS
        parts = list(value.values()) if of_table else [value]
        if not parts or not all(isinstance(part, str) and part for part in parts):
            raise ConfigError(
                f"`models.{task}` in {source} is the name of a model, or a table with `provider` "
                "and `model`"
            )

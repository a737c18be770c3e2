"""One module of pure functions for each wire format; a provider's row names its dialect.

A dialect is data in, data out: build the request, read the reply, read stream events and errors.
It imports no HTTP library and keeps no state beyond one stream's reader.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, cast

from llmport_magic.errors import ConfigError

if TYPE_CHECKING:
    from llmport_magic.llm.wire import Dialect


@cache
def dialect_names() -> tuple[str, ...]:
    """Name the dialects that there are."""
    return tuple(module.name for module in pkgutil.iter_modules(__path__))


@cache
def dialect_named(name: str) -> Dialect:
    """Load a dialect by its name.

    Raises:
        ConfigError: when there is none of that name.
    """
    if name not in dialect_names():
        near = difflib.get_close_matches(name, dialect_names(), n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(dialect_names())}"
        raise ConfigError(f"unknown dialect `{name}`: {hint}")
    return cast("Dialect", importlib.import_module(f"{__name__}.{name}"))

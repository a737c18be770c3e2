"""Providers that other installed packages bring along.

A package offers a connector by an entry point of the group `llmport_magic.connectors`: its name
is the provider's, its value the class. The class is imported when somebody asks that provider.
"""

from __future__ import annotations

import warnings
from collections.abc import Container
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import ConfigError
from llmport_magic.llm.capabilities import Provider
from llmport_magic.llm.connector import BaseLLMConnector

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "llmport_magic.connectors"


def installed_providers(taken: Container[str]) -> list[Provider]:
    """Find the connectors of installed packages; none of them is imported.

    What cannot be used is left out with one warning that names its package.

    Args:
        taken: names of providers that a package cannot have.
    """
    from importlib.metadata import entry_points

    found: dict[str, Provider] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, _package(point))):
        try:
            if point.name in taken or point.name in found:
                raise ValueError("another provider has that name")
            found[point.name] = Provider(
                name=point.name,
                title=point.name,
                api_key_vars=(f"{point.name.upper().replace('-', '_')}_API_KEY",),
                key_required=False,
                connector=point,
            )
        except ValueError as error:
            warnings.warn(
                f"the connector `{point.name}` of the package `{_package(point)}` is left out: "
                f"{error}",
                stacklevel=2,
            )
    return list(found.values())


def loaded(point: EntryPoint) -> Any:
    """Import what an entry point names.

    Raises:
        ConfigError: it cannot be imported; the message names the package.
    """
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"the connector `{point.name}` of the package `{_package(point)}` cannot be loaded "
            f"({line}): update or uninstall the package"
        ) from error


def check_connector(name: str, given: Any) -> None:
    """Refuse what is no connector: neither a class or an object of the kind, nor what makes one.

    Args:
        name: the provider's.
        given: as its row has it; what a path or an entry point names is seen when it is asked.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(given, type):
        fits = issubclass(given, BaseLLMConnector)
    else:
        later = isinstance(given, str) or hasattr(given, "load")
        fits = later or callable(given) or isinstance(given, BaseLLMConnector)
    if not fits:
        raise ConfigError(no_connector(name))


def no_connector(name: str) -> str:
    """Say that a provider's connector is none."""
    return (
        f"the connector of `{name}` must inherit BaseLLMConnector: give such a class, or a "
        "function that makes one"
    )


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module

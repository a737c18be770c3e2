"""What servers said that they serve, for lists that ask nobody."""

from __future__ import annotations

from collections.abc import Iterable

# More names than a list shows; a server of somebody's may have any number.
_MOST = 500
_LONGEST = 200
_served: dict[tuple[str, str], tuple[str, ...]] = {}


def remember(provider: str, base_url: str | None, models: Iterable[str]) -> None:
    """Keep what a server answered; names that cannot be shown in a line are left out.

    Args:
        provider: its name in the registry.
        base_url: where it was asked.
        models: the names, in its own order.
    """
    shown = [name for name in models if name.isprintable() and len(name) <= _LONGEST]
    _served[provider, base_url or ""] = tuple(shown[:_MOST])


def served(provider: str, base_url: str | None) -> tuple[str, ...]:
    """Name the models that a server listed when it was last asked; none where it was not.

    Args:
        provider: its name in the registry.
        base_url: where it would be asked.
    """
    return _served.get((provider, base_url or ""), ())

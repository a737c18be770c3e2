"""Asks the user for a key that is missing, where the user is: on the main thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from llmport_magic import bridge
from llmport_magic.errors import MissingKeyError

if TYPE_CHECKING:
    from llmport_magic.llm.registry import LLMRegistry
    from llmport_magic.settings import Settings

T = TypeVar("T")


def ask_for_key(
    missing: MissingKeyError, settings: Settings, registry: LLMRegistry | None = None
) -> bool:
    """Ask for the key that an error names; see `Credentials.ask`.

    Args:
        missing: what was raised for want of it.
        settings: what `resolve` gave: `ask_for_key` must be on.
        registry: where the provider is; `None` is the one that the package uses.

    Returns:
        Whether there is one now.
    """
    from llmport_magic.llm.provider_settings import by_own_name, settings_of
    from llmport_magic.llm.registry import default_registry

    registry = default_registry() if registry is None else registry
    row = registry.provider(missing.provider)
    return registry.credentials.ask(row, settings_of(row, by_own_name(settings, registry)))


async def made_in_thread(make: Callable[..., T], settings: Settings, *more: Any) -> T:
    """Make a connector in a thread; where a key is missing, ask for it here and make it then."""
    try:
        return await bridge.in_thread(make, settings, *more)
    except MissingKeyError as missing:
        if not ask_for_key(missing, settings):
            raise
    return await bridge.in_thread(make, settings, *more)

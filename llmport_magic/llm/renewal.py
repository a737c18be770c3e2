"""A key that a provider refuses: where another one is found, the request is sent once more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from llmport_magic.errors import ConfigError, LLMError

if TYPE_CHECKING:
    from llmport_magic.llm.exchange import Ask

T = TypeVar("T")

_REFUSED = (401, 403)


async def renewing(ask: Ask, send: Callable[[], Awaitable[T]]) -> T:
    """Send, and once more with another key where the first is refused and there is another.

    Args:
        ask: whose `renew` looks the key up anew; used once.
        send: makes one attempt with `ask.target`.

    Raises:
        LLMError: of the last attempt.
    """
    try:
        return await send()
    except LLMError as error:
        refused = error.key_refused or error.status in _REFUSED
        if not refused or not await _renewed(ask):
            raise
    return await send()


async def _renewed(ask: Ask) -> bool:
    look_up, ask.renew = ask.renew, None
    if look_up is None:
        return False
    try:
        key = await look_up()
    except ConfigError:
        # For example a key file that is gone: what the provider said is the better message.
        return False
    if key is None or key == ask.target.key:
        return False
    ask.target = replace(ask.target, key=key)
    ask.notes["key_renewed"] = True
    return True

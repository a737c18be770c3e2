"""Looks whether a provider could answer now, without a token being spent."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from llmport_magic import bridge
from llmport_magic.errors import ConfigError
from llmport_magic.llm.retry import elsewhere
from llmport_magic.llm.routing.failover import reason, status_of
from llmport_magic.llm.routing.health import Health
from llmport_magic.llm.routing.route import health_of
from llmport_magic.secrets import scrub

if TYPE_CHECKING:
    from llmport_magic.llm.connector import BaseLLMConnector
    from llmport_magic.llm.routing.chain import Chain
    from llmport_magic.llm.routing.health import HealthBook, Patience

# A server without such a list is there all the same.
_NO_LIST = (404, 405)


async def look(
    chain: Chain,
    name: str,
    book: HealthBook,
    patience: Patience,
    timeout: float,
) -> dict[str, Any]:
    """Say how a provider is; never raises but when it is cancelled.

    Args:
        chain: gives its connector.
        name: of the provider.
        book: has its record.
        patience: when it counts as unhealthy.
        timeout: seconds.

    Returns:
        `status` (`healthy`, `unhealthy` or `unconfigured`), `error`, `probe_ms`, and what
        `Health.facts` gives.
    """
    began = time.monotonic()
    try:
        connector = await bridge.in_thread(chain.connector, name)
        if not await bridge.in_thread(chain.is_installed, name):
            raise ConfigError(f"`{name}` is not installed: `%llmport model install`")
        health = health_of(book, name, connector)
        why = await _failure(connector, timeout)
    except Exception as error:  # noqa: BLE001 - whatever it is, the others are looked at
        scrub(error)
        found = {"status": "unconfigured", "error": reason(error), "probe_ms": None}
        return found | Health().facts()
    took = round((time.monotonic() - began) * 1000, 3)
    wait = health.wait(patience)
    if why is None and not health.is_healthy(patience):
        why = f"passed over for another {wait:.0f} s after {health.consecutive_failures} failures"
    return {
        "status": "healthy" if why is None else "unhealthy",
        "error": why,
        "probe_ms": took if hasattr(connector, "models") else None,
    } | health.facts()


async def _failure(connector: BaseLLMConnector, timeout: float) -> str | None:
    """Ask for the list of models; `None` where that succeeds, or nobody can be asked for it."""
    models = getattr(connector, "models", None)
    if models is None:
        return None
    before = elsewhere.get()
    # Nobody waits here for a server that is not there.
    elsewhere.set(True)
    try:
        async with asyncio.timeout(timeout):
            await models()
    except TimeoutError:
        return f"no answer within {timeout:g} s"
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - of anybody's connector
        scrub(error)
        return None if status_of(error) in _NO_LIST else reason(error)
    finally:
        elsewhere.set(before)
    return None

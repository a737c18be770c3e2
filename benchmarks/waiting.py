"""How exactly the connector waits and hangs up: Retry-After, idle deadline, three ways to leave.

    python benchmarks/waiting.py [ROUNDS]

The server is on the loopback. A delay is what passes beyond the time that was asked for; a hang-up
is timed until the server sees the socket closed, which it looks for every millisecond.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from machine import machine, summary

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from loopback import HANG, Loopback, event, events, failure, reply

from llmport_magic.errors import LLMTimeoutError
from llmport_magic.llm import LLMConfig, LLMProvider
from llmport_magic.llm.wire import Limits

RETRY_AFTER, IDLE = 0.5, 0.5


def connector(server: Loopback) -> LLMProvider:
    """Make a connector with a short idle deadline."""
    return LLMProvider(LLMConfig(base_url=server.url, model="m", limits=Limits(idle=IDLE)))


async def retry_after(server: Loopback) -> float:
    """Give how late the second request comes, as a share of what the provider asked to wait."""
    server.script(failure(429, headers={"retry-after": str(RETRY_AFTER)}), reply())
    began = time.monotonic()
    await connector(server).complete("q")
    return (time.monotonic() - began) / RETRY_AFTER


async def idle(server: Loopback) -> float:
    """Give when a stream that says no more is given up, as a share of the deadline."""
    server.script(events(event("a"), HANG))
    began = 0.0
    try:
        async for _ in connector(server).stream("q"):
            began = time.monotonic()
    except LLMTimeoutError:
        pass
    return (time.monotonic() - began) / IDLE


async def leave(server: Loopback, how: str) -> float:
    """Begin a stream that never ends, leave it, and give the milliseconds until it is closed."""
    server.script(events(event("a"), HANG))
    pieces: AsyncIterator[str] | None = aiter(connector(server).stream("q"))
    await anext(pieces)
    request = server.requests[-1]
    waiting = asyncio.ensure_future(anext(pieces)) if how == "cancelled" else None
    await asyncio.sleep(0.01)
    began = time.monotonic()
    if waiting is not None:
        waiting.cancel()
    elif how == "closed":
        await pieces.aclose()  # type: ignore[attr-defined]
    pieces = None
    gc.collect(0)
    await asyncio.to_thread(request.closed.wait, 5)
    assert request.closed_at is not None
    return 1_000 * (request.closed_at - began)


async def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(machine())
    with Loopback() as server:
        server.script(reply())
        await connector(server).complete("q")
        late = [await retry_after(server) for _ in range(rounds)]
        given_up = [await idle(server) for _ in range(rounds)]
        for name, values in (("Retry-After", late), ("idle deadline", given_up)):
            middle = statistics.median(values)
            print(f"{name:<18} {middle:.3f} of it ({min(values):.3f} to {max(values):.3f})")
        for how in ("cancelled", "closed", "dropped"):
            closed = [await leave(server, how) for _ in range(rounds)]
            print(f"{how:<18} {summary(closed, 'ms')}, at most {max(closed):.1f}")


if __name__ == "__main__":
    asyncio.run(main())

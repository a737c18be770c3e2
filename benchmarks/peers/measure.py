"""Measures one client in a fresh process of its own environment; prints one line of JSON.

    python benchmarks/peers/measure.py MODULE URL [long]

MODULE is a file of this folder with a `Client`. Times are CPU seconds of this whole process, every
thread included, with the wall time beside them.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import time
import tracemalloc
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CALLS, WIDE, WIDE_ROUNDS, FIRST_TOKENS = 300, 100, 4, 60
EVENTS, STREAMS, PACED = 2_000, 3, 100
GROWTH_CALLS, CANCELS, OPENED = 1_000, 10, 1_000
LONGEST_CLOSING = 2.0

told: dict[str, Any] = {}


@contextmanager
def timed(name: str, count: int = 1) -> Iterator[None]:
    """Note the CPU and the wall time of a block, per piece, in microseconds."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    told[name] = 1e6 * (time.process_time() - cpu) / count
    told[f"{name}_wall"] = 1e6 * (time.perf_counter() - wall) / count


async def drain(client: Any, mode: str) -> int:
    """Read a stream to its end; give how many characters came."""
    size = 0
    async for text in client.stream(mode):
        size += len(text)
    return size


async def calls(client: Any) -> None:
    """Measure calls, one after the other and 100 at once."""
    for _ in range(30):
        await client.call()
    with timed("call", CALLS):
        for _ in range(CALLS):
            await client.call()
    await asyncio.gather(*(client.call() for _ in range(WIDE)))
    longest = 0.0

    async def ticks() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before - 0.001)

    with timed("wide", WIDE * WIDE_ROUNDS):
        for _ in range(WIDE_ROUNDS):
            await asyncio.gather(*(client.call() for _ in range(WIDE)))
    ticking = asyncio.ensure_future(ticks())
    await asyncio.sleep(0)
    await asyncio.gather(*(client.call() for _ in range(WIDE)))
    ticking.cancel()
    told["blocked"] = 1e6 * longest


async def streams(client: Any) -> None:
    """Measure what one chunk costs, and the way to the first text."""
    for mode in ("each", "packed"):
        await drain(client, mode)
        with timed(mode, STREAMS * EVENTS):
            for _ in range(STREAMS):
                assert await drain(client, mode) == EVENTS * len(" pi is")
    await drain(client, "paced")
    with timed("paced", PACED):
        await drain(client, "paced")
    cpu = wall = 0.0
    for number in range(FIRST_TOKENS + 10):
        began, began_wall = time.process_time(), time.perf_counter()
        async for _ in client.stream("short"):
            if began and number >= 10:
                cpu += time.process_time() - began
                wall += time.perf_counter() - began_wall
            began = 0.0
    told["first_token"] = 1e6 * cpu / FIRST_TOKENS
    told["first_token_wall"] = 1e6 * wall / FIRST_TOKENS


async def growth(client: Any) -> None:
    """Measure by how many kilobytes 1,000 calls let the process grow."""
    for _ in range(200):
        await client.call()
    tracemalloc.start()
    for _ in range(100):
        await client.call()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(GROWTH_CALLS):
        await client.call()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    told["growth"] = grown / 1024 / (GROWTH_CALLS / 1_000)


def report(url: str) -> dict[str, float]:
    """Ask the server what it has open."""
    with urllib.request.urlopen(f"{url}/report") as response:
        answer: dict[str, float] = json.load(response)
    return answer


async def cancelled(client: Any) -> float:
    """Read a stream that never ends up to its first text and cancel; give when that was."""
    here = asyncio.Event()

    async def read() -> None:
        async for _ in client.stream("endless"):
            here.set()

    task = asyncio.ensure_future(read())
    await asyncio.wait([task, asyncio.ensure_future(here.wait())], return_when="FIRST_COMPLETED")
    began = time.monotonic()
    task.cancel()
    await asyncio.wait([task], timeout=LONGEST_CLOSING)
    return began


async def until(done: Callable[[], bool]) -> bool:
    """Wait until something is so; false when that takes too long."""
    end = time.monotonic() + LONGEST_CLOSING
    while not done():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.02)
    return True


def sockets() -> int:
    """Count the open sockets of this process."""
    links = Path("/proc/self/fd").iterdir()
    return sum(str(link.readlink()).startswith("socket:") for link in links if link.is_symlink())


async def cancelling(client: Any, url: str) -> None:
    """Measure the time from a cancel to a closed socket, and what 1,000 of them leave open."""
    waits = []
    for _ in range(CANCELS):
        began = await cancelled(client)
        closed = await until(lambda: report(url)["open"] == 0)
        waits.append(report(url)["closed_at"] - began if closed else LONGEST_CLOSING)
    told["cancel"] = 1e6 * max(waits)
    gc.collect()
    before = sockets()
    for _ in range(OPENED // 50):
        await asyncio.gather(*(cancelled(client) for _ in range(50)))
    await until(lambda: report(url)["open"] == 0)
    told["left_open"] = report(url)["open"] + max(0, sockets() - before)


def main() -> None:
    """Import, answer once, then measure the rest."""
    module, url = sys.argv[1:3]
    began = time.process_time()
    with timed("import"):
        client_class = importlib.import_module(module).Client

    async def run() -> None:
        client = client_class(url)
        text = await client.call()
        told["first_answer"] = 1e6 * (time.process_time() - began)
        assert text.startswith("It is the ratio"), text
        steps: list[Callable[[], Awaitable[None]]] = [
            lambda: calls(client),
            lambda: streams(client),
        ]
        if "long" in sys.argv:
            steps += [lambda: growth(client), lambda: cancelling(client, url)]
        for step in steps:
            await step()

    asyncio.run(run())
    print(json.dumps(told))


if __name__ == "__main__":
    main()

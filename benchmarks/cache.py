"""What a kept answer costs beside a raw httpx call, in the same run.

    python benchmarks/cache.py [ROUNDS]

The CPU time of this process, every thread included, for one answer. The server is another process
on the loopback; raw httpx is one pooled client with `post` and `.json()`. Rounds alternate between
the two, and the share is the median of those within a round. The aim is 6 % for the answer
to a call that this process has kept or read before; a file that it has not read yet, and a kept
answer as a stream, have none. The answers go to a folder of their own, which is deleted.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from machine import machine, summary

from llmport_magic.llm import LLMConfig, LLMProvider
from llmport_magic.llm.cache import kept_answers

CALLS, FILES = 200, 50
PROMPT = "Write the Python module `circle`.\n\n" + "Area of a circle of a given radius.\n" * 20
ANSWER = "def area(radius):\n    return 3.14159 * radius**2\n" * 10
SERVER = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[1] / "tests")!r})
from loopback import Loopback, reply

with Loopback() as server:
    server.always(reply({ANSWER!r}))
    print(server.url, flush=True)
    sys.stdin.read()
"""


async def microseconds(each: Callable[[int], Awaitable[object]], count: int) -> float:
    """Give the CPU time of one of so many calls in turn."""
    await each(0)
    began = time.process_time()
    for number in range(count):
        await each(number)
    return 1e6 * (time.process_time() - began) / count


async def measure(url: str, rounds: int) -> None:
    """Measure and print."""
    llm = LLMProvider(LLMConfig(base_url=url, model="m", cache=True))
    body = {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}

    async def kept(_: int) -> object:
        response = await llm.complete(PROMPT)
        assert response.metadata["cached"]
        return response

    async def from_disk(number: int) -> object:
        kept_answers()._remembered.clear()  # noqa: SLF001 - as a new process is
        return await kept(number)

    async def streamed(_: int) -> object:
        return [text async for text in llm.stream(PROMPT)]

    ways = {"kept": (kept, CALLS), "from disk": (from_disk, FILES), "streamed": (streamed, CALLS)}
    taken: dict[str, list[float]] = {name: [] for name in ("httpx", *ways)}
    await llm.complete(PROMPT)
    async with httpx.AsyncClient() as client:

        async def raw(_: int) -> object:
            return (await client.post(f"{url}/chat/completions", json=body)).json()

        for _ in range(rounds):
            taken["httpx"].append(await microseconds(raw, CALLS))
            for name, (way, count) in ways.items():
                taken[name].append(await microseconds(way, count))
    print("httpx, a call:", summary(taken["httpx"], "µs"))
    for name in ways:
        pairs = zip(taken[name], taken["httpx"], strict=True)
        shares = [100 * ours / theirs for ours, theirs in pairs]
        print(f"{name}, an answer:", summary(taken[name], "µs"))
        print(f"{name}, of an httpx call:", summary(shares, "%"))


def main() -> None:
    """Serve, measure and clean up."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        command = [sys.executable, "-c", SERVER]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            asyncio.run(measure(server.stdout.readline().strip(), rounds))
            assert server.stdin is not None
            server.stdin.close()
    print(machine())


if __name__ == "__main__":
    main()

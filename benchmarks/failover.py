"""What it costs to be answered by the second provider, beside a plain call, in one run.

    python benchmarks/failover.py [ROUNDS]

The first provider's port is one that nobody listens at. The servers are on the loopback; plain
calls and failovers take turns, so that both have the machine as it is at the time.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
import warnings
from pathlib import Path

from machine import machine, summary

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from loopback import Loopback, reply

from llmport_magic.llm import LLMConfig, LLMProvider, LLMProviderFactory
from llmport_magic.llm.connector import BaseLLMConnector

AIM = 1.3


async def timed(llm: BaseLLMConnector) -> float:
    """Give the milliseconds of one call."""
    began = time.perf_counter()
    await llm.complete("q")
    return 1_000 * (time.perf_counter() - began)


async def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    warnings.simplefilter("ignore")
    print(machine())
    with Loopback() as gone:
        nobody = gone.url
    with Loopback() as server:
        server.always(reply())
        plain = LLMProvider(LLMConfig(base_url=server.url, model="m", provider="two"))
        first = LLMProvider(LLMConfig(base_url=nobody, model="m", provider="one"))
        ways: dict[str, BaseLLMConnector] = {
            "plain call": plain,
            "router, the first answers": LLMProviderFactory(connectors=[plain]),
            # The breaker would leave the first one out after three.
            "router, refused, the second": LLMProviderFactory(
                connectors=[first, plain], unhealthy_after=1_000_000
            ),
            "router, the first passed over": LLMProviderFactory(connectors=[first, plain]),
        }
        for llm in ways.values():
            for _ in range(10):
                await timed(llm)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, llm in ways.items():
                taken[name].append(await timed(llm))
    base = statistics.median(taken["plain call"])
    for name, values in taken.items():
        times = statistics.median(values) / base
        print(f"{name:<30} {times:.2f} x   {summary(values, 'ms')}")
    print(f"the aim for a refused connection is {AIM} x")


if __name__ == "__main__":
    asyncio.run(main())

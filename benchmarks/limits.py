"""Four kernels on one limit: how much of it they use, and whether any minute holds more.

    python benchmarks/limits.py [SECONDS] [REQUESTS_PER_MINUTE]

Each kernel is a process with eight calls under way at once; the server is on the loopback. A window
is 60 s wide: what the server saw by the time of arrival, and what the limiter let go by its own
clock. The share used is that of the time in which all four were asking.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from machine import machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from loopback import Loopback, Request, Script, reply

from llmport_magic.llm import LLMConfig, LLMProvider
from llmport_magic.llm.limits import RateLimits

KERNELS, AT_ONCE, WINDOW = 4, 8, 60.0


def most_in_a_window(moments: Sequence[float], width: float = WINDOW) -> int:
    """Count what the fullest window holds; it is open at its end."""
    most = first = 0
    for index, moment in enumerate(moments):
        while moment - moments[first] >= width:
            first += 1
        most = max(most, index - first + 1)
    return most


async def kernel(url: str, per_minute: float, seconds: float) -> None:
    """Ask as fast as the limit allows; print how long the calls waited on the whole."""
    config = LLMConfig(
        url, "m", rate_limits=RateLimits(per_minute), shared_limits=True, timeout_ms=120_000
    )
    llm = LLMProvider(config)
    end = time.monotonic() + seconds
    waited = [0, 0]

    async def work() -> None:
        while time.monotonic() < end:
            response = await llm.complete(sys.argv[2])
            waited[0] += 1
            waited[1] += response.metadata["waited_ms"]

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    print(json.dumps(waited))


def main() -> None:
    """Run the kernels and print a table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 90.0
    per_minute = float(sys.argv[2]) if len(sys.argv) > 2 else 1_200.0
    arrivals: list[tuple[float, str]] = []

    def answer(request: Request) -> Script:
        arrivals.append((time.monotonic(), request.json["messages"][0]["content"]))
        return reply()

    print(machine())
    with Loopback() as server, tempfile.TemporaryDirectory() as place:
        server.always(answer)
        command = [sys.executable, __file__, "--kernel"]
        asked = [
            subprocess.Popen(
                [*command, str(number), server.url, str(per_minute), str(seconds)],
                stdout=subprocess.PIPE,
                env={"XDG_RUNTIME_DIR": place, "PATH": "/usr/bin:/bin"},
                text=True,
            )
            for number in range(KERNELS)
        ]
        for process in asked:
            process.communicate()
    moments = [moment for moment, _ in arrivals]
    # From when the last kernel began until the first one had enough.
    begun = max(next(m for m, who in arrivals if who == str(n)) for n in range(KERNELS))
    over = min(max(m for m, who in arrivals if who == str(n)) for n in range(KERNELS))
    within = [moment for moment in moments if begun <= moment < over]
    used = (len(within) - 1) / (within[-1] - within[0]) * WINDOW / per_minute
    by_kernel = Counter(who for moment, who in arrivals if begun <= moment < over)
    print(f"limit                      {per_minute:g} a minute, {KERNELS} kernels, {seconds:g} s")
    print(f"requests at the server     {len(moments)}")
    print(f"used while all were asking {used:.4f} of the limit")
    print(f"fullest window of 60 s     {most_in_a_window(moments)}")
    print(f"by kernel                  {', '.join(map(str, sorted(by_kernel.values())))}")
    if len(moments) < per_minute and seconds <= WINDOW:
        print("(no 60 s were filled: run it for longer)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--kernel"]:
        asyncio.run(kernel(sys.argv[3], float(sys.argv[4]), float(sys.argv[5])))
    else:
        main()

"""What a `%%llmport` call costs over the bare HTTP call, in a real kernel, verification aside.

    python benchmarks/magic_overhead.py [ROUNDS]

The server is on the loopback and answers at once. The bare call reads the same stream to its end
with a pooled `httpx.Client`. Calls alternate, so that both see the same load. The time spent in the
sandbox is measured and taken off; the journal is off in one column and on, fsynced, in the other.
"""

from __future__ import annotations

from beside_bare import beside_bare, over, rounds, told
from loopback import streamed
from machine import machine, summary

ANSWER = "```python\ndef double(n):\n    return 2 * n\n```"
SETUP = """
import llmport_magic.attempts as attempts

check, checking = attempts.check_module, []

async def timed(*words, **named):
    begun = time.perf_counter()
    try:
        return await check(*words, **named)
    finally:
        checking.append(time.perf_counter() - begun)

attempts.check_module = timed

def magic(line):
    checking.clear()
    begun = time.perf_counter()
    shell.run_cell_magic("llmport", line, "Double a number.\\n\\n>>> doubling.double(2)\\n4\\n")
    return 1000 * (time.perf_counter() - begun - sum(checking)), 1000 * sum(checking)
"""
ROUND = """
bare()
values = dict(bare=bare())
values["quiet"], values["checked"] = magic("doubling --draft --no-cell --no-log")
values["logged"], _ = magic("doubling --draft --no-cell")
"""


def main() -> None:
    """Measure and print."""
    runs = []
    with beside_bare(SETUP) as (shell, server):
        for _ in range(rounds() + 2):
            server.script(*[streamed(ANSWER) for _ in range(4)])
            runs.append(told(shell, ROUND)[0])
    del runs[:2]  # the first calls import and connect
    print(machine())
    print(f"bare call               {summary([run['bare'] for run in runs], 'ms')}")
    for name, text in (("quiet", "magic, no journal"), ("logged", "magic, journal fsynced")):
        print(f"{text:<23} {over(runs, name)}")
    print(f"verification, taken off {summary([run['checked'] for run in runs], 'ms')}")


if __name__ == "__main__":
    main()

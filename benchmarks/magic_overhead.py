"""What a `%%llmport` call costs over the bare HTTP call, in a real kernel, verification aside.

    python benchmarks/magic_overhead.py [ROUNDS]

The server is on the loopback and answers at once. The bare call reads the same stream to its end
with a pooled `httpx.Client`. Calls alternate, so that both see the same load. The time spent in the
sandbox is measured and taken off; the journal is off in one column and on, fsynced, in the other.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from machine import machine, summary

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kernels import kernel
from loopback import Loopback, streamed

ANSWER = "```python\ndef double(n):\n    return 2 * n\n```"
SETUP = """
import json, time
import httpx
from llmport_magic import configure
import llmport_magic.attempts as attempts

configure(provider="local", base_url={url!r}, model="m-1")
shell, client, checking = get_ipython(), httpx.Client(), []
check = attempts.check_module

async def timed(*words, **named):
    begun = time.perf_counter()
    try:
        return await check(*words, **named)
    finally:
        checking.append(time.perf_counter() - begun)

attempts.check_module = timed

def bare():
    begun = time.perf_counter()
    body = {{"model": "m-1", "stream": True, "messages": [{{"role": "user", "content": "double"}}]}}
    with client.stream("POST", {url!r} + "/chat/completions", json=body) as response:
        for _ in response.iter_lines():
            pass
    return 1000 * (time.perf_counter() - begun)

def magic(line):
    checking.clear()
    begun = time.perf_counter()
    shell.run_cell_magic("llmport", line, "Double a number.\\n\\n>>> doubling.double(2)\\n4\\n")
    return 1000 * (time.perf_counter() - begun - sum(checking)), 1000 * sum(checking)
"""
ROUND = """
values = dict(bare=bare(), again=bare())
values["quiet"], values["checked"] = magic("doubling --draft --no-cell --no-log")
values["logged"], _ = magic("doubling --draft --no-cell")
print("told " + json.dumps(values))
"""


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    runs = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Loopback() as server,
        kernel(Path(folder)) as shell,
    ):
        outcome = shell.run(SETUP.format(url=server.url))
        assert outcome.status == "ok", outcome.error
        for _ in range(rounds + 2):
            server.script(*[streamed(ANSWER) for _ in range(4)])
            outcome = shell.run(ROUND, timeout=120)
            assert outcome.status == "ok", outcome.error
            line = next(x for x in outcome.stdout.splitlines() if x.startswith("told "))
            runs.append(json.loads(line.removeprefix("told ")))
    del runs[:2]  # the first calls import and connect
    print(machine())
    bare = [run["again"] for run in runs]
    print(f"bare call               {summary(bare, 'ms')}")
    for name, text in (("quiet", "magic, no journal"), ("logged", "magic, journal fsynced")):
        values = [run[name] for run in runs]
        over = statistics.median(run[name] - run["again"] for run in runs)
        print(f"{text:<23} {summary(values, 'ms')}, {over:.1f} ms over the bare call")
    print(f"verification, taken off {summary([run['checked'] for run in runs], 'ms')}")


if __name__ == "__main__":
    main()

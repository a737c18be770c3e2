"""What `%llmport fix` costs besides the model's answer, in a real kernel with the journal fsynced.

    python benchmarks/fixing.py [ROUNDS]

The server is on the loopback and answers at once. From the magic's first line to its last: the
error read, what is sent said, the answer checked, shown as a diff and placed. The bare call reads
the same stream with a pooled `httpx.Client`; calls alternate, so that both see the same load. The
first one of a kernel, which imports and connects, is told apart.
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

LINES = "".join(f"part_{number} = {number}\n" for number in range(40))
FAILING = f"prices = [1, 2]\n{LINES}print(total / len(prices))\n"
ANSWER = "```python\n" + FAILING.replace("total", "sum(prices)") + "```"
SETUP = """
import json, time
import httpx
from llmport_magic import configure

configure(provider="local", base_url={url!r}, model="m-1")
shell, client = get_ipython(), httpx.Client()

def bare():
    begun = time.perf_counter()
    body = {{"model": "m-1", "stream": True, "messages": [{{"role": "user", "content": "fix"}}]}}
    with client.stream("POST", {url!r} + "/chat/completions", json=body) as response:
        for _ in response.iter_lines():
            pass
    return 1000 * (time.perf_counter() - begun)

def fix():
    begun = time.perf_counter()
    shell.run_line_magic("llmport", "fix")
    return 1000 * (time.perf_counter() - begun)
"""
ROUND = """
values = dict(bare=bare(), fix=fix())
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
        server.always(streamed(ANSWER))
        outcome = shell.run(SETUP.format(url=server.url))
        assert outcome.status == "ok", outcome.error
        assert shell.run(FAILING).name == "NameError"
        for _ in range(rounds + 1):
            outcome = shell.run(ROUND, timeout=120)
            assert outcome.status == "ok", outcome.shown
            assert "placed below" in outcome.stdout, outcome.shown
            line = next(x for x in outcome.stdout.splitlines() if x.startswith("told "))
            runs.append(json.loads(line.removeprefix("told ")))
    print(machine())
    first = runs.pop(0)
    print(f"bare call       {summary([run['bare'] for run in runs], 'ms')}")
    over = statistics.median(run["fix"] - run["bare"] for run in runs)
    told = f"{over:.1f} ms over the bare call"
    print(f"fix             {summary([run['fix'] for run in runs], 'ms')}, {told}")
    print(f"first fix       {first['fix']:.1f} ms")


if __name__ == "__main__":
    main()

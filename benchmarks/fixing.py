"""What `%llmport fix` costs besides the model's answer, in a real kernel with the journal fsynced.

    python benchmarks/fixing.py [ROUNDS]

The server is on the loopback and answers at once. From the magic's first line to its last: the
error read, what is sent said, the answer checked, shown as a diff and placed. The bare call reads
the same stream with a pooled `httpx.Client`; calls alternate, so that both see the same load. The
first one of a kernel, which imports and connects, is told apart.
"""

from __future__ import annotations

from beside_bare import beside_bare, over, rounds, told
from loopback import streamed
from machine import machine, summary

LINES = "".join(f"part_{number} = {number}\n" for number in range(40))
FAILING = f"prices = [1, 2]\n{LINES}print(total / len(prices))\n"
ANSWER = "```python\n" + FAILING.replace("total", "sum(prices)") + "```"
SETUP = """
def fix():
    begun = time.perf_counter()
    shell.run_line_magic("llmport", "fix")
    return 1000 * (time.perf_counter() - begun)
"""


def main() -> None:
    """Measure and print."""
    runs = []
    with beside_bare(SETUP) as (shell, server):
        server.always(streamed(ANSWER))
        assert shell.run(FAILING).name == "NameError"
        for _ in range(rounds() + 1):
            values, outcome = told(shell, "values = dict(bare=bare(), fix=fix())")
            assert "placed below" in outcome.stdout, outcome.shown
            runs.append(values)
    print(machine())
    first = runs.pop(0)
    print(f"bare call       {summary([run['bare'] for run in runs], 'ms')}")
    print(f"fix             {over(runs, 'fix')}")
    print(f"first fix       {first['fix']:.1f} ms")


if __name__ == "__main__":
    main()

"""What `%load_ext llmport_magic` costs over a bare IPython with the kernel's imports.

    python benchmarks/load.py [ROUNDS]

Each round is a fresh process. CPU time and memory are taken right before and after the load. Two
things that a first call and every call pay come after it, in processes of their own: reading the
catalogue of models, and asking whether somebody traces where nobody does.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile

from machine import machine, summary

CODE = """
import contextlib, io, json, sys, time
begun = time.process_time()
import psutil
import ipykernel.ipkernel, ipykernel.zmqshell
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
with contextlib.redirect_stdout(io.StringIO()):  # IPython loads its own magics on first use
    shell.run_cell("%who_ls")
    shell.run_line_magic("unload_ext", "json")
process = psutil.Process()
bare, memory = time.process_time(), process.memory_info().rss
shell.run_line_magic("load_ext", sys.argv[1])
loaded = time.process_time()
grown = process.memory_info().rss - memory
print(json.dumps({"bare": 1000 * (bare - begun), "load": 1000 * (loaded - bare),
                  "memory": grown / 1e6}))
"""
CALLS = """
import json, time
from llmport_magic.llm import tracing
from llmport_magic.llm.catalogue import shipped_providers
from llmport_magic.llm.mock import MockConnector

begun = time.perf_counter()
shipped_providers()
read = time.perf_counter() - begun
llm = MockConnector()
begun = time.perf_counter()
for _ in range(1000):
    assert tracing._span(llm, "q", {}) is None
print(json.dumps({"catalogue": 1000 * read, "tracer": 1000 * (time.perf_counter() - begun)}))
"""


def measure(code: str) -> dict[str, float]:
    """Run code in a fresh process; give what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", code, "llmport_magic"],
            capture_output=True,
            text=True,
            check=True,
            cwd=folder,
        )
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    measure(CODE)  # writes the byte code
    runs = [measure(CODE) for _ in range(rounds)]
    calls = [measure(CALLS) for _ in range(rounds)]
    loads = [run["load"] for run in runs]
    bare = statistics.median(run["bare"] for run in runs)
    print(machine())
    print(f"bare IPython      {summary([run['bare'] for run in runs], 'ms CPU')}")
    print(f"%load_ext         {summary(loads, 'ms CPU')}")
    print(f"                  {statistics.median(loads) / bare:.3f} of bare IPython")
    print(f"memory            {summary([run['memory'] for run in runs], 'MB')}")
    print(f"catalogue read    {summary([call['catalogue'] for call in calls], 'ms')}")
    print(f"is there a tracer {summary([call['tracer'] for call in calls], 'µs')}")


if __name__ == "__main__":
    main()

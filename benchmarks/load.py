"""What `%load_ext llmport_magic` costs over a bare IPython with the kernel's imports.

    python benchmarks/load.py [ROUNDS]

Each round is a fresh process. CPU time and memory are taken right before and after the load.
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


def measure(extension: str) -> dict[str, float]:
    """Load an extension in a fresh process; milliseconds of CPU, and megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", CODE, extension],
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
    measure("llmport_magic")  # writes the byte code
    runs = [measure("llmport_magic") for _ in range(rounds)]
    loads = [run["load"] for run in runs]
    bare = statistics.median(run["bare"] for run in runs)
    print(machine())
    print(f"bare IPython      {summary([run['bare'] for run in runs], 'ms CPU')}")
    print(f"%load_ext         {summary(loads, 'ms CPU')}")
    print(f"                  {statistics.median(loads) / bare:.3f} of bare IPython")
    print(f"memory            {summary([run['memory'] for run in runs], 'MB')}")


if __name__ == "__main__":
    main()

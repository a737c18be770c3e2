"""What running a cell again costs: selecting a stored version, in a real kernel.

    python benchmarks/reselect.py [ROUNDS]

The prompt cell is made once, by a server on the loopback that then is gone. `first` is the first
selection after a kernel restart, with its imports; the others are the ones after it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from machine import machine, summary

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kernels import kernel
from loopback import Loopback, streamed

ANSWER = "```python\ndef double(n):\n    return 2 * n\n```"
CELL = "%%llmport doubling\nDouble a number.\n\n>>> doubling.double(2)\n4"
SELECT = """
import json, time
from pathlib import Path
text = Path("doubling.py").read_text()
from llmport_magic.modules.store import ModuleStore
base = ModuleStore(Path.cwd()).versions("doubling")[-1].id

def timed(magic, line, body):
    begun = time.perf_counter()
    get_ipython().run_cell_magic(magic, line, body)
    return 1000 * (time.perf_counter() - begun)

prompt = "Double a number.\\n\\n>>> doubling.double(2)\\n4"
first = timed("llmport", "doubling", prompt)
again, quiet, cell = [], [], []
for _ in range({rounds}):
    again.append(timed("llmport", "doubling", prompt))
    quiet.append(timed("llmport", "doubling --no-log", prompt))
    cell.append(timed("llmport_module", "doubling --base " + base, text))
print("told " + json.dumps(dict(first=first, again=again, quiet=quiet, cell=cell)))
"""


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as folder, kernel(Path(folder)) as shell:
        with Loopback() as server:
            setup = "from llmport_magic import configure\n"
            setup += f"configure(provider='local', base_url={server.url!r}, model='m-1')"
            server.script(streamed(ANSWER))
            assert shell.run(setup).status == "ok"
            outcome = shell.run(CELL, timeout=120)
            assert outcome.status == "ok", outcome.error
        shell.restart()
        outcome = shell.run(SELECT.format(rounds=rounds), timeout=300)
        assert outcome.status == "ok", outcome.error
    line = next(x for x in outcome.stdout.splitlines() if x.startswith("told "))
    told = json.loads(line.removeprefix("told "))
    print(machine())
    print(f"first after a restart   {told['first']:.1f} ms")
    print(f"prompt cell again       {summary(told['again'], 'ms')}")
    print(f"prompt cell, no journal {summary(told['quiet'], 'ms')}")
    print(f"module cell again       {summary(told['cell'], 'ms')}")


if __name__ == "__main__":
    main()

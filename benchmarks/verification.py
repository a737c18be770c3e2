"""What a check takes, cold and from the warm worker, and what the worker takes itself.

    python benchmarks/verification.py [ROUNDS]

Each round checks each module cold and warm, one after the other, so that all see the same load. The
targets are 150 ms for a warm check of a module without third-party imports, and 300 ms with pandas.
At the end, what precedes a check: a long module assessed by the policy, and a large table sampled.
"""

from __future__ import annotations

import asyncio
import importlib
import statistics
import sys
import time
from collections.abc import Callable

import psutil
from machine import machine, summary

from llmport_magic.modules.examples import parse_examples
from llmport_magic.modules.policy.review import assess
from llmport_magic.modules.sandbox import sandboxing, warming, wrapping
from llmport_magic.modules.sandbox.job import SandboxJob
from llmport_magic.modules.verification import verify
from llmport_magic.notebook.sampling import take_samples
from llmport_magic.settings import Settings

MODULES = {
    "stdlib": (
        "import math\n\ndef area(radius):\n    return math.pi * radius * radius\n",
        ">>> area(2)\n12.566\n>>> area(0)\n0.0\n>>> area(1)\n3.14159\n",
        150,
    ),
    "numpy": (
        "import numpy as np\n\ndef total(values):\n    return float(np.sum(values))\n",
        ">>> total([1, 2])\n3.0\n",
        300,
    ),
    "pandas": (
        "import pandas as pd\n\ndef rows(values):\n    return len(pd.DataFrame({'a': values}))\n",
        ">>> rows([1, 2])\n2\n",
        300,
    ),
}
LIBRARIES = ("numpy", "pandas")


def main() -> None:
    """Measure and print a table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    for name in LIBRARIES:
        importlib.import_module(name)
    asyncio.run(measured(rounds))
    before_a_check(rounds)
    warming.close_worker()


async def measured(rounds: int) -> None:
    """Check every module in every round, and print the medians."""
    print(machine())
    print(f"level {sandboxing.level()}")
    print(f"worker {worker_told()}")
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for name, (source, prompt, _) in MODULES.items():
            for kind, settings in KINDS.items():
                taken = await checked(source, prompt, settings)
                times.setdefault((name, kind), []).append(taken)
    for name, (_, _, target) in MODULES.items():
        cold, warm = (times[name, kind] for kind in KINDS)
        ratio = statistics.median(warm) / target
        print(f"{name:<8} cold {summary(cold, 'ms')}")
        print(f"{name:<8} warm {summary(warm, 'ms')} · {ratio:.2f} of the target, {target} ms")


KINDS = {
    "cold": Settings(sandbox_warm=False),
    "warm": Settings(sandbox_preload=LIBRARIES),
}


async def checked(source: str, prompt: str, settings: Settings) -> float:
    """Verify a module; give the milliseconds. A warm one must find the worker ready."""
    examples = parse_examples(prompt)
    if settings.sandbox_warm:
        assert warming.ready()
    begun = time.perf_counter()
    verdict = await verify(source, module_name="measured", examples=examples, settings=settings)
    taken = 1000 * (time.perf_counter() - begun)
    assert verdict.proof == "passed", verdict
    return taken


def before_a_check(rounds: int) -> None:
    """Assess a module of hundreds of lines, and copy a sample of a table of 400 MB."""
    import numpy as np
    import pandas as pd

    source = "\n\n".join(text for _ in range(20) for text, _, _ in MODULES.values())
    frame = pd.DataFrame(np.ones((1_000_000, 50)))
    works: dict[str, Callable[[], object]] = {
        f"policy, {source.count(chr(10))} lines": lambda: assess(source),
        "sample of 1,000,000 x 50": lambda: take_samples({"df"}, {"df": frame}, 1000),
    }
    for name, work in works.items():
        times = []
        for _ in range(rounds):
            begun = time.perf_counter()
            work()
            times.append(1000 * (time.perf_counter() - begun))
        print(f"{name:<26} {summary(times, 'ms')}")


def worker_told() -> str:
    """Start the worker; say how long it took and what it holds."""
    job = SandboxJob(source="", module_name="", **sandboxing.limits(KINDS["warm"]))
    begun = time.perf_counter()
    warming.prepare(job, sandboxing._CHILD, wrapping.offered())  # noqa: SLF001
    assert warming.ready()
    taken = 1000 * (time.perf_counter() - begun)
    worker = warming.current()
    assert worker is not None
    tree = [psutil.Process(worker._process.pid)]  # noqa: SLF001
    tree += tree[0].children(recursive=True)
    resident = sum(process.memory_info().rss for process in tree) / 1e6
    return f"ready in {taken:.0f} ms, {resident:.0f} MB resident, with {', '.join(worker.loaded)}"


if __name__ == "__main__":
    main()

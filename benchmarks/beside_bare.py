"""A real kernel whose server answers at once, with the bare HTTP call to hold a magic against.

The server is on the loopback. The bare call reads the same stream to its end with a pooled
`httpx.Client`; calls alternate, so that both see the same load.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from machine import summary

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kernels import Kernel, Outcome, kernel
from loopback import Loopback

_SETUP = """
import json, time
import httpx
from llmport_magic import configure

configure(provider="local", base_url={url!r}, model="m-1")
shell, client = get_ipython(), httpx.Client()

def bare():
    begun = time.perf_counter()
    body = {{"model": "m-1", "stream": True, "messages": [{{"role": "user", "content": "q"}}]}}
    with client.stream("POST", {url!r} + "/chat/completions", json=body) as response:
        for _ in response.iter_lines():
            pass
    return 1000 * (time.perf_counter() - begun)
"""


def rounds() -> int:
    """Give how many rounds the command line asks for."""
    return int(sys.argv[1]) if len(sys.argv) > 1 else 30


@contextmanager
def beside_bare(setup: str) -> Iterator[tuple[Kernel, Loopback]]:
    """Start a kernel and its server; in the kernel are `bare()`, `shell` and what `setup` makes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Loopback() as server,
        kernel(Path(folder)) as shell,
    ):
        outcome = shell.run(_SETUP.format(url=server.url) + setup)
        assert outcome.status == "ok", outcome.error
        yield shell, server


def told(shell: Kernel, code: str) -> tuple[dict[str, float], Outcome]:
    """Run code that makes `values` of milliseconds; give these, and what the cell showed."""
    outcome = shell.run(f'{code}\nprint("told " + json.dumps(values))', timeout=120)
    assert outcome.status == "ok", outcome.shown
    line = next(x for x in outcome.stdout.splitlines() if x.startswith("told "))
    return json.loads(line.removeprefix("told ")), outcome


def over(runs: Sequence[Mapping[str, float]], name: str) -> str:
    """Say how long something took, and how much longer than the bare call of the same round."""
    values = [run[name] for run in runs]
    more = statistics.median(run[name] - run["bare"] for run in runs)
    return f"{summary(values, 'ms')}, {more:.1f} ms over the bare call"

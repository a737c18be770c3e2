"""What a call costs here, and with the libraries that people use instead.

    python benchmarks/peers.py [ROUNDS] [NAME ...]

Each client has an environment of its own below `.benchmarks/`, which is made when it is not there:
the first run downloads some hundred megabytes. The server is a process of its own on the loopback
that sends bytes made beforehand. In each round every client is measured once, in a fresh process,
in another order. A figure is the median of the rounds, a ratio the median of the ratios to raw
httpx in the same round. The results go to `.benchmarks/peers.json`, the picture to
`docs/connectors.svg`.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import machine

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = ROOT / ".benchmarks"
sys.path.insert(0, str(HERE / "peers"))

from picture import draw  # noqa: E402 - beside the clients

OURS = ("httpx==0.28.1", "msgspec==0.22.0", "platformdirs==4.14.5", "PyYAML==6.0.3")


@dataclass(frozen=True)
class Peer:
    """One client: its name in the table, its file, what its environment holds, what it is told."""

    name: str
    module: str
    packages: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def folder(self) -> Path:
        """The environment; clients that need the same packages share one."""
        return CACHE / "-".join(p.partition("==")[0].partition("[")[0] for p in self.packages)


PEERS = (
    Peer("httpx", "with_httpx", ("httpx==0.28.1",)),
    Peer("httpx2", "with_httpx2", ("httpx2==2.16.2",)),
    Peer("llmport", "with_llmport", OURS),
    Peer("llmport, sniffio there", "with_llmport", (*OURS, "sniffio==1.3.1")),
    Peer(
        "llmport on httpx2",
        "with_llmport",
        (*OURS, "httpx2==2.16.2"),
        (("LLMPORT_TRANSPORT", "httpx2"),),
    ),
    Peer("llmport, Anthropic's format", "with_llmport_anthropic", OURS),
    Peer("openai", "with_openai", ("openai==3.52.0",)),
    Peer("anthropic", "with_anthropic", ("anthropic==2.11.0",)),
    Peer("any-llm", "with_any_llm", ("any-llm-sdk[openai]==1.40.2",)),
    Peer("pydantic-ai", "with_pydantic_ai", ("pydantic-ai-slim[openai]==2.68.0",)),
    Peer("litellm", "with_litellm", ("litellm==1.106.2",)),
)
RATIOS = {
    "import": "import",
    "first_answer": "first answer",
    "call": "call",
    "wide": "100 wide",
    "each": "chunk",
    "packed": "packed chunk",
    "paced": "slow chunk",
    "first_token": "first text",
}
# In the target's own words, the highest ratio, and to whom.
TARGETS = (
    ("first answer", "first_answer", "httpx", 1.15),
    ("first answer", "first_answer", "openai", 0.25),
    ("first answer", "first_answer", "litellm", 0.05),
    ("call", "call", "httpx", 1.06),
    ("call", "call", "openai", 0.75),
    ("call", "call", "litellm", 0.3),
    ("100 wide", "wide", "httpx", 1.1),
    ("chunk", "each", "httpx", 0.80),
    ("chunk", "each", "openai", 0.13),
    ("chunk", "each", "pydantic-ai", 0.07),
    ("chunk", "each", "litellm", 0.04),
    ("first text", "first_token", "httpx", 1.0),
)
Runs = dict[str, list[dict[str, float]]]


def prepare(peer: Peer) -> list[str]:
    """Make a client's environment, unless it is there; give what it holds."""
    python, stamp = peer.folder / "bin" / "python", peer.folder / "packages.txt"
    wanted = "\n".join(peer.packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"making the environment of {peer.name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", peer.folder], check=True)
        pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        subprocess.run([*pip, *peer.packages], check=True)
        stamp.write_text(wanted)
    told = subprocess.run(
        [python, "-m", "pip", "freeze", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
        text=True,
    )
    return told.stdout.split("\n")[:-1]


@contextmanager
def server() -> Iterator[str]:
    """Run the server; give its URL."""
    process = subprocess.Popen(
        [sys.executable, HERE / "peers" / "server.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait()


def measure(peer: Peer, url: str, *, long: bool) -> dict[str, float]:
    """Measure a client once, in a fresh process."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        [
            peer.folder / "bin" / "python",
            HERE / "peers" / "measure.py",
            peer.module,
            url,
            *(["long"] if long else []),
        ],
        env={**kept, "PYTHONPATH": str(ROOT), **dict(peer.variables)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{peer.name}: {done.stderr[-2000:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def ratio(runs: Runs, name: str, what: str, to: str = "httpx") -> float:
    """Give the median of the ratios in each round."""
    pairs = zip(runs[name], runs[to], strict=True)
    return statistics.median(run[what] / other[what] for run, other in pairs)


def middle(runs: Runs, name: str, what: str) -> float:
    """Give the median of the rounds that measured it."""
    return statistics.median(run[what] for run in runs[name] if what in run)


def table(runs: Runs) -> list[str]:
    """Write the table: ratios to raw httpx, and what has no ratio."""
    heads = ["client", *RATIOS.values(), "KB per 1,000 calls", "cancel, ms", "left open"]
    rows = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for name in runs:
        cells = [f"{ratio(runs, name, what):.2f}" for what in RATIOS]
        cells += [f"{middle(runs, name, 'growth'):.1f}"]
        cells += [f"{middle(runs, name, 'cancel') / 1000:.1f}"]
        cells += [f"{middle(runs, name, 'left_open'):.0f}"]
        rows.append("| " + " | ".join([name, *cells]) + " |")
    base = [f"{middle(runs, 'httpx', what):,.0f}" for what in RATIOS]
    rows.append("| " + " | ".join(["httpx, µs", *base, "", "", ""]) + " |")
    return rows


def reached(runs: Runs) -> list[str]:
    """Hold the figures against the targets."""
    rows = ["| target | aim | httpx | httpx2 |", "| --- | --- | --- | --- |"]
    ours = [name for name in ("llmport", "llmport on httpx2") if name in runs]
    for title, what, to, most in TARGETS:
        if to in runs:
            found = (ratio(runs, name, what, to) for name in ours)
            told = (f"{value:.2f}" + ("" if value <= most else ", missed") for value in found)
            rows.append(f"| {title}, to {to} | {most:.2f} | " + " | ".join(told) + " |")
    for title, what, most, unit in (
        ("growth in 1,000 calls", "growth", 10, 1),
        ("from cancel to closed socket, ms", "cancel", 20, 1_000),
        ("left open after 1,000 cancelled streams", "left_open", 0, 1),
    ):
        found = (middle(runs, name, what) / unit for name in ours)
        told = (f"{value:.1f}" + ("" if value <= most else ", missed") for value in found)
        rows.append(f"| {title} | {most} | " + " | ".join(told) + " |")
    return rows


def write(runs: Runs, packages: dict[str, list[str]], before: str) -> None:
    """Keep what was measured so far; draw it where every client was measured."""
    ratios = {name: {what: ratio(runs, name, what) for what in RATIOS} for name in runs}
    result: dict[str, Any] = {
        "machine": [before, machine()],
        "packages": packages,
        "microseconds": runs,
        "ratios": ratios,
        "table": [*table(runs), "", *reached(runs)],
    }
    (CACHE / "peers.json").write_text(json.dumps(result, indent=1))
    if len(runs) == len(PEERS):
        (ROOT / "docs" / "connectors.svg").write_text(draw(ratios))


def main() -> None:
    """Measure, print, write and draw."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    peers = [peer for peer in PEERS if not sys.argv[2:] or peer.name in ("httpx", *sys.argv[2:])]
    packages = {peer.name: prepare(peer) for peer in peers}
    runs: Runs = {peer.name: [] for peer in peers}
    before = machine()
    with server() as url:
        for number in range(rounds):
            for peer in random.sample(peers, len(peers)):
                print(f"round {number + 1}: {peer.name}", file=sys.stderr, flush=True)
                runs[peer.name].append(measure(peer, url, long=number == 0))
            write(runs, packages, before)
    print("\n".join([f"before: {before}", f"after:  {machine()}", "", *table(runs)]))
    print("\n".join(["", *reached(runs)]))


if __name__ == "__main__":
    main()

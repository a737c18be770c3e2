"""Hold the dialects against the types and the clients of the vendors' own packages.

    python scripts/check_against_sdks.py [--folder FOLDER] [NAME ...]

Installs the newest openai, anthropic, google-genai and ollama, each into an environment of its own
in the folder (`.checks`, 310 MB in all), beside what this tree needs. There it reads every request
that a dialect writes as the vendor's type, reads values of all the vendor's answer types with the
dialect, and compares the requests of both clients on one server. An occasional check: no test, no
CI, no dependency. Exits with 1 where something differs that is not known.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import subprocess
import sys
import venv
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# The packages, and the classes of `scripts/sdks/` that ask them.
NAMES = {
    "openai": ("openai_chat", "OpenAI"),
    "anthropic": ("anthropic_messages", "Anthropic"),
    "google-genai": ("gemini_content", "Gemini"),
    "ollama": ("ollama_chat", "Ollama"),
}
# Of what this package depends on, all that `llmport_magic.llm` imports.
NEEDED = ("httpx", "msgspec", "platformdirs", "PyYAML", "jsonschema")
ANSWER = '{"city": "Rom", "tags": []}'


def main() -> int:
    """Check the packages; gives the process's exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--folder", type=Path, default=ROOT / ".checks", help="of environments")
    given = parser.parse_args()
    failed = [name for name in given.names or NAMES if not checked(name, given.folder / name)]
    print("differs: " + ", ".join(failed) if failed else "all well")
    return bool(failed)


def checked(name: str, place: Path) -> bool:
    """Install one package and check against it there."""
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--upgrade", name, *NEEDED], check=True)
    path = os.pathsep.join(str(ROOT / each) for each in (".", "scripts", "tests"))
    # Nothing of this shell's keys and addresses reaches either client.
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "HOME": str(place)}
    command = [str(python), __file__, "--inside", name]
    return not subprocess.run(command, env=environment, check=False).returncode


def inside(name: str) -> int:
    """Run all checks of one package, in its environment; gives the process's exit code."""
    module, kind = NAMES[name]
    package = getattr(importlib.import_module(f"sdks.{module}"), kind)()
    done: Counter[str] = Counter()
    findings: dict[tuple[str, str], list[str]] = {}
    kinds = {
        "requests": requests_read(package),
        "answers": answers_read(package),
        "clients": asyncio.run(clients_compared(package)),
    }
    for kind, results in kinds.items():
        for what, why in results:
            done[kind] += 1
            if why and not package.knows(what, why):
                findings.setdefault((kind, why), []).append(what)
    figures = ", ".join(f"{count} {kind}" for kind, count in done.items())
    known = f", {len(package.seen)} known differences" if package.seen else ""
    print(f"{name} {version(name)}: {figures}, {len(findings)} findings{known}")
    for what in sorted(package.seen):
        print(f"  known   {what}")
    for (kind, why), whats in findings.items():
        more = f" and {len(whats) - 1} more" if whats[1:] else ""
        print(f"  FINDING {kind}: {whats[0]}{more}: {why}")
    return bool(findings)


def requests_read(package: Any) -> Iterator[tuple[str, str]]:
    """Read every request as the vendor's type: what was asked, and what is wrong with it."""
    from llmport_magic.errors import UsageError

    for what, call in package.calls():
        try:
            request = package.dialect.build_request(call)
        except UsageError as refused:
            yield what, f"refused: {refused}"
            continue
        found = package.faults(request.body)
        yield from ((what, fault) for fault in found or [""])


def answers_read(package: Any) -> Iterator[tuple[str, str]]:
    """Read values of all types of answers and events: which one, and what is wrong."""
    yield from package.answers()
    yield from package.events()
    yield from package.counted()
    yield from package.errors()
    yield from package.listed()


async def clients_compared(package: Any) -> list[tuple[str, str]]:
    """Send the same with both clients to one server, and compare what arrived."""
    from loopback import Loopback
    from vendors import asking

    results, vendor = [], package.vendor
    for what, theirs, messages, options in package.conversations():
        for stream in (False, True):
            with Loopback() as server:
                server.always(vendor.stream(ANSWER) if stream else vendor.whole(ANSWER))
                root = server.url.removesuffix("/v1")
                await asyncio.to_thread(theirs, root, stream)
                llm = asking(server, vendor)
                if stream:
                    said = "".join([piece async for piece in llm.stream(messages, **options)])
                else:
                    said = (await llm.call(messages, **options)).content
                other, own = server.requests
            differing = package.differing(own, other)
            if said != ANSWER:
                differing.append(f"read {said!r}")
            name = f"{what}, {'streamed' if stream else 'whole'}"
            results += [(name, why) for why in differing or [""]]
    return results


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        sys.exit(inside(sys.argv[2]))
    sys.exit(main())

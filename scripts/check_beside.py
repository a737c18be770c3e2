"""Install the package beside each generation of the openai package, and call through both.

    python scripts/check_beside.py [SPEC ...]

Each SPEC, for example `openai<2`, gets a fresh environment in a temporary folder. There, this
package and openai answer the same server on this machine, in one process, with calls, streams and
errors. Exits with 1 where an installation or a call fails.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SPECS = ("openai<2", "openai<3", "openai")


def main(specs: list[str]) -> int:
    """Check every specification; gives the process's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        failed = [spec for spec in specs if not beside(spec, wheel, Path(folder))]
    print("failed: " + ", ".join(failed) if failed else "all well")
    return bool(failed)


def build_wheel(folder: Path) -> Path:
    """Build the wheel once, with the panel as it was built last."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    environment = {**os.environ, "SKIP_JUPYTER_BUILDER": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.whl"))


def beside(spec: str, wheel: Path, folder: Path) -> bool:
    """Install both into a fresh environment, and call there."""
    place = folder / spec.replace("<", "-below-")
    venv.create(place, with_pip=True)
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for command in (
        [*pip, "install", str(wheel), spec],
        [*pip, "check"],
        [str(python), __file__, "--inside"],
    ):
        if subprocess.run(command, check=False).returncode:
            print(f"{spec}: failed at {command[1:]}", file=sys.stderr)
            return False
    return True


async def inside() -> None:
    """Call through this package and through openai, in the environment that has both."""
    sys.path.insert(0, str(ROOT / "tests"))
    import httpx
    import openai
    from loopback import Loopback, failure, reply, streamed

    from llmport_magic.llm import LLMConfig, LLMProvider
    from llmport_magic.llm.wire import Network

    libraries = ["httpx", *(["httpx2"] if find_spec("httpx2") else [])]
    with Loopback() as server:
        server.always(lambda r: streamed("a", "b") if r.json.get("stream") else reply("hi"))
        theirs = openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0)
        for library in libraries:
            ours = LLMProvider(LLMConfig(server.url, "m", network=Network(transport=library)))
            for _ in range(3):
                check((await ours.call("q")).content == "hi", "a call of ours")
                check([text async for text in ours.stream("q")] == ["a", "b"], "a stream of ours")
                check(await theirs_says(theirs) == "hi", "a call of openai's")
            server.script(failure(401))
            try:
                await ours.call("q")
            except httpx.HTTPStatusError as error:
                check(error.response.status_code == 401, "an error of ours")
            else:
                check(passed=False, what="an error of ours")
        await theirs.close()
    names = [name for name in ("openai", "httpx", "httpx2", "httpcore") if find_spec(name)]
    print(", ".join(f"{name} {version(name)}" for name in names), "-", " and ".join(libraries))


async def theirs_says(client: object) -> str:
    """Ask through the openai package."""
    answer = await client.chat.completions.create(  # type: ignore[attr-defined]
        model="m", messages=[{"role": "user", "content": "q"}]
    )
    return str(answer.choices[0].message.content)


def check(passed: bool, what: str) -> None:
    """End with what went wrong."""
    if not passed:
        raise SystemExit(f"{what} went wrong")


if __name__ == "__main__":
    if sys.argv[1:] == ["--inside"]:
        asyncio.run(inside())
    else:
        sys.exit(main(sys.argv[1:] or list(SPECS)))

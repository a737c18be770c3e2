"""Ask other people's gateway in three wire formats, and tell where its answers are not as ours.

    python scripts/check_against_litellm.py [--folder FOLDER]

Installs the litellm proxy (680 MB) into an environment of its own in the folder, starts it with a
master key in front of aimock (of `npm ci`), and asks it in the formats of OpenAI, Anthropic and
Gemini, which it translates by itself. An occasional check: no test, no CI, no dependency. Exits
with 1 where something differs that is not known to be the proxy's own doing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from llmport_magic.llm.messages import Message
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.transport import LLMStatusError

ROOT = Path(__file__).resolve().parent.parent
AIMOCK = ROOT / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
FIXTURES = ROOT / "tests" / "fixtures" / "aimock.json"
NO_SUCH_KEY = {
    "match": {"userMessage": "bad key"},
    "response": {"error": {"message": "No such key", "type": "auth_error"}, "status": 401},
}
# Pinned, and not to the newest: releases 1.82.7, 1.82.8 and 1.107.0 held malicious code.
LITELLM = "litellm[proxy]==1.100.5"
MASTER_KEY = "sk-master-key-of-this-check"
# The second refuses a temperature, says the proxy's table.
MODEL, REASONING_MODEL = "gpt-4o-mini", "gpt-5-mini"
DIALECTS = {"openai_chat": "/v1", "anthropic_messages": "/v1", "gemini_content": "/v1beta"}
GREETING = "Grüße,\u2028dir 😀 und allen, die dies in Stücken lesen."
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
# What the proxy is known to do by itself, by check and dialect: how it shows, and what it is.
_WRONG_KEY = ("status 400, not 401", "without a database the proxy answers `No connected db.`")
_COUNTS = ("estimated True", "the last event of its stream says 0 of everything")
_THOUGHT = ("reasoning ''", "it leaves the reasoning out of Gemini's format")
_WRAPPED = ("500", "in Gemini's format it answers 500 where the model or the key is at fault")
KNOWN = {
    ("usage, streamed", "gemini_content"): _COUNTS,
    ("reasoning", "gemini_content"): _THOUGHT,
    ("reasoning, streamed", "gemini_content"): _THOUGHT,
    ("negotiated", "gemini_content"): _WRAPPED,
    ("negotiated, streamed", "gemini_content"): _WRAPPED,
    ("bad key", "gemini_content"): _WRAPPED,
    ("bad key, streamed", "gemini_content"): _WRAPPED,
    **{("wrong key", dialect): _WRONG_KEY for dialect in DIALECTS},
    **{("wrong key, streamed", dialect): _WRONG_KEY for dialect in DIALECTS},
}
START_SECONDS = 180.0

Check = Callable[[LLMProvider], Awaitable[None]]


def main() -> int:
    """Run the check; gives the process's exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "litellm", help="of the environment"
    )
    folder = parser.parse_args().folder
    proxy = installed(folder)
    with aimock(folder) as upstream, gateway(proxy, folder, upstream) as url:
        found = asyncio.run(compared(url))
    print(table(found))
    return told(found)


def installed(folder: Path) -> Path:
    """Give the proxy's program, installed into the folder unless this version is there."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    print(f"{LITELLM} in {folder}")
    run = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", LITELLM]
    subprocess.run(run, check=True)
    return folder / "bin" / "litellm"


@contextlib.contextmanager
def aimock(folder: Path) -> Iterator[str]:
    """Run aimock, which speaks OpenAI's format behind the proxy."""
    fixtures = folder / "fixtures.json"
    answers = json.loads(FIXTURES.read_text("utf-8"))["fixtures"]
    fixtures.write_text(json.dumps({"fixtures": [*answers, NO_SUCH_KEY]}), "utf-8")
    port = free_port()
    given = ["--port", str(port), "--fixtures", str(fixtures), "--strict"]
    with running(["node", str(AIMOCK), *given], folder / "aimock.log"):
        yield f"http://127.0.0.1:{port}/v1"


@contextlib.contextmanager
def gateway(proxy: Path, folder: Path, upstream: str) -> Iterator[str]:
    """Run the proxy until it says that it is alive."""
    asked = f"api_base: '{upstream}', api_key: sk-upstream"
    models = (
        f"{{model_name: {model}, litellm_params: {{model: openai/{model}, {asked}}}}}"
        for model in (MODEL, REASONING_MODEL)
    )
    config = folder / "config.yaml"
    config.write_text(
        f"model_list: [{', '.join(models)}]\n"
        f"general_settings: {{master_key: {MASTER_KEY}}}\n"
        "litellm_settings: {num_retries: 0}\n"
        "router_settings: {num_retries: 0, disable_cooldowns: true}\n"
    )
    port = free_port()
    log = folder / "proxy.log"
    command = [str(proxy), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with running(command, log) as process:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health/liveliness", process, log)
        yield url


@contextlib.contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server, and end it."""
    # Nothing of this shell's keys reaches it, and it looks nothing up elsewhere.
    environment = {"PATH": os.environ["PATH"], "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.3)
    raise SystemExit(f"the proxy did not start; its log is {log}")


def free_port() -> int:
    """Find a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def asking(url: str, dialect: str, key: str = MASTER_KEY) -> LLMProvider:
    """Make a connector that asks the proxy in one dialect, without retries."""
    return LLMProvider(
        LLMConfig(
            base_url=url + DIALECTS[dialect],
            model=MODEL,
            dialect=dialect,
            provider="litellm",
            api_key=key,
            retry=RetryPolicy(attempts=1),
        )
    )


async def ask(llm: LLMProvider, prompt: Any, *, streamed: bool, **options: Any) -> Any:
    """Ask plainly or as a stream; give the response."""
    if not streamed:
        return await llm.call(prompt, **options)
    stream = llm.stream(prompt, **options)
    texts = [text async for text in stream]
    same("the pieces", "".join(texts), stream.response.content)
    return stream.response


def same(what: str, found: Any, wanted: Any) -> None:
    """Refuse what is not as wanted."""
    if found != wanted:
        raise AssertionError(f"{what} {found!r}, not {wanted!r}")


def text(*, streamed: bool) -> Check:
    """Check the text and the reason for its end."""

    async def check(llm: LLMProvider) -> None:
        prompt = [{"role": "system", "content": "Be nice."}, "greet me"]
        response = await ask(llm, prompt, streamed=streamed)
        same("text", response.content, GREETING)
        same("finish", response.finish_reason, "stop")

    return check


def usage(*, streamed: bool) -> Check:
    """Check the counts."""

    async def check(llm: LLMProvider) -> None:
        response = await ask(llm, "greet me", streamed=streamed)
        same("estimated", response.metadata["usage_estimated"], False)
        same("usage", {name: response.usage[name] for name in USAGE}, USAGE)

    return check


def tools(*, streamed: bool) -> Check:
    """Check two parallel calls, and the answer to their results."""

    async def check(llm: LLMProvider) -> None:
        response = await ask(llm, "weather", streamed=streamed, tools=[WEATHER])
        calls = [(call.name, call.arguments) for call in response.tool_calls]
        same("calls", calls, [("get_weather", {"city": c}) for c in ("Köln", "Oslo")])
        same("finish", response.finish_reason, "tool_calls")
        results = [Message.tool_result(call, "rain") for call in response.tool_calls]
        prompt = ["weather", response.message, *results]
        answer = await ask(llm, prompt, streamed=streamed, tools=[WEATHER])
        same("answer", answer.content, "Rain in both.")

    return check


def cut_off(*, streamed: bool) -> Check:
    """Check that an answer at the limit says so."""

    async def check(llm: LLMProvider) -> None:
        response = await ask(llm, "cut off", streamed=streamed)
        same("finish", response.finish_reason, "length")

    return check


def reasoning(*, streamed: bool) -> Check:
    """Check that reasoning comes apart from the answer."""

    async def check(llm: LLMProvider) -> None:
        given = {"model": REASONING_MODEL, "temperature": None}
        response = await ask(llm, "think", streamed=streamed, **given)
        same("answer", response.content, "42")
        same("reasoning", response.reasoning, "Six times seven.")

    return check


def negotiated(*, streamed: bool) -> Check:
    """Check that a refused temperature is left out, and the answer comes."""

    async def check(llm: LLMProvider) -> None:
        response = await ask(llm, "greet me", streamed=streamed, model=REASONING_MODEL)
        same("text", response.content, GREETING)

    return check


def limited(*, streamed: bool) -> Check:
    """Check that a limit is told with its status and its words."""

    async def check(llm: LLMProvider) -> None:
        await refused(llm, "too many", 429, "Slow down, please", streamed=streamed)

    return check


def bad_key(*, streamed: bool) -> Check:
    """Check that a key that the provider behind the proxy refuses is told as one."""

    async def check(llm: LLMProvider) -> None:
        await refused(llm, "bad key", 401, "No such key", streamed=streamed)

    return check


def wrong_key(*, streamed: bool) -> Check:
    """Check that a key that the proxy does not know is told as one."""

    async def check(llm: LLMProvider) -> None:
        url = llm.config.base_url.removesuffix(DIALECTS[llm.config.dialect])
        wrong = asking(url, llm.config.dialect, "sk-wrong-key-0123456789")
        await refused(wrong, "greet me", 401, "litellm", streamed=streamed)

    return check


async def refused(llm: LLMProvider, prompt: str, status: int, words: str, **given: Any) -> None:
    """Ask what is refused, and check the failure."""
    try:
        await ask(llm, prompt, **given)
    except LLMStatusError as error:
        same("status", error.status, status)
        if words not in str(error):
            raise AssertionError(f"message {str(error)!r} without {words!r}") from None
    else:
        raise AssertionError("no error")


CHECKS = (text, usage, tools, cut_off, reasoning, negotiated, limited, bad_key, wrong_key)


async def compared(url: str) -> dict[tuple[str, str], str]:
    """Run every check in every dialect, plain and streamed; give what differed, or nothing."""
    found = {}
    for check in CHECKS:
        for streamed in (False, True):
            name = check.__name__.replace("_", " ") + (", streamed" if streamed else "")
            for dialect in DIALECTS:
                found[name, dialect] = await differing(check(streamed=streamed), url, dialect)
    return found


async def differing(check: Check, url: str, dialect: str) -> str:
    """Run one check; give in what it differs."""
    try:
        await check(asking(url, dialect))
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is a finding
        return f"{type(error).__name__}: {error}"
    return ""


def table(found: dict[tuple[str, str], str]) -> str:
    """Write what agreed, a line for each check and a column for each dialect."""
    rows = [
        (name, *(verdict(name, dialect, found) for dialect in DIALECTS))
        for name in dict.fromkeys(name for name, _ in found)
    ]
    lines = ("  ".join(f"{cell:<20}" for cell in row) for row in [("", *DIALECTS), *rows])
    return "\n".join(line.rstrip() for line in lines)


def known(name: str, dialect: str, difference: str) -> str:
    """Say why a check differs, where that is the proxy's own doing."""
    shows, reason = KNOWN.get((name, dialect), ("", ""))
    return reason if shows in difference else ""


def verdict(name: str, dialect: str, found: dict[tuple[str, str], str]) -> str:
    """Say in one word how a check came out."""
    difference = found[name, dialect]
    if not difference:
        return "agrees"
    return "known" if known(name, dialect, difference) else "DIFFERS"


def told(found: dict[tuple[str, str], str]) -> int:
    """Print each difference with its reason; gives the exit code."""
    unknown = 0
    for (name, dialect), difference in found.items():
        if difference:
            reason = known(name, dialect, difference)
            unknown += not reason
            print(f"\n{dialect}, {name}: {difference}\n    {reason or 'NOT KNOWN'}")
        elif (name, dialect) in KNOWN:
            print(f"\n{dialect}, {name}: agrees by now, and can leave `KNOWN`")
    agreed = sum(not difference for difference in found.values())
    print(f"\n{agreed} of {len(found)} agree, {unknown} differ for no known reason")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())

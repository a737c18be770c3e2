"""Connections in threads, loops, forked children and at the end; and on which HTTP library."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import httpx2
import pytest
from asking import asking, pieces_of
from loopback import HANG, Loopback, Script, failure, refused_url, reply, streamed

from llmport_magic import configure
from llmport_magic.errors import ConfigError, LLMError
from llmport_magic.llm import transport as transport_file
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.transport import LLMStatusError, Transport, library


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Say back what was asked; hang after one piece, or wait for a child, where that is asked."""
    child = threading.Event()

    def answer(request):
        asked = request.json["messages"][0]["content"]
        if asked == "child":
            child.set()
        if not request.json.get("stream"):
            return reply(asked)
        if asked == "hang":
            return streamed(asked, HANG)
        return streamed(asked, child, "end") if asked == "open" else streamed(asked, "end")

    with Loopback() as running:
        running.always(answer)
        yield running


_SCRIPTS = {
    "call": "print(llm.call_llm('hi'))",
    "loops": "for _ in range(2): print(asyncio.run(llm.call('hi')).content)",
    "stream": "print(asyncio.run(pieces_of(llm)))",
    "left": "pieces = bridge.iterate(aiter(llm.stream('hang'))); print(next(pieces))",
    "threads": (
        "threads = [threading.Thread(target=lambda: llm.call_llm('hi')) for _ in range(4)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()"
    ),
    "fork": (
        "print(llm.call_llm('before'), flush=True)\n"
        "stream = bridge.iterate(aiter(llm.stream('open')))\n"
        "print(next(stream), flush=True)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    print(llm.call_llm('child'), asyncio.run(pieces_of(llm)), flush=True)\n"
        "    sys.exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "print(list(stream), llm.call_llm('after'))"
    ),
}


def _run(name: str, server: Loopback) -> subprocess.CompletedProcess[str]:
    code = (
        "import asyncio, os, sys, threading\n"
        "from asking import pieces_of\n"
        "from llmport_magic import bridge\n"
        "from llmport_magic.llm import transport\n"
        "from llmport_magic.llm import LLMConfig, LLMProvider\n"
        # However busy the machine is when the process ends.
        "transport._EXIT_SECONDS = 60\n"
        f"llm = LLMProvider(LLMConfig({server.url!r}, 'm', timeout_ms=600_000))\n{_SCRIPTS[name]}"
    )
    options = ["-X", "dev", "-W", "error::ResourceWarning", "-c", code]
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize("name", [name for name in _SCRIPTS if name != "fork"])
def test_a_process_ends_without_a_word(server: Loopback, name: str) -> None:
    """Python's development mode finds nothing unclosed when the interpreter ends (S4-31)."""
    done = _run(name, server)

    # Development mode also tells of every step of a loop that took long on a busy machine.
    said = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert (done.returncode, said) == (0, [])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_calls_and_its_parent_goes_on(server: Loopback) -> None:
    """A child has connections of its own; the parent's stream and connections live on (S4-06)."""
    done = _run("fork", server)

    assert done.stdout.splitlines() == ["before", "open", "child ['q', 'end']", "['end'] after"]
    assert done.returncode == 0
    connection = {r.json["messages"][0]["content"]: r.connection for r in server.requests}
    assert connection["child"] not in (connection["before"], connection["open"])
    assert connection["after"] in (connection["before"], connection["open"])


def test_threads_get_their_own_answers(server: Loopback) -> None:
    """Twenty threads with loops of their own at once each get what they asked for (S4-06)."""
    llm = asking(server)
    got: dict[str, str] = {}

    def ask(text: str) -> None:
        got[text] = asyncio.run(llm.call(text)).content

    threads = [threading.Thread(target=ask, args=(f"q{n}",)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert got == {f"q{n}": f"q{n}" for n in range(20)}


async def test_a_connection_that_the_server_closed_is_not_used_again(server: Loopback) -> None:
    """A server that hangs up after each answer costs a connection, not an attempt (S4-31)."""
    body = reply("bye").steps[0]
    for _ in range(3):
        server.script(Script((body,), headers={"content-type": "application/json"}))
    llm = asking(server)

    answers = [await llm.call("q") for _ in range(3)]

    assert [answer.metadata["sends"] for answer in answers] == [1, 1, 1]
    assert server.accepts == 3


async def test_the_deadline_for_connecting_is_each_calls_own(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two connectors share the client, not the one's `connect_timeout` (S4-02)."""
    from llmport_magic.llm.wire import Limits

    seen: list[float] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"]["connect"])
        return httpx.Response(503)

    shared = Transport(httpx.MockTransport(handler))
    for seconds in (1.5, 2.5):
        config = LLMConfig(
            server.url, "m", limits=Limits(connect=seconds), retry=RetryPolicy(attempts=1)
        )
        with pytest.raises(LLMStatusError):
            await LLMProvider(config, transport=shared).call("q")

    assert seen == [1.5, 2.5]


# The HTTP library


@pytest.mark.parametrize(("name", "kind"), [("httpx", httpx), ("httpx2", httpx2), ("auto", httpx2)])
async def test_the_setting_chooses_the_library(server: Loopback, name: str, kind: object) -> None:
    """`transport` decides which library's client sends the requests; `auto` takes httpx2."""
    configure(transport=name)
    own = Transport()
    llm = LLMProvider(asking(server).config, transport=own)

    assert (await llm.call("hi")).content == "hi"
    assert await pieces_of(llm) == ["q", "end"]

    (clients,) = own._clients.values()
    assert {type(client._inner) for client in clients.values()} == {kind.AsyncClient}  # type: ignore[attr-defined]
    await llm.aclose()


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
async def test_errors_are_httpx_errors_on_either_library(server: Loopback, name: str) -> None:
    """Code that catches httpx's classes does not notice the library (S4-18, S4-19, S4-20)."""
    configure(transport=name)
    server.script(failure(401), Script(silent=True))

    with pytest.raises(httpx.HTTPStatusError) as status:
        await asking(server).call("q")
    with pytest.raises(httpx.TimeoutException):
        await asking(server, timeout_ms=200).call("q")
    with pytest.raises(httpx.ConnectError, match="nobody answers") as refused:
        await asking(server, base_url=refused_url()).call("q")

    assert status.value.response.status_code == 401
    assert isinstance(refused.value, LLMError)
    assert refused.value.attempts == 3


async def test_a_library_that_is_not_there_is_told(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without httpx2 the setting says what to install, and `auto` goes on with httpx."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    library.cache_clear()
    monkeypatch.setattr(transport_file, "_shared", Transport())
    try:
        configure(transport="httpx2")
        with pytest.raises(ConfigError, match=r"llmport-magic\[httpx2\]"):
            await asking(server).call("q")
        configure(transport="auto")
        assert (await asking(server).call("hi")).content == "hi"
        assert library("auto") is httpx
    finally:
        library.cache_clear()

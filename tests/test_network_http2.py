"""HTTP/2 with other machines, where it is safe; never with this one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import asking, pieces_of
from elsewhere import HOST, Authority, names_lead_here
from leaping import Leap
from loopback import HANG, Loopback, Script, failure, reply, streamed

from llmport_magic import configure
from llmport_magic.llm.transport import LLMStatusError, LLMTimeoutError


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that the environment trusts, and a name that leads here."""
    names_lead_here(monkeypatch, HOST)
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


@pytest.fixture
def server(authority: Authority) -> Iterator[Loopback]:
    """Speak https with both versions of HTTP."""
    with Loopback(authority.server(HOST), HOST) as running:
        running.always(lambda r: streamed("a", "b") if r.json.get("stream") else reply("hi"))
        yield running


async def test_whole_answers_share_a_connection(server: Loopback) -> None:
    """A hundred calls at once to another machine go over one connection, on HTTP/2."""
    llm = asking(server)
    await llm.call("q")

    answers = await asyncio.gather(*(llm.call("q") for _ in range(100)))

    assert {answer.content for answer in answers} == {"hi"}
    assert {request.version for request in server.requests} == {"HTTP/2"}
    assert server.accepts == 1


async def test_errors_come_over_http2_as_well(server: Loopback) -> None:
    """A status, its words and its headers are read alike on either version (S4-18)."""
    server.script(failure(429, "slow down", headers={"retry-after": "99"}))

    with pytest.raises(LLMStatusError, match="slow down") as caught:
        await asking(server).call("q")

    assert caught.value.retry_after == 99.0
    assert server.requests[0].version == "HTTP/2"


async def test_a_stream_can_be_hung_up_on(server: Loopback) -> None:
    """Streams keep to HTTP/1.1: leaving one closes its connection, and no other (S4-12)."""
    server.script(streamed("a", HANG))
    llm = asking(server)

    async for _ in llm.stream("q"):
        break

    assert server.requests[0].version == "HTTP/1.1"
    assert await asyncio.to_thread(server.requests[0].closed.wait, 60)
    assert await pieces_of(llm) == ["a", "b"]


async def test_a_server_of_the_first_version_is_asked_in_it(authority: Authority) -> None:
    """What the server speaks is agreed with it: one without HTTP/2 is no trouble."""
    with Loopback(authority.server(HOST, alpn=("http/1.1",)), HOST) as server:
        server.always(reply("hi"))

        assert (await asking(server).call("q")).content == "hi"
        assert server.requests[0].version == "HTTP/1.1"


async def test_http2_can_be_turned_off(server: Loopback) -> None:
    """The setting `http2` leaves everything on HTTP/1.1."""
    configure(http2=False)

    await asking(server).call("q")

    assert server.requests[0].version == "HTTP/1.1"


async def test_this_machine_is_never_asked_over_http2(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local server that offers HTTP/2 is asked over HTTP/1.1, and never by a proxy (S4-20)."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with Loopback(authority.server("localhost"), "localhost") as server:
        server.always(reply("hi"))

        assert (await asking(server).call("q")).content == "hi"
        assert server.requests[0].version == "HTTP/1.1"


async def test_trouble_on_http2_is_retried(server: Loopback) -> None:
    """A 503 that comes over HTTP/2 is sent again like any other (S3-07)."""
    server.script(failure(503), reply("again"))

    assert (await asking(server).call("q")).content == "again"
    assert [request.version for request in server.requests] == ["HTTP/2"] * 2


@pytest.mark.parametrize("begun", [False, True])
async def test_a_call_that_is_left_ends_its_connection(server: Loopback, begun: bool) -> None:
    """A cancelled call hangs up although HTTP/2 shares connections: the provider stops (S2-23)."""
    server.script(Script((3_600,), silent=not begun))
    llm = asking(server)
    call = asyncio.ensure_future(llm.call("q"))
    await asyncio.to_thread(server.wait_for_requests, 1)
    # Time for the head of the answer, where there is one.
    await asyncio.sleep(0.05)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call

    assert await asyncio.to_thread(server.requests[0].closed.wait, 60)
    assert (await llm.call("q")).content == "hi"
    assert [request.connection for request in server.requests] == [1, 2]


async def test_the_others_on_a_connection_are_not_cut_off(server: Loopback, leap: Leap) -> None:
    """Who is left takes nobody along: the others get their answers, then the connection ends."""
    go, slow = threading.Event(), reply("slow")
    server.script(reply("first"), Script((3_600,)), Script((go, *slow.steps), 200, slow.headers))
    llm = asking(server)
    await llm.call("q")
    left = asyncio.ensure_future(llm.call("q", timeout_ms=300_000))
    await asyncio.to_thread(server.wait_for_requests, 2)
    other = asyncio.ensure_future(llm.call("q"))
    await asyncio.to_thread(server.wait_for_requests, 3)
    leap(301)

    with pytest.raises(LLMTimeoutError):
        await left
    assert (await llm.call("q")).content == "hi"
    assert not server.requests[1].closed.is_set()
    go.set()
    assert (await other).content == "slow"

    assert [request.connection for request in server.requests] == [1, 1, 1, 2]
    assert await asyncio.to_thread(server.requests[1].closed.wait, 60)


async def test_many_that_are_left_do_not_block_the_next(server: Loopback) -> None:
    """A batch that was cancelled can be asked again at once (S4-33)."""
    server.script(*[Script(silent=True)] * 120)
    llm = asking(server)
    batch = [asyncio.ensure_future(llm.call("q")) for _ in range(120)]
    await asyncio.to_thread(server.wait_for_requests, 90)
    for call in batch:
        call.cancel()
    await asyncio.gather(*batch, return_exceptions=True)
    server.always(reply("hi"))
    server._scripts.clear()

    answers = await asyncio.gather(*(llm.call("q") for _ in range(50)))

    assert {answer.content for answer in answers} == {"hi"}

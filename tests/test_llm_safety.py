"""Where requests may go, and where a key may not be seen."""

from __future__ import annotations

import asyncio
import logging
import pickle
import sys
import traceback

import httpx
import pytest
from loopback import Loopback, Script, events, failure, reply
from loopback import event as content

from llmport_magic import errors
from llmport_magic.errors import ConfigError, LLMError
from llmport_magic.llm.addresses import check_address, endpoint, is_loopback
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.transport import LLMStatusError, LLMTimeoutError, Transport

KEY = "planted-key-0123456789abcdef"


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "https://169.254.169.254/",
        "https://[fe80::1]/v1",
        "https://metadata.google.internal/",
        "http://[::ffff:169.254.169.254]/",
        "file:///etc/passwd",
        "ftp://host/",
        "gopher://localhost/",
        "http://user:pw@localhost/v1",
        "https://user:pw@api.example/v1",
        "https://token@api.example/v1",
        "http://api.example/v1",
        "http://192.168.1.2:8000/v1",
        "http://10.0.0.1/v1",
        "http://0.0.0.0:8000/v1",
        "http://localhost.example/v1",
        "http://127.0.0.1.example/v1",
        "//localhost/v1",
        "localhost:8000/v1",
        "http://",
        "http://[::1",
        "http://localhost:port/v1",
        "",
    ],
)
async def test_nothing_is_sent_to_such_an_address(url: str) -> None:
    """An address that no model answers at, or that would be in clear, is refused before sending."""
    sent: list[httpx.Request] = []
    transport = Transport(httpx.MockTransport(lambda r: sent.append(r) or httpx.Response(200)))
    llm = LLMProvider(LLMConfig(url, "m", api_key=KEY), transport=transport)

    with pytest.raises(ConfigError) as caught:
        await llm.call("q")

    assert sent == []
    assert "pw" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("https://api.example/v1", "https://api.example/v1/chat/completions"),
        ("https://api.example/v1/", "https://api.example/v1/chat/completions"),
        ("https://api.example", "https://api.example/v1/chat/completions"),
        ("https://api.example/", "https://api.example/v1/chat/completions"),
        ("https://api.example/openai/v1?v=1", "https://api.example/openai/v1/chat/completions?v=1"),
        ("https://a.example/v1/chat/completions", "https://a.example/v1/chat/completions"),
        ("http://localhost:8000/v1#x", "http://localhost:8000/v1/chat/completions"),
        ("http://[::1]:1/v1", "http://[::1]:1/v1/chat/completions"),
        (" http://127.0.0.5/api ", "http://127.0.0.5/api/chat/completions"),
    ],
)
def test_the_endpoint_is_joined(base: str, expected: str) -> None:
    """A base URL with or without /v1, a slash, a query or the endpoint itself works (S4-01)."""
    assert endpoint(base, "chat/completions") == expected


def test_this_machine_is_recognised() -> None:
    """Every spelling of this machine counts as it, nothing else does."""
    assert all(map(is_loopback, ["localhost", "LOCALHOST.", "a.localhost", "127.9.9.9", "::1"]))
    assert is_loopback("::ffff:127.0.0.1")
    assert not any(map(is_loopback, ["example.com", "0.0.0.0", "10.0.0.1", "", "localhost.de"]))
    assert check_address("https://example.com/v1").hostname == "example.com"


def _everything(error: BaseException) -> str:
    """Write an error as the most talkative traceback would, with every local of every frame."""
    seen: list[str] = []
    todo: list[BaseException] = [error]
    while todo:
        one = todo.pop()
        seen.append("".join(traceback.format_exception(one)) + repr(vars(one)))
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if "/tests/" not in frame.f_code.co_filename:
                seen += [_shown(value) for value in frame.f_locals.values()]
        todo += [e for e in (one.__cause__, one.__context__) if e is not None]
    return "\n".join(seen)


def _shown(value: object) -> str:
    parts = [repr(value)]
    if hasattr(value, "headers"):
        parts.append(repr(list(value.headers.items())))
    if hasattr(value, "__dict__"):
        parts += [repr(part) for part in vars(value).values()]
    return " ".join(parts)


async def test_a_key_is_in_no_error(server: Loopback) -> None:
    """No error, no cause, no local of its frames holds the key, however it was echoed (S1-07)."""
    config = LLMConfig(server.url, "m", api_key=KEY, retry=RetryPolicy(attempts=1))
    llm = LLMProvider(config)
    echo = f"bad key {KEY}, in base64 cGxhbnRlZC1rZXktMDEyMzQ1Njc4OWFiY2RlZg=="
    server.script(
        failure(401, echo, headers={"x-request-id": KEY}),
        failure(500, echo),
        Script(silent=True),
        events(content("a"), Script),
    )

    for limit in (60_000, 60_000, 300):
        with pytest.raises(LLMError) as caught:
            await llm.call("q", timeout_ms=limit)
        assert KEY not in _everything(caught.value)
        assert "cGxhbnRlZC1rZXktMDEy" not in _everything(caught.value)
    gone = LLMProvider(LLMConfig("http://127.0.0.1:9/v1", "m", api_key=KEY, retry=config.retry))
    with pytest.raises(LLMError) as caught:
        await gone.call("q")
    assert KEY not in _everything(caught.value)
    assert caught.value.__context__ is None


async def test_a_key_is_in_no_cancelled_frame(server: Loopback) -> None:
    """A cancelled call leaves no frame of the HTTP library behind, where the key is (S1-07)."""
    server.script(Script(silent=True))
    llm = LLMProvider(LLMConfig(server.url, "m", api_key=KEY))
    call = asyncio.ensure_future(llm.call("q"))
    await asyncio.to_thread(server.wait_for_requests, 1)
    call.cancel()

    with pytest.raises(asyncio.CancelledError) as caught:
        await call

    assert KEY not in _everything(caught.value)


async def test_a_key_is_in_no_log(server: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    """The most talkative logs of every library hold neither key nor prompt (S1-07)."""
    server.script(reply())
    llm = LLMProvider(LLMConfig(server.url, "m", api_key=KEY))

    with caplog.at_level(logging.DEBUG):
        await llm.call("a very private prompt")

    assert caplog.records
    assert KEY not in caplog.text
    assert "private" not in caplog.text


@pytest.mark.parametrize("key", ["with\nnewline-0123456789", "ümlaut-0123456789abc"])
async def test_a_mangled_key_is_told_without_showing_it(server: Loopback, key: str) -> None:
    """A key that cannot stand in a header is an error that does not quote it (S1-05)."""
    llm = LLMProvider(LLMConfig(server.url, "m", api_key=key))

    with pytest.raises(ConfigError, match="copy it again") as caught:
        await llm.call("q")

    assert key not in _everything(caught.value)
    assert server.requests == []


async def test_errors_travel(server: Loopback) -> None:
    """The errors of the wire can be pickled, and are the same on the other side (S4-18)."""
    server.script(failure(429, "slow down", headers={"retry-after": "99", "x-request-id": "r1"}))
    server.script(Script(silent=True))
    llm = LLMProvider(LLMConfig(server.url, "m", api_key=KEY))

    with pytest.raises(LLMStatusError) as caught:
        await llm.call("q")
    with pytest.raises(LLMTimeoutError) as late:
        await llm.call("q", timeout_ms=300)

    data = pickle.dumps(caught.value)
    copy = pickle.loads(data)
    assert KEY.encode() not in data
    assert type(copy) is LLMStatusError
    assert str(copy) == str(caught.value)
    assert (copy.status, copy.retry_after, copy.request_id) == (429, 99.0, "r1")
    assert copy.response.status_code == 429
    assert copy.response.text == caught.value.response.text
    assert "authorization" not in copy.request.headers
    assert copy.request.content == b""
    assert str(pickle.loads(pickle.dumps(late.value))) == str(late.value)


def test_the_errors_are_reached_from_everywhere_and_load_late() -> None:
    """The HTTP errors are in the error tree without its import costing the HTTP library (X-01)."""
    import subprocess

    code = (
        "import sys; import llmport_magic.errors, llmport_magic.llm, llmport_magic.llm.registry;"
        "print('httpx' in sys.modules, 'msgspec' in sys.modules);"
        "from llmport_magic.errors import LLMStatusError; print('httpx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False", "True"]
    assert errors.LLMStatusError is LLMStatusError
    assert issubclass(LLMStatusError, LLMError)
    assert issubclass(LLMStatusError, httpx.HTTPStatusError)
    with pytest.raises(AttributeError):
        _ = errors.LLMStatusErrror


async def test_local_traffic_takes_no_proxy(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes to this machine never goes through a proxy; what goes elsewhere does (S4-20)."""
    with Loopback() as proxy:
        proxy.always(failure(407, "who are you"))
        address = proxy.url.removesuffix("/v1")
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, address)
        server.script(reply("hi"))
        transport = Transport()
        here = LLMProvider(LLMConfig(server.url, "m"), transport=transport)
        config = LLMConfig("https://api.example/v1", "m", retry=RetryPolicy(attempts=1))
        there = LLMProvider(config, transport=transport)

        assert (await here.call("q")).content == "hi"
        with pytest.raises(LLMError, match="proxy"):
            await there.call("q")
        await here.aclose()

        assert [request.method for request in proxy.requests] == ["CONNECT"]


async def test_only_the_header_builder_reveals_a_key() -> None:
    """A key is taken out of its Secret in the transport only (S0-35)."""
    from pathlib import Path

    import llmport_magic

    package = Path(llmport_magic.__file__).parent
    users = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if ".reveal()" in path.read_text(encoding="utf-8")
    ]
    importers = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "import httpx" in path.read_text(encoding="utf-8")
    ]

    assert sorted(users) == ["llm/transport.py", "secrets.py"]
    assert importers == ["llm/transport.py"]

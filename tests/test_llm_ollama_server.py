"""Ollama, as its server is asked: what goes over the wire and what comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from asking import KEY, asking
from awaiting import PATIENCE
from loopback import Loopback, Script, raw, refused_url

from llmport_magic import bridge
from llmport_magic.errors import ConfigError, LLMError, LLMStreamError, UsageError
from llmport_magic.llm import Image, LLMProvider, Message, embedded, selection
from llmport_magic.llm.addresses import endpoint, server_url
from llmport_magic.llm.capabilities import Provider
from llmport_magic.llm.registry import (
    choose_provider,
    close_connectors,
    connector_for,
    default_registry,
    provider_rows,
    register_provider,
)
from llmport_magic.llm.sse import JSONLines
from llmport_magic.llm.transport import LLMConnectionError, LLMStatusError
from llmport_magic.settings import resolve

MODEL = "llama3:8b-instruct-q5_K_M"
TEXTS = ("Schöne", " \u2028Grüße\u0085", " 東京 🗼", " \r\n", '"}{\\')
TAGS = {"models": [{"name": "nomic", "capabilities": ["embedding"]}, {"name": MODEL}]}


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Serve what the test scripts."""
    with Loopback() as running:
        running.url = running.url.removesuffix("/v1")
        yield running


def _ollama(server: Loopback, **fields_: Any) -> LLMProvider:
    given = {"provider": "ollama", "dialect": "ollama_chat", "model": MODEL, **fields_}
    return asking(server, **given)


def _message(content: str = "", **fields_: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **fields_}
    return {"model": MODEL, "created_at": "2026-11-21T00:00:00Z", "message": message}


def _done(content: str = "", **fields_: Any) -> dict[str, Any]:
    counts = {"prompt_eval_count": 7, "eval_count": 3}
    return {**_message(content), "done": True, "done_reason": "stop", **counts, **fields_}


def _lines(*objects: Any) -> bytes:
    return b"".join(json.dumps(o, ensure_ascii=False).encode() + b"\n" for o in objects)


def _stream(*steps: Any) -> Script:
    return Script(steps, 200, {"content-type": "application/x-ndjson"}, chunked=True)


def _answer() -> bytes:
    return _lines(*({**_message(text), "done": False} for text in TEXTS), _done())


async def test_a_whole_answer(server: Loopback) -> None:
    """One reply is read, with exact counts, and nothing but the request is sent (S2-05, S4-13)."""
    server.script(raw(json.dumps(_done("hello"))))

    response = await _ollama(server, temperature=None, max_tokens=None).call("q")

    assert (response.content, response.finish_reason, response.model) == ("hello", "stop", MODEL)
    assert response.usage == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert response.metadata["usage_estimated"] is False
    assert server.requests[0].path == "/api/chat"
    assert "authorization" not in server.requests[0].headers
    assert server.requests[0].json == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "q"}],
        "stream": False,
    }


async def test_a_hosted_server_gets_its_key(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key that stands beside the server's address is sent as a bearer token."""
    monkeypatch.setenv("OLLAMA_API_KEY", KEY)
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    server.script(raw(json.dumps(_done("hello"))))

    await LLMProvider.from_name("ollama", model="m").complete("q")

    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("base", ["", "/", "/api", "/api/", "/v1", "/v1/", "/api/chat"])
def test_every_base_url_that_people_copy_leads_to_the_chat(base: str) -> None:
    """The root, the API's and that of the OpenAI format are all the same server (S4-01)."""
    root = "http://localhost:11434"

    assert endpoint(root + base, "api/chat", "") == f"{root}/api/chat"


def test_a_prefix_of_a_proxy_is_kept() -> None:
    """What stands before the API's path stays there (S4-01)."""
    assert endpoint("https://h.example/ai/api", "api/tags", "") == "https://h.example/ai/api/tags"
    assert endpoint("https://h.example/ai", "api/tags", "") == "https://h.example/ai/api/tags"


async def test_a_stream_is_exact_for_every_split_of_its_bytes(server: Loopback) -> None:
    """No split of the bytes, inside a character or at a separator, changes the text (S4-12)."""
    body = _answer()
    for at in range(1, len(body)):
        decoder = JSONLines(1_000_000)
        events = [*decoder.feed(body[:at]), *decoder.feed(body[at:]), *decoder.flush()]
        assert [event.data + b"\n" for event in events] == body.splitlines(keepends=True)
    server.script(_stream(*(body[n : n + 1] for n in range(len(body)))))

    stream = _ollama(server).stream("q")

    assert [text async for text in stream] == list(TEXTS)
    assert stream.response.usage["total_tokens"] == 10
    assert server.requests[0].json["stream"] is True
    assert server.requests[0].headers["accept"] == "application/x-ndjson"


async def test_odd_lines_are_read(server: Loopback) -> None:
    """Blank lines, CRLF, a CR between tokens and a last line without its end are all fine."""
    first = b'{"message":\r{"content":"a"},\r"done":false}\r\n'
    server.script(_stream(b"\n\r\n  \n", first, b"\n", _lines(_done("b")).rstrip()))

    assert [text async for text in _ollama(server).stream("q")] == ["a", "b"]


async def test_a_stream_that_comes_as_one_object(server: Loopback) -> None:
    """A server that answers a stream with one JSON object is read, too."""
    server.script(raw(json.dumps(_done("whole"))))

    assert [text async for text in _ollama(server).stream("q")] == ["whole"]


async def test_reasoning_is_kept_apart_and_goes_back(server: Loopback) -> None:
    """What a model thinks is not its answer, and is sent back with the next request (S4-12)."""
    server.script(
        _stream(
            _lines({**_message(thinking="so "), "done": False}),
            _lines({**_message(thinking="what"), "done": False}, _done("42")),
        ),
        raw(json.dumps(_done("ok"))),
    )
    llm = _ollama(server)
    stream = llm.stream("q", options={"think": True})
    assert [text async for text in stream] == ["42"]
    assert stream.response.reasoning == "so what"

    await llm.call([Message("user", "q"), stream.response.message, Message("user", "more")])

    assert server.requests[0].json["think"] is True
    assert server.requests[1].json["messages"][1]["thinking"] == "so what"


async def test_tools_make_a_round(server: Loopback) -> None:
    """A streamed call is named as the user named it, and its result answers it (S4-14)."""
    function = {"name": "web_search", "arguments": {"q": "x"}}
    server.script(
        _stream(_lines({**_message(tool_calls=[{"function": function}]), "done": False}, _done())),
        raw(json.dumps(_done("found"))),
    )
    llm = _ollama(server)
    stream = llm.stream("q", tools=[{"name": "web:search"}])
    assert [text async for text in stream] == []
    (call,) = stream.response.tool_calls
    assert (call.name, call.arguments, call.id) == ("web:search", {"q": "x"}, "call_0")
    assert stream.response.finish_reason == "tool_calls"
    assert stream.response.metadata["raw_finish_reason"] == "stop"

    await llm.call([Message("user", "q"), stream.response.message, Message.tool_result(call, [1])])

    asked, result = server.requests[1].json["messages"][1:]
    assert asked["tool_calls"][0]["function"]["arguments"] == {"q": "x"}
    assert (result["tool_name"], result["content"]) == ("web_search", "[1]")


async def test_a_count_that_is_missing_is_estimated(server: Loopback) -> None:
    """A cached prompt has no count: that one is an estimate and says so (S4-09)."""
    server.script(raw(json.dumps(_done("hello", prompt_eval_count=None))))

    response = await _ollama(server).call("one two three")

    assert response.usage["completion_tokens"] == 3
    assert response.usage["prompt_tokens"] > 0
    assert response.metadata["usage_estimated"] is True


# What goes wrong


async def test_nobody_there() -> None:
    """A refused connection asks if the server runs, and names its address (S2-05)."""
    url = refused_url().removesuffix("/v1")
    llm = LLMProvider.from_name("ollama", base_url=url, model="m", attempts=1)

    with pytest.raises(LLMConnectionError) as caught:
        await llm.complete("q")

    assert "is `ollama serve` running?" in str(caught.value)
    assert url in str(caught.value)


@pytest.mark.parametrize(
    "said", [f"model '{MODEL}' not found", f'model "{MODEL}" not found, try pulling it first']
)
async def test_a_missing_model_is_not_pulled(server: Loopback, said: str) -> None:
    """A model that is not there is named with the command that gets it; one request (S2-05)."""
    server.always(raw(json.dumps({"error": said}), status=404))

    with pytest.raises(LLMStatusError, match=f"run `ollama pull {MODEL}`") as caught:
        await _ollama(server).call("q")

    assert caught.value.status == 404
    assert [request.path for request in server.requests] == ["/api/chat"]


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_an_error_with_any_status(server: Loopback, status: int) -> None:
    """An error object is a failure whatever the status says, in Ollama's words (S2-05)."""
    server.always(raw('{"error": "the model failed to generate a response"}', status=status))

    with pytest.raises(LLMError, match="the model failed to generate"):
        await _ollama(server).call("q")
    with pytest.raises(LLMError, match="the model failed to generate"):
        [text async for text in _ollama(server).stream("q")]


async def test_an_error_in_the_middle_of_a_stream(server: Loopback) -> None:
    """A line with an error ends the stream; what came before is kept (S2-05)."""
    line = {"error": "an error was encountered while running the model"}
    server.script(_stream(_lines({**_message("half"), "done": False}, line)))
    texts = aiter(_ollama(server).stream("q"))

    assert await anext(texts) == "half"
    with pytest.raises(LLMStreamError, match="while running the model") as caught:
        await anext(texts)
    assert caught.value.partial == "half"
    assert len(server.requests) == 1


async def test_an_empty_success(server: Loopback) -> None:
    """A 200 with nothing in it is a failure that says so, whole and streamed (S2-05)."""
    server.script(raw(b""), _stream())

    with pytest.raises(LLMStreamError, match="empty answer"):
        await _ollama(server).call("q")
    with pytest.raises(LLMStreamError, match="empty answer"):
        [text async for text in _ollama(server).stream("q")]


async def test_a_stream_without_its_end_is_broken_off(server: Loopback) -> None:
    """Without the line that is done, an answer is not whole."""
    server.script(_stream(_lines({**_message("half"), "done": False})))

    with pytest.raises(LLMStreamError, match="broke off"):
        [text async for text in _ollama(server).stream("q")]


async def test_thinking_is_negotiated_once(server: Loopback) -> None:
    """A model that cannot think is asked again without it, and from then on (S4-07)."""
    refusal = raw('{"error": "\\"m\\" does not support thinking"}', status=400)
    server.script(refusal, *(raw(json.dumps(_done("ok"))) for _ in range(2)))
    llm = _ollama(server, model="cannot-think")

    for _ in range(2):
        response = await llm.call("q", options={"think": True})

    assert response.content == "ok"
    assert ["think" in request.json for request in server.requests] == [True, False, False]


async def test_a_pictures_address_never_leaves(server: Loopback) -> None:
    """A picture that Ollama cannot take is refused before anything is sent."""
    picture = Message("user", "?", images=(Image(url="https://x.example/a.png"),))

    with pytest.raises(UsageError, match="does not fetch pictures"):
        await _ollama(server).call([picture])

    assert server.requests == []


# Found by itself


@pytest.fixture
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(embedded, "installed", lambda *_: False)
    monkeypatch.setattr(selection, "_PROBE_SECONDS", PATIENCE)
    default_registry.cache_clear()
    selection._probed.clear()
    yield
    bridge.run(close_connectors())
    default_registry.cache_clear()


def _move(name: str, url: str) -> None:
    row = default_registry().provider(name)
    values = {f.name: getattr(row, f.name) for f in fields(Provider)} | {"base_url": url}
    register_provider(Provider(**values), replace=True)


@pytest.mark.usefixtures("_own_registry")
def test_auto_finds_a_running_ollama(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key Ollama is found by asking it, and asked for the model that it has."""
    # Once, although a busy machine takes longer than what was found counts.
    monkeypatch.setattr(selection, "_PROBE_LASTS_SECONDS", 600.0)
    _move("local", refused_url())
    _move("ollama", server.url)
    server.script(raw(json.dumps(TAGS)), raw(json.dumps(TAGS)), raw(json.dumps(_done("hi"))))

    assert choose_provider(resolve()) == ("ollama", f"a server answers at {server.url}")
    llm = connector_for(resolve())

    assert llm.call_llm("q") == "hi"
    assert [request.path for request in server.requests] == ["/api/tags", "/api/tags", "/api/chat"]
    assert server.requests[-1].json["model"] == MODEL == llm.model_name_for_api


@pytest.mark.usefixtures("_own_registry")
def test_a_key_alone_is_no_running_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the hosted service does not say that a server runs on this machine."""
    monkeypatch.setenv("OLLAMA_API_KEY", KEY)
    _move("ollama", refused_url().removesuffix("/v1"))

    (row,) = (row for row in provider_rows() if row.name == "ollama")

    assert not row.available
    assert "ollama serve" in row.hint


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("0.0.0.0", "http://localhost:11434"),
        ("0.0.0.0:8080", "http://localhost:8080"),
        (":8080", "http://localhost:8080"),
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("http://0.0.0.0:8080", "http://localhost:8080"),
        ("https://ollama.example", "https://ollama.example"),
        ("https://ollama.example/ai", "https://ollama.example/ai"),
    ],
)
def test_the_variable_of_ollama_says_where(
    said: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `OLLAMA_HOST` may say is understood, and the address to listen at is this machine."""
    assert server_url(said, "http://localhost:11434", "ollama") == url
    monkeypatch.setenv("OLLAMA_HOST", said)

    llm = LLMProvider.from_name("ollama", model="m")

    assert isinstance(llm, LLMProvider)
    assert llm.config.base_url == url


@pytest.mark.usefixtures("_own_registry")
async def test_the_server_of_the_variable_is_asked(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server that `OLLAMA_HOST` names is looked for and asked; an argument is stronger."""
    monkeypatch.setenv("OLLAMA_HOST", server.url.removeprefix("http://"))
    server.always(raw(json.dumps({**TAGS, **_done("hi")})))

    (row,) = (row for row in provider_rows() if row.name == "ollama")
    assert row.hint == f"a server answers at {server.url}"
    assert (await LLMProvider.from_name("ollama").complete("q")).content == "hi"

    stronger = LLMProvider.from_name("ollama", base_url="http://localhost:1")
    assert isinstance(stronger, LLMProvider)
    assert stronger.config.base_url == "http://localhost:1"


@pytest.mark.usefixtures("_own_registry")
def test_another_machine_is_asked_only_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server elsewhere is not probed, and a variable that is none is told with its provider."""
    monkeypatch.setenv("OLLAMA_HOST", "http://gpu.example:11434")
    (row,) = (row for row in provider_rows() if row.name == "ollama")
    assert not row.available

    monkeypatch.setenv("OLLAMA_HOST", "localhost:port")
    with pytest.raises(ConfigError, match="`ollama`'s server"):
        LLMProvider.from_name("ollama")

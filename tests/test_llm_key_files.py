"""A key that lies in a file: how it is read, refused, and read again where it was changed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asking import KEY, pieces_of
from loopback import Loopback, Request, Script, failure, reply, streamed
from provider_mine import OTHER, key_file, keys_sent, only, registry_of

from llmport_magic import bridge, configure
from llmport_magic.errors import ConfigError, LLMError
from llmport_magic.llm import LLMProvider
from llmport_magic.llm.registry import connector_for, named_connector
from llmport_magic.settings import resolve

pytestmark = pytest.mark.usefixtures("own_registry")


# The key file


def test_a_key_file(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line that is not empty is the key; `~` is the home, and a file may come later."""
    server.always(reply("hi"))
    monkeypatch.setenv("HOME", str(tmp_path))
    configure(provider="mine", api_key_file="~/key")
    llm = named_connector("mine", registry=registry_of(server))
    with pytest.raises(ConfigError, match="there is no key file `~/key`"):
        llm.call_llm("q")

    key_file(tmp_path / "key", f"\ufeff\n  \n {KEY} \nsomething else\n")
    llm.call_llm("q")

    assert keys_sent(server) == [KEY]


def _pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: key_file(path, "\n \n"), "is empty"),
        (lambda path: key_file(path, f"OPENAI_API_KEY={KEY}\n"), "must hold the key alone"),
        (lambda path: key_file(path, "two words\n"), "must hold the key alone"),
        (lambda path: key_file(path, "schlüssel-0123456789\n"), "must hold the key alone"),
        (lambda path: key_file(path).chmod(0o644), r"open to other users.*`chmod 600 "),
        (lambda path: key_file(path).chmod(0o640), r"open to other users.*`chmod 600 "),
        (lambda path: path.mkdir(0o700), "is no plain file"),
        (_pipe, "is no plain file"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00k") and path.chmod(0o600), "hold the key"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="the modes of POSIX")
def test_key_files_that_are_refused(
    server: Loopback, tmp_path: Path, make: Callable[[Path], Any], told: str
) -> None:
    """A file that is open to others or holds no key is refused, and never shown (S1-07)."""
    path = tmp_path / "key"
    make(path)
    registry = registry_of(server)

    with pytest.raises(ConfigError, match=told) as at:
        connector_for(resolve(provider="mine", api_key_file=str(path)), registry)

    assert str(path) in str(at.value)
    assert KEY not in str(at.value)
    assert server.requests == []


def test_a_key_file_is_for_somebody(tmp_path: Path) -> None:
    """A key file without a provider is given to nobody (S0-12)."""
    with pytest.raises(ConfigError, match=r"`api_key_file` is set by argument.*`provider`"):
        connector_for(resolve(api_key_file=str(key_file(tmp_path / "key"))))


# A key that is changed while it is in use


def _rotating(path: Path, script: Script, status: int = 401) -> Callable[[Request], Script]:
    """Answer as a provider whose key is changed while the first request is on its way."""

    def answer(request: Request) -> Script:
        key_file(path, f"{OTHER}\n")
        return only(OTHER, script, status)(request)

    return answer


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_file_is_read_again(server: Loopback, tmp_path: Path, status: int) -> None:
    """Where the key is refused and the file has another, the request is sent once more (S1-26)."""
    path = key_file(tmp_path / "key")
    server.always(_rotating(path, reply("hi"), status))
    llm = named_connector("mine", registry=registry_of(server), api_key_file=str(path))

    response = bridge.run(llm.complete("q"))

    assert response.content == "hi"
    assert response.metadata["key_renewed"] is True
    assert keys_sent(server) == [KEY, OTHER]
    llm.call_llm("q")
    assert keys_sent(server)[2:] == [OTHER]


def test_a_key_file_is_read_again_for_streams_and_lists(server: Loopback, tmp_path: Path) -> None:
    """A stream and a list of models get the newer key, too (S1-26)."""
    path = key_file(tmp_path / "key")
    llm = named_connector("mine", registry=registry_of(server), api_key_file=str(path))
    assert isinstance(llm, LLMProvider)

    server.always(_rotating(path, streamed("h", "i")))
    assert "".join(asyncio.run(pieces_of(llm))) == "hi"
    key_file(path)
    listed = Script((b'{"data": [{"id": "m"}]}',), 200, {"content-type": "application/json"})
    server.always(_rotating(path, listed))
    assert bridge.run(llm.models()) == ("m",)

    assert keys_sent(server) == [KEY, OTHER, KEY, OTHER]


def test_a_key_that_stays_wrong_is_not_sent_again(server: Loopback, tmp_path: Path) -> None:
    """The same key is not sent twice, a wrong new one only once; the error names the file."""
    path = key_file(tmp_path / "key")
    llm = named_connector("mine", registry=registry_of(server), api_key_file=str(path))
    server.always(failure(401, "no such key"))
    with pytest.raises(LLMError, match=f"check the key in `{path}`"):
        llm.call_llm("q")
    assert keys_sent(server) == [KEY]

    def another(_: Request) -> Script:
        key_file(path, f"key-number-{len(server.requests)}\n")
        return failure(401, "no such key")

    server.always(another)
    with pytest.raises(LLMError) as at:
        llm.call_llm("q")

    assert at.value.status == 401
    assert len(server.requests) == 3
    path.unlink()
    server.always(failure(401, "no such key"))


def test_a_key_of_the_call_is_the_only_one(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where somebody gave a key for this connector, no other is tried (S0-12)."""
    monkeypatch.setenv("MINE_KEY", OTHER)
    server.always(failure(401, "no such key"))
    llm = named_connector("mine", registry=registry_of(server), api_key=KEY)

    with pytest.raises(LLMError):
        llm.call_llm("q")

    assert keys_sent(server) == [KEY]

"""A key that the user types: who is asked for it, when, and when nobody is."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from asking import KEY
from awaiting import PATIENCE
from loopback import Loopback, reply, streamed
from provider_mine import keys_sent, registry_of

from llmport_magic import api, bridge, configure
from llmport_magic.errors import MissingKeyError
from llmport_magic.llm import create_llm_handler, register_provider
from llmport_magic.llm.registry import connector_for, default_registry
from llmport_magic.settings import resolve

pytestmark = pytest.mark.usefixtures("own_registry")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let a front end answer hidden prompts with a key; gives the questions."""
    questions: list[str] = []

    def answer(question: str) -> str:
        assert threading.current_thread() is threading.main_thread()
        assert not bridge.on_bridge()
        questions.append(question)
        return KEY

    monkeypatch.setattr(getpass, "getpass", answer)
    return questions


def test_a_key_is_asked_for_once(server: Loopback, typed: list[str]) -> None:
    """Where the setting is on, a missing key is asked for once, and kept in memory (S1-26)."""
    server.always(reply("hi"))
    registry = registry_of(server)
    with pytest.raises(MissingKeyError):
        connector_for(resolve(provider="mine"), registry)
    assert typed == []

    configure(ask_for_key=True)
    for _ in range(2):
        connector_for(resolve(provider="mine"), registry).call_llm("q")
    registry.initialize_provider("mine")

    assert typed == [f"Key for `mine` at {server.url}: "]
    assert keys_sent(server) == [KEY, KEY]
    registry.deinitialize_provider("mine")
    registry.initialize_provider("mine")
    assert len(typed) == 2


@pytest.mark.parametrize("answer", ["", "  ", EOFError, NotImplementedError])
def test_nothing_is_typed(server: Loopback, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """Who types nothing is not asked again, and gets the error that names a way (S1-26)."""
    asked: list[str] = []

    def no(question: str) -> str:
        asked.append(question)
        if isinstance(answer, type):
            raise answer
        return str(answer)

    monkeypatch.setattr(getpass, "getpass", no)
    registry = registry_of(server)
    for _ in range(2):
        with pytest.raises(MissingKeyError, match="`MINE_KEY`"):
            connector_for(resolve(provider="mine", ask_for_key=True), registry)

    assert len(asked) == 1


def test_nobody_is_asked_where_nobody_can_answer(
    server: Loopback, typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread and a process without a keyboard ask nobody (S1-26)."""
    registry, failures = registry_of(server), []
    settings = resolve(provider="mine", ask_for_key=True)

    def work() -> None:
        try:
            connector_for(settings, registry)
        except MissingKeyError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert (len(failures), typed) == (1, [])

    monkeypatch.undo()
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(MissingKeyError):
            connector_for(settings, registry)


def test_the_factory_asks_in_its_callers_thread(server: Loopback, typed: list[str]) -> None:
    """A handler that is made without a key asks for it where the user is (S1-26, S2-09)."""
    server.always(reply("hi"))
    register_provider("mine", base_url=server.url, api_key_vars=["MINE_KEY"])

    llm = asyncio.run(create_llm_handler("mine", "m", ask_for_key=True))

    assert llm.call_llm("q") == "hi"
    assert len(typed) == 1
    assert keys_sent(server) == [KEY]


def test_writing_a_module_asks(server: Loopback, typed: list[str], tmp_path: Path) -> None:
    """`llmport()` asks for the key before it asks the model, in the cell's own thread (S1-26)."""
    server.always(streamed("```python\n", "answer = 42\n", "```"))
    register_provider("mine", base_url=server.url, default_model="m", api_key_vars=["MINE_KEY"])

    module = api.llmport(
        "asked_for_key", "Set answer to 42.", provider="mine", ask_for_key=True,
        module_dir=str(tmp_path), sandbox_seconds=PATIENCE,
    )  # fmt: skip

    assert module.answer == 42
    assert len(typed) == 1
    assert set(keys_sent(server)) == {KEY}
    assert default_registry().is_provider_initialized("mine")

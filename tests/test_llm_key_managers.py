"""Keys of a credential manager: what is one, when it is asked, and what it may not give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from asking import KEY
from loopback import Loopback, reply
from provider_mine import keys_sent, registry_of

from llmport_magic import bridge
from llmport_magic.errors import ConfigError, MissingKeyError
from llmport_magic.llm import LLMRegistry
from llmport_magic.llm.registry import connector_for, named_connector
from llmport_magic.secrets import Secret
from llmport_magic.settings import resolve

pytestmark = pytest.mark.usefixtures("own_registry")


class _Vault:
    """An object as the seed's credential manager is one."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}

    def get_credential(self, name: str) -> str:
        """Give a key, or fail as dictionaries do."""
        return self.keys[name]

    def add_credential(self, name: str, key: str) -> None:
        """Take a key."""
        self.keys[name] = key


def _object(keys: Mapping[str, str]) -> Any:
    vault = _Vault()
    vault.keys.update(keys)
    return vault


@pytest.mark.parametrize("kind", [dict, lambda keys: keys.get, _object, lambda k: k.__getitem__])
def test_managers(server: Loopback, kind: Callable[[Any], Any]) -> None:
    """A mapping, a function and an object give keys; without one the error is as ever (S1-06)."""
    server.always(reply("hi"))
    registry = registry_of(server, kind({"mine": KEY}))

    connector_for(resolve(provider="mine"), registry).call_llm("q")

    assert keys_sent(server) == [KEY]
    with pytest.raises(MissingKeyError, match="`OPENAI_API_KEY`"):
        connector_for(resolve(provider="openai"), registry)


def test_a_manager_is_told_new_keys(server: Loopback) -> None:
    """An object that takes keys is handed those that are given, as plain text (S1-06)."""
    vault = _Vault()
    registry = registry_of(server, vault)

    registry.initialize_provider("mine", KEY)
    registry.deinitialize_provider("mine")

    assert vault.keys == {"mine": KEY}
    registry.initialize_provider("mine")
    assert registry.is_provider_initialized("mine")


def test_a_manager_may_be_filled_later(server: Loopback) -> None:
    """An empty mapping is a manager, too: what is put in counts with the next call (S1-26)."""
    server.always(reply("hi"))
    keys: dict[str, str] = {}
    registry = registry_of(server, keys)
    llm = named_connector("mine", registry=registry)
    with pytest.raises(MissingKeyError):
        llm.call_llm("q")

    keys["mine"] = KEY
    llm.call_llm("q")

    assert keys_sent(server) == [KEY]


async def _later(_: str) -> str:
    return KEY


def _fails(_: str) -> str:
    key = KEY
    raise RuntimeError(f"cannot unlock with {key}")


@pytest.mark.parametrize(
    ("manager", "told"),
    [
        (_later, "gave `coroutine`"),
        (lambda _: 7, "gave `int`"),
        (_fails, r"failed for `mine` \(RuntimeError\): cannot unlock with \*{8}: "),
    ],
)
def test_managers_that_fail(server: Loopback, manager: Any, told: str) -> None:
    """What a manager gives instead of a key is named, and no key with it (S1-06, S1-07)."""
    Secret(KEY)
    registry = registry_of(server, manager)

    with pytest.raises(ConfigError, match=told) as at:
        connector_for(resolve(provider="mine"), registry)

    assert KEY not in f"{at.value} {at.value.__cause__}"
    assert not registry.is_provider_initialized("mine")


def test_what_is_no_manager() -> None:
    """Anything else is refused at once (S1-06)."""
    with pytest.raises(ConfigError, match="`get_credential`, not `int`"):
        LLMRegistry.create_default(credential_manager=7)


def test_a_manager_is_asked_away_from_the_loop(server: Loopback) -> None:
    """A manager that takes its time holds up no other call: it is never on the loop (S1-06)."""
    server.always(reply("hi"))
    asked: list[bool] = []

    def slow(_: str) -> str:
        asked.append(bridge.on_bridge())
        return KEY

    llm = named_connector("mine", registry=registry_of(server, slow))
    llm.call_llm("q")

    assert asked == [False]
    assert keys_sent(server) == [KEY]

"""The places where a key is looked for: their order, when they are read, and the keyring."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import KEY
from loopback import Loopback, reply
from provider_mine import OTHER, key_file, keys_sent, only, registry_of

import llmport_magic
from llmport_magic import configure
from llmport_magic.errors import ConfigError, MissingKeyError
from llmport_magic.llm import LLMProvider
from llmport_magic.llm.registry import connector_for, named_connector
from llmport_magic.settings import resolve

THIRD = "a-third-key-00112233445566"

pytestmark = pytest.mark.usefixtures("own_registry")


# The order of the places


def test_the_order(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ring: dict[Any, str]
) -> None:
    """Each place is asked where all before it have nothing, in the documented order (S1-06)."""
    server.always(reply("hi"))
    keys = {"mine": "key-of-the-manager"}
    registry = registry_of(server, keys)
    file = key_file(tmp_path / "key", "key-of-the-file\n")
    ring["llmport_magic", "mine"] = "key-of-the-ring"
    configure(provider="mine", api_key_file=str(file), keyring=True)
    monkeypatch.setenv("LLMPORT_LLM__MINE__API_KEY", "key-of-our-variable")
    monkeypatch.setenv("MINE_KEY", "key-of-the-variable")
    registry.initialize_provider("mine", "key-that-was-given")

    def asked(**settings: Any) -> str:
        connector_for(resolve(**settings), registry).call_llm("q")
        return keys_sent(server)[-1]

    assert asked(api_key="key-of-the-argument") == "key-of-the-argument"
    assert asked() == "key-that-was-given"
    registry.deinitialize_provider("mine")
    assert asked() == "key-of-the-manager"
    keys.clear()
    assert asked() == "key-of-our-variable"
    monkeypatch.delenv("LLMPORT_LLM__MINE__API_KEY")
    assert asked() == "key-of-the-variable"
    monkeypatch.delenv("MINE_KEY")
    assert asked() == "key-of-the-file"
    configure(provider="mine", api_key_file="")
    llmport_magic.settings.reset_configuration()
    configure(provider="mine", keyring=True)
    assert asked() == "key-of-the-ring"
    ring.clear()
    registry.deinitialize_provider("mine")
    with pytest.raises(MissingKeyError, match="`MINE_KEY` or `MINE_OLD_KEY`"):
        asked()


def test_named_variables_stand_for_the_providers_own(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables named in the settings are the only ones, and are named where unset (S1-06)."""
    server.always(reply("hi"))
    registry = registry_of(server)
    monkeypatch.setenv("MINE_KEY", KEY)
    configure(provider="mine", api_key_env=["TEAM_KEY"])

    with pytest.raises(MissingKeyError, match="set `TEAM_KEY` in"):
        connector_for(resolve(), registry)
    monkeypatch.setenv("TEAM_KEY", OTHER)
    connector_for(resolve(), registry).call_llm("q")

    assert keys_sent(server) == [OTHER]


# Just in time


@pytest.mark.parametrize("made", ["once", "anew"])
def test_just_in_time(server: Loopback, monkeypatch: pytest.MonkeyPatch, made: str) -> None:
    """A key that comes later counts with the next call, and one that goes is missed (S1-26)."""
    server.always(reply("hi"))
    registry = registry_of(server)
    held = named_connector("mine", registry=registry)

    def ask() -> None:
        llm = held if made == "once" else connector_for(resolve(provider="mine"), registry)
        llm.call_llm("q")

    for key in (KEY, OTHER):
        monkeypatch.setenv("MINE_OLD_KEY", key)
        ask()
        monkeypatch.delenv("MINE_OLD_KEY")
        with pytest.raises(MissingKeyError, match="`MINE_KEY` or `MINE_OLD_KEY`") as at:
            ask()
        assert at.value.provider == "mine"

    assert keys_sent(server) == [KEY, OTHER]


def test_a_connector_that_is_kept_follows_its_registry(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One connector serves every key that its provider has in turn (S1-26)."""
    server.always(reply("hi"))
    registry = registry_of(server)
    monkeypatch.setenv("MINE_KEY", KEY)
    llm = connector_for(resolve(provider="mine"), registry)
    llm.call_llm("q")
    monkeypatch.setenv("MINE_KEY", OTHER)
    llm.call_llm("q")
    registry.initialize_provider("mine", THIRD)
    llm.call_llm("q")

    assert keys_sent(server) == [KEY, OTHER, THIRD]
    assert connector_for(resolve(provider="mine"), registry) is llm
    # Asking somebody through the registry is using it.
    assert registry.is_provider_initialized("mine")


def test_a_key_goes_to_its_own_address_only(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No place gives a key to an address that something stronger names (S0-12)."""
    server.always(reply("hi"))
    with Loopback() as elsewhere:
        elsewhere.always(reply("hi"))
        registry = registry_of(server, {"mine": KEY})
        monkeypatch.setenv("MINE_KEY", KEY)
        user = tmp_path / "home" / "config" / "llmport_magic" / "config.toml"
        user.parent.mkdir(parents=True)
        user.write_text(f'[llm.mine]\napi_key_file = "{key_file(tmp_path / "key")}"\n')
        configure(provider="mine", base_url=elsewhere.url)
        for keys in (registry, registry_of(server)):
            with pytest.raises(MissingKeyError, match="was set for"):
                connector_for(resolve(), keys)
        # A connector that was made for one address cannot be turned to another with its keys.
        llm = named_connector("mine", registry=registry, base_url=server.url)
        assert isinstance(llm, LLMProvider)
        from dataclasses import replace

        turned = replace(llm.config, base_url=elsewhere.url, api_key_vars=())
        with pytest.raises(MissingKeyError):
            LLMProvider(turned).call_llm("q")

        assert elsewhere.requests == []


# The keyring


@pytest.fixture
def ring() -> Iterator[dict[Any, str]]:
    """Put a keyring that is a dictionary in the place of the system's."""
    import keyring
    from keyring.backend import KeyringBackend

    held: dict[Any, str] = {}

    class Ring(KeyringBackend):
        priority = 1  # type: ignore[assignment] # as the package documents it

        def get_password(self, service: str, username: str) -> str | None:
            return held.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            held[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            del held[service, username]

    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    yield held
    keyring.set_keyring(before)


def test_the_keyring(server: Loopback, ring: dict[Any, str]) -> None:
    """The keyring is asked under our name where the setting is on, and not where it is off."""
    import keyring

    server.always(only(OTHER, reply("hi")))
    keyring.set_password("llmport_magic", "mine", KEY)
    registry = registry_of(server)
    with pytest.raises(MissingKeyError):
        connector_for(resolve(provider="mine"), registry)

    llm = connector_for(resolve(provider="mine", keyring=True), registry)
    ring["llmport_magic", "mine"] = OTHER
    llm.call_llm("q")

    # It is opened once, and again where the provider refuses what it gave.
    assert keys_sent(server) == [KEY, OTHER]


def test_the_keyrings_package_is_missing(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error has the line to run, also in lists (S1-06)."""
    found = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "keyring":
            raise ImportError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'llmport-magic\[keyring\]'"):
        connector_for(resolve(provider="mine", keyring=True), registry_of(server))


def test_a_keyring_that_does_not_open(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyring that is locked says what to do, and a list shows it instead of failing."""
    import keyring
    from keyring.errors import KeyringLocked

    def locked(*_: str) -> None:
        raise KeyringLocked("denied")

    monkeypatch.setattr(keyring, "get_password", locked)
    with pytest.raises(ConfigError, match=r"KeyringLocked: denied\): unlock it"):
        connector_for(resolve(provider="mine", keyring=True), registry_of(server))
    configure(keyring=True)
    rows = {row.name: row for row in llmport_magic.llm.registry.provider_rows()}
    assert "unlock it" in rows["openai"].hint
    assert not rows["openai"].available


def test_the_keyring_is_not_loaded_without_the_setting() -> None:
    """Making a registry and a connector loads no `keyring` (S1-06)."""
    import subprocess

    code = (
        "import sys\n"
        "from llmport_magic.llm.registry import LLMRegistry, connector_for\n"
        "from llmport_magic.settings import resolve\n"
        "registry = LLMRegistry.create_default()\n"
        "registry.initialize_provider('openai', 'k' * 20)\n"
        "connector_for(resolve(provider='openai'), registry)\n"
        "print('keyring' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

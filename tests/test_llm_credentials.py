"""Where a key comes from: given, a manager, the environment, a file, the keyring, the user."""

from __future__ import annotations

import asyncio
import builtins
import getpass
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from asking import KEY, pieces_of
from loopback import Loopback, Request, Script, failure, reply, streamed

import llmport_magic
from llmport_magic import api, bridge, configure
from llmport_magic.errors import ConfigError, LLMError, MissingKeyError
from llmport_magic.llm import LLMProvider, LLMRegistry, create_llm_handler, register_provider
from llmport_magic.llm.registry import connector_for, default_registry, named_connector
from llmport_magic.secrets import Secret
from llmport_magic.settings import resolve

OTHER = "another-key-fedcba9876543210"
THIRD = "a-third-key-00112233445566"

pytestmark = pytest.mark.usefixtures("own_registry")


def _registry(server: Loopback, manager: Any = None) -> LLMRegistry:
    """Make a registry with a provider `mine` that is the test's server and needs a key."""
    registry = LLMRegistry.create_default(credential_manager=manager)
    registry.register_provider(
        "mine", base_url=server.url, default_model="m", api_key_vars=["MINE_KEY", "MINE_OLD_KEY"]
    )
    return registry


def _sent(server: Loopback) -> list[str]:
    """Give the keys that the server was sent."""
    return [r.headers.get("authorization", "").removeprefix("Bearer ") for r in server.requests]


def _key_file(path: Path, text: str = f"{KEY}\n") -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


# Managers


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
    registry = _registry(server, kind({"mine": KEY}))

    connector_for(resolve(provider="mine"), registry).call_llm("q")

    assert _sent(server) == [KEY]
    with pytest.raises(MissingKeyError, match="`OPENAI_API_KEY`"):
        connector_for(resolve(provider="openai"), registry)


def test_a_manager_is_told_new_keys(server: Loopback) -> None:
    """An object that takes keys is handed those that are given, as plain text (S1-06)."""
    vault = _Vault()
    registry = _registry(server, vault)

    registry.initialize_provider("mine", KEY)
    registry.deinitialize_provider("mine")

    assert vault.keys == {"mine": KEY}
    registry.initialize_provider("mine")
    assert registry.is_provider_initialized("mine")


def test_a_manager_may_be_filled_later(server: Loopback) -> None:
    """An empty mapping is a manager, too: what is put in counts with the next call (S1-26)."""
    server.always(reply("hi"))
    keys: dict[str, str] = {}
    registry = _registry(server, keys)
    llm = named_connector("mine", registry=registry)
    with pytest.raises(MissingKeyError):
        llm.call_llm("q")

    keys["mine"] = KEY
    llm.call_llm("q")

    assert _sent(server) == [KEY]


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
        (_fails, r"failed for `mine` \(RuntimeError\)"),
    ],
)
def test_managers_that_fail(server: Loopback, manager: Any, told: str) -> None:
    """What a manager gives instead of a key is named, and no key with it (S1-06, S1-07)."""
    Secret(KEY)
    registry = _registry(server, manager)

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

    llm = named_connector("mine", registry=_registry(server, slow))
    llm.call_llm("q")

    assert asked == [False]
    assert _sent(server) == [KEY]


# The order of the places


def test_the_order(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ring: dict[Any, str]
) -> None:
    """Each place is asked where all before it have nothing, in the documented order (S1-06)."""
    server.always(reply("hi"))
    keys = {"mine": "key-of-the-manager"}
    registry = _registry(server, keys)
    file = _key_file(tmp_path / "key", "key-of-the-file\n")
    ring["llmport_magic", "mine"] = "key-of-the-ring"
    configure(provider="mine", api_key_file=str(file), keyring=True)
    monkeypatch.setenv("LLMPORT_LLM__MINE__API_KEY", "key-of-our-variable")
    monkeypatch.setenv("MINE_KEY", "key-of-the-variable")
    registry.initialize_provider("mine", "key-that-was-given")

    def asked(**settings: Any) -> str:
        connector_for(resolve(**settings), registry).call_llm("q")
        return _sent(server)[-1]

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
    registry = _registry(server)
    monkeypatch.setenv("MINE_KEY", KEY)
    configure(provider="mine", api_key_env=["TEAM_KEY"])

    with pytest.raises(MissingKeyError, match="set `TEAM_KEY` in"):
        connector_for(resolve(), registry)
    monkeypatch.setenv("TEAM_KEY", OTHER)
    connector_for(resolve(), registry).call_llm("q")

    assert _sent(server) == [OTHER]


# Just in time


@pytest.mark.parametrize("made", ["once", "anew"])
def test_just_in_time(server: Loopback, monkeypatch: pytest.MonkeyPatch, made: str) -> None:
    """A key that comes later counts with the next call, and one that goes is missed (S1-26)."""
    server.always(reply("hi"))
    registry = _registry(server)
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

    assert _sent(server) == [KEY, OTHER]


def test_a_connector_that_is_kept_follows_its_registry(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One connector serves every key that its provider has in turn (S1-26)."""
    server.always(reply("hi"))
    registry = _registry(server)
    monkeypatch.setenv("MINE_KEY", KEY)
    llm = connector_for(resolve(provider="mine"), registry)
    llm.call_llm("q")
    monkeypatch.setenv("MINE_KEY", OTHER)
    llm.call_llm("q")
    registry.initialize_provider("mine", THIRD)
    llm.call_llm("q")

    assert _sent(server) == [KEY, OTHER, THIRD]
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
        registry = _registry(server, {"mine": KEY})
        monkeypatch.setenv("MINE_KEY", KEY)
        user = tmp_path / "home" / "config" / "llmport_magic" / "config.toml"
        user.parent.mkdir(parents=True)
        user.write_text(f'[llm.mine]\napi_key_file = "{_key_file(tmp_path / "key")}"\n')
        configure(provider="mine", base_url=elsewhere.url)
        for keys in (registry, _registry(server)):
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


# The key file


def test_a_key_file(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line that is not empty is the key; `~` is the home, and a file may come later."""
    server.always(reply("hi"))
    monkeypatch.setenv("HOME", str(tmp_path))
    configure(provider="mine", api_key_file="~/key")
    llm = named_connector("mine", registry=_registry(server))
    with pytest.raises(ConfigError, match="there is no key file `~/key`"):
        llm.call_llm("q")

    _key_file(tmp_path / "key", f"\ufeff\n  \n {KEY} \nsomething else\n")
    llm.call_llm("q")

    assert _sent(server) == [KEY]


def _pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: _key_file(path, "\n \n"), "is empty"),
        (lambda path: _key_file(path, f"OPENAI_API_KEY={KEY}\n"), "must hold the key alone"),
        (lambda path: _key_file(path, "two words\n"), "must hold the key alone"),
        (lambda path: _key_file(path, "schlüssel-0123456789\n"), "must hold the key alone"),
        (lambda path: _key_file(path).chmod(0o644), r"open to other users.*`chmod 600 "),
        (lambda path: _key_file(path).chmod(0o640), r"open to other users.*`chmod 600 "),
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
    registry = _registry(server)

    with pytest.raises(ConfigError, match=told) as at:
        connector_for(resolve(provider="mine", api_key_file=str(path)), registry)

    assert str(path) in str(at.value)
    assert KEY not in str(at.value)
    assert server.requests == []


def test_a_key_file_is_for_somebody(tmp_path: Path) -> None:
    """A key file without a provider is given to nobody (S0-12)."""
    with pytest.raises(ConfigError, match=r"`api_key_file` is set by argument.*`provider`"):
        connector_for(resolve(api_key_file=str(_key_file(tmp_path / "key"))))


# A key that is changed while it is in use


def _only(key: str, script: Script, status: int = 401) -> Callable[[Request], Script]:
    def answer(request: Request) -> Script:
        good = request.headers.get("authorization") == f"Bearer {key}"
        return script if good else failure(status, "no such key")

    return answer


def _rotating(path: Path, script: Script, status: int = 401) -> Callable[[Request], Script]:
    """Answer as a provider whose key is changed while the first request is on its way."""

    def answer(request: Request) -> Script:
        _key_file(path, f"{OTHER}\n")
        return _only(OTHER, script, status)(request)

    return answer


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_file_is_read_again(server: Loopback, tmp_path: Path, status: int) -> None:
    """Where the key is refused and the file has another, the request is sent once more (S1-26)."""
    path = _key_file(tmp_path / "key")
    server.always(_rotating(path, reply("hi"), status))
    llm = named_connector("mine", registry=_registry(server), api_key_file=str(path))

    response = bridge.run(llm.complete("q"))

    assert response.content == "hi"
    assert response.metadata["key_renewed"] is True
    assert _sent(server) == [KEY, OTHER]
    llm.call_llm("q")
    assert _sent(server)[2:] == [OTHER]


def test_a_key_file_is_read_again_for_streams_and_lists(server: Loopback, tmp_path: Path) -> None:
    """A stream and a list of models get the newer key, too (S1-26)."""
    path = _key_file(tmp_path / "key")
    llm = named_connector("mine", registry=_registry(server), api_key_file=str(path))
    assert isinstance(llm, LLMProvider)

    server.always(_rotating(path, streamed("h", "i")))
    assert "".join(asyncio.run(pieces_of(llm))) == "hi"
    _key_file(path)
    listed = Script((b'{"data": [{"id": "m"}]}',), 200, {"content-type": "application/json"})
    server.always(_rotating(path, listed))
    assert bridge.run(llm.models()) == ("m",)

    assert _sent(server) == [KEY, OTHER, KEY, OTHER]


def test_a_key_that_stays_wrong_is_not_sent_again(server: Loopback, tmp_path: Path) -> None:
    """The same key is not sent twice, a wrong new one only once; the error names the file."""
    path = _key_file(tmp_path / "key")
    llm = named_connector("mine", registry=_registry(server), api_key_file=str(path))
    server.always(failure(401, "no such key"))
    with pytest.raises(LLMError, match=f"check the key in `{path}`"):
        llm.call_llm("q")
    assert _sent(server) == [KEY]

    def another(_: Request) -> Script:
        _key_file(path, f"key-number-{len(server.requests)}\n")
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
    llm = named_connector("mine", registry=_registry(server), api_key=KEY)

    with pytest.raises(LLMError):
        llm.call_llm("q")

    assert _sent(server) == [KEY]


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

    server.always(_only(OTHER, reply("hi")))
    keyring.set_password("llmport_magic", "mine", KEY)
    registry = _registry(server)
    with pytest.raises(MissingKeyError):
        connector_for(resolve(provider="mine"), registry)

    llm = connector_for(resolve(provider="mine", keyring=True), registry)
    ring["llmport_magic", "mine"] = OTHER
    llm.call_llm("q")

    # It is opened once, and again where the provider refuses what it gave.
    assert _sent(server) == [KEY, OTHER]


def test_the_keyrings_package_is_missing(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error has the line to run, also in lists (S1-06)."""
    found = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "keyring":
            raise ImportError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'llmport-magic\[keyring\]'"):
        connector_for(resolve(provider="mine", keyring=True), _registry(server))


def test_a_keyring_that_does_not_open(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyring that is locked says what to do, and a list shows it instead of failing."""
    import keyring
    from keyring.errors import KeyringLocked

    def locked(*_: str) -> None:
        raise KeyringLocked("denied")

    monkeypatch.setattr(keyring, "get_password", locked)
    with pytest.raises(ConfigError, match=r"KeyringLocked: denied\): unlock it"):
        connector_for(resolve(provider="mine", keyring=True), _registry(server))
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


# The user


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
    registry = _registry(server)
    with pytest.raises(MissingKeyError):
        connector_for(resolve(provider="mine"), registry)
    assert typed == []

    configure(ask_for_key=True)
    for _ in range(2):
        connector_for(resolve(provider="mine"), registry).call_llm("q")
    registry.initialize_provider("mine")

    assert typed == [f"Key for `mine` at {server.url}: "]
    assert _sent(server) == [KEY, KEY]
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
    registry = _registry(server)
    for _ in range(2):
        with pytest.raises(MissingKeyError, match="`MINE_KEY`"):
            connector_for(resolve(provider="mine", ask_for_key=True), registry)

    assert len(asked) == 1


def test_nobody_is_asked_where_nobody_can_answer(
    server: Loopback, typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread and a process without a keyboard ask nobody (S1-26)."""
    registry, failures = _registry(server), []
    settings = resolve(provider="mine", ask_for_key=True)

    def work() -> None:
        try:
            connector_for(settings, registry)
        except MissingKeyError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert (len(failures), typed) == (1, [])

    monkeypatch.undo()
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: PTH123, SIM115 - lives with the test
    with pytest.raises(MissingKeyError):
        connector_for(settings, registry)


def test_the_factory_asks_in_its_callers_thread(server: Loopback, typed: list[str]) -> None:
    """A handler that is made without a key asks for it where the user is (S1-26, S2-09)."""
    server.always(reply("hi"))
    register_provider("mine", base_url=server.url, api_key_vars=["MINE_KEY"])

    llm = asyncio.run(create_llm_handler("mine", "m", ask_for_key=True))

    assert llm.call_llm("q") == "hi"
    assert len(typed) == 1
    assert _sent(server) == [KEY]


def test_writing_a_module_asks(server: Loopback, typed: list[str], tmp_path: Path) -> None:
    """`llmport()` asks for the key before it asks the model, in the cell's own thread (S1-26)."""
    server.always(streamed("```python\n", "answer = 42\n", "```"))
    register_provider("mine", base_url=server.url, default_model="m", api_key_vars=["MINE_KEY"])

    module = api.llmport(
        "asked_for_key", "Set answer to 42.", provider="mine", ask_for_key=True,
        module_dir=str(tmp_path),
    )  # fmt: skip

    assert module.answer == 42
    assert len(typed) == 1
    assert set(_sent(server)) == {KEY}
    assert default_registry().is_provider_initialized("mine")

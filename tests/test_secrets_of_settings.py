"""A planted key in every place where a key can stand: no output and no file has it (X-07)."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from leaking import FORMS, KEY, everything, exits_of, leaks, shown
from loopback import Loopback, failure, reply
from test_comm import FakeComm

from llmport_magic import bridge, configure, get_config
from llmport_magic.errors import ConfigError, LLMError, LLMPortError, MissingKeyError
from llmport_magic.llm import LLMProvider, LLMRegistry, create_llm_factory, register_provider
from llmport_magic.llm.cache import answers_folder
from llmport_magic.llm.registry import connector_for, default_registry
from llmport_magic.llm.shared_limits import runtime_folder
from llmport_magic.notebook import comm
from llmport_magic.notebook.commands import run
from llmport_magic.notebook.configuration import config_lines, trust_lines
from llmport_magic.settings import held_back, project_files, read_settings, resolve
from llmport_magic.settings.factory_file import FOUND as FACTORY_FILES

pytestmark = pytest.mark.usefixtures("own_registry")

PLAIN = "planted-Key0123456789abcdef"


@pytest.fixture(autouse=True)
def exits(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Collect what leaves, and look through it."""
    with exits_of(caplog) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a project's folder, as the working directory."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir(mode=0o700)
    return work


def on_disk(*folders: Path) -> str:
    """Give the names and the bytes of all files below some folders."""
    files = [path for root in folders for path in root.rglob("*") if path.is_file()]
    return "\n".join(f"{path} {path.read_bytes().decode('latin-1')}" for path in files)


# Settings files with a slip

SLIPS = {
    "a.toml": [
        'api_key = "{}',
        "api_key = {}",
        'api_key = "{}" x',
        'api_key = "\\q{}"',
        'api_key = ["{}"]',
        'api_key = "{}"\napi_key = "{}"',
        'headers = "{}"',
        'headers = {{authorization = ["{}"]}}',
        'options = "{}"',
        'base_url = ["https://user:{}@host"]',
        'base_url = "https://user:{}@host"\nprovider = "openai"\napi_key = "k-0123456789"',
        '[llm.openai]\napi_kee = "{}"',
        '[llm.openai]\napi_key_env = "{}"',
        'llm = "{}"',
        '[llm]\nopenai = "{}"',
    ],
    "a.yaml": [
        "api_key: {}: x",
        'api_key: "{}',
        "api_key: *{}",
        "api_key: !{} x",
        "api_key: @{}",
        "- api_key: {}",
        "a: &{} b\nc: &{} d",
        "api_key: {}\n bad: [",
        'api_key: "\\q{}"',
        "{}",
        "? [{}]\n: 1",
        "api_key: {{{}: 1}}",
        "api_key: !!int {}",
        "api_key: !!timestamp {}",
        "api_key: |{}\n x",
        "api_key:\t{}\n\tx: 1",
    ],
    "a.json": [
        '{{"api_key": "{}}}',
        '{{"api_key": {}}}',
        '"{}"',
        '{{"api_key": ["{}"]}}',
        '{{"headers": {{"x-api-key": ["{}"]}}}}',
    ],
    "a.env": [
        'OPENAI_API_KEY="{}',
        "LLMPORT_API_KEE={}",
        "LLMPORT_HEADERS={}",
        'LLMPORT_HEADERS={{"x-api-key": ["{}"]}}',
        "LLMPORT_LLM__OPENAI__API_KEY_ENV={}",
    ],
}


def _readers(path: Path) -> list[Callable[[], Any]]:
    from llmport_magic.llm.project_config import load_project_config

    return [
        lambda: connector_for(resolve(config=str(path), provider="openai")),
        lambda: LLMProvider.from_config(None, "openai", load_project_config(path)),
        lambda: create_llm_factory(config=str(path), provider="openai"),
        lambda: LLMRegistry().load_provider_file(path),
    ]


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in SLIPS.items() for text in texts]
)
def test_a_slip_in_a_file_shows_nothing_of_the_file(name: str, text: str, folder: Path) -> None:
    """What is wrong is told with its line and without the text, which may hold a key (X-07)."""
    path = folder / name
    path.write_text(text.format(PLAIN, PLAIN), "utf-8")
    told = []
    for read in _readers(path):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                read()
            except LLMPortError as error:
                told.append(str(error))
        told += [str(warning.message) for warning in warned]

    assert told
    assert [line for line in told if PLAIN in line] == []


@pytest.mark.parametrize("ending", SLIPS)
def test_a_file_that_cannot_be_read_is_in_no_traceback(ending: str, folder: Path) -> None:
    """Where one line has a slip a traceback with locals has none of the other lines (X-07)."""
    path = folder / ending
    path.write_text(SLIPS[ending][0].format(PLAIN), "utf-8")
    if ending == "a.env":
        path.write_text(f"OPENAI_API_KEY={PLAIN}\nGROQ_API_KEY='x", "utf-8")

    with pytest.raises(ConfigError, match="not valid") as caught:
        read_settings(path)

    assert PLAIN not in everything(caught.value)


def test_a_key_in_the_place_of_a_variables_name_is_not_shown(folder: Path) -> None:
    """Who writes the key itself into `api_key_env` is told so, without it (X-07)."""
    for key in (PLAIN, "gsk_" + "a1B2" * 10):
        with pytest.raises(ConfigError, match="the name of the variable") as caught:
            configure(api_key_env=key)
        assert key not in str(caught.value)


# Keys in good files, and what the magics say of them


def _plant(folder: Path) -> None:
    """Write a file of every kind with the key in every place for one."""
    text = json.dumps(KEY)
    (folder / "llmport.toml").write_text(
        f'api_key = {text}\nbase_url = "http://127.0.0.1:9/v1"\n'
        f"headers = {{authorization = {text}, x-token = {text}}}\n"
        f'[llm.groq]\napi_key = {text}\nbase_url = "http://127.0.0.1:9/v1"\n'
        f"headers = {{cookie = {text}}}\n"
    )
    (folder / "pyproject.toml").write_text(f"[tool.llmport.llm.openai]\napi_key = {text}\n")
    (folder / "loom.toml").write_text(f"[llm.deepseek]\napi_key = {text}\n")
    found = folder / FACTORY_FILES[0]
    found.parent.mkdir(parents=True, exist_ok=True)
    found.write_text(json.dumps({"openai_settings_for_factory": {"api_key_override": KEY}}))
    (folder / ".env").write_text(
        "".join(
            f"{name}='{KEY}'\n"
            for name in ("OPENAI_API_KEY", "LLMPORT_API_KEY", "LLMPORT_LLM__GROQ__API_KEY")
        )
    )


def test_no_magic_shows_a_key_of_a_projects_files(folder: Path, exits: list[str]) -> None:
    """`%llmport config` and `trust` show every field that waits, and no key in it (X-07)."""
    _plant(folder)
    names = ["openai", "groq", "deepseek"]
    for words in ([], ["all"], ["all", "--forget"]):
        exits += trust_lines(words)
        exits += [*config_lines([]), *config_lines(names)]
        exits += [shown(get_config()), shown(resolve()), shown(read_settings(folder / ".env"))]
        for path in project_files():
            exits.append(shown(held_back(path)))
        exits.append(on_disk(folder.parent / "home"))

    assert len(project_files()) == 5
    assert "********" in "\n".join(exits)


@pytest.mark.parametrize("line", ["", "config", "config openai", "models", "models openai"])
def test_no_magic_shows_a_key_that_is_set(
    line: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    exits: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No line magic shows a key of the environment, of `configure()` or of a header (X-07)."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    headers = {"authorization": f"Bearer {KEY}"}
    configure(provider="openai", llm={"groq": {"api_key": KEY, "headers": headers}})

    command, *words = line.split(" ")
    run(command, words, None)
    exits.append("".join(capsys.readouterr()))

    assert "openai" in exits[0]


def test_the_panel_gets_no_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch, exits: list[str]
) -> None:
    """What the panel is told when it opens holds no key of any source (X-07)."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    configure(provider="openai", fallback=["groq"], llm={"groq": {"api_key": KEY}})
    link = FakeComm()
    comm._opened(link, None)
    link.say({"v": 1, "type": "hello", "id": "h", "cells": True})
    link.wait_for("ready")
    exits.append(json.dumps(link.sent, default=str))

    assert "openai" in exits[0]
    assert "groq" in exits[0]


def test_an_exported_provider_has_no_key(folder: Path, exits: list[str]) -> None:
    """A provider's file leaves headers with secrets out, also by an odd name (X-07)."""
    headers = {"authorization": f"Bearer {KEY}", "x-api-key": KEY, "x-title": "notes"}
    register_provider("mine", base_url="http://127.0.0.1:9/v1", headers=headers, default_model="m")
    default_registry().to_provider_files(folder / "out")
    exits.append(on_disk(folder / "out"))
    exits.append(shown(default_registry().provider("mine"), default_registry()))

    assert "x-title: notes" in exits[0]
    assert "the header x-api-key" in exits[0]


def test_no_rule_of_the_administrator_shows_a_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch, exits: list[str]
) -> None:
    """A refusal and a bad rule name file and line, and no key that stands beside them (X-07)."""
    monkeypatch.setattr("sys.prefix", str(folder))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    path = folder / "etc" / "llmport" / "policy.toml"
    path.parent.mkdir(parents=True)
    for rule in ('providers = ["groq"]', 'base_urls = ["https://corp.example"]', "providrs = []"):
        path.write_text(f"{rule}\n[settings.llm.openai]\napi_key = {json.dumps(KEY)}\n")
        with pytest.raises(ConfigError) as caught:
            connector_for(resolve(provider="openai"))
        assert str(path) in str(caught.value)
        exits.append(everything(caught.value))


def test_settings_do_not_carry_the_environment(
    monkeypatch: pytest.MonkeyPatch, exits: list[str]
) -> None:
    """Settings, their layers and what pickles of them show no variable's value (X-07)."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    settings = resolve()
    exits.append(shown(settings, settings.layers, *settings.layers, copy.deepcopy(settings)))
    exits.append(pickle.dumps(settings.layers).decode("latin-1"))

    assert any(layer.variables.get("OPENAI_API_KEY") == KEY for layer in settings.layers)
    assert pickle.loads(pickle.dumps(settings.layers)) == settings.layers


# Places that hold a key by itself


def _file(folder: Path, text: str, mode: int = 0o600) -> dict[str, Any]:
    path = folder / "key"
    path.write_text(text)
    path.chmod(mode)
    return {"api_key_file": str(path)}


@pytest.mark.parametrize(
    "given",
    [
        lambda folder: _file(folder, f"{KEY} and more\n"),
        lambda folder: _file(folder, f"OPENAI_API_KEY={KEY}\n"),
        lambda folder: _file(folder, f"{KEY}\n", 0o644),
    ],
)
def test_no_error_of_a_key_file_shows_the_key(
    given: Callable[[Path], dict[str, Any]], folder: Path, exits: list[str]
) -> None:
    """A key file that cannot be used is told without what is in it (X-07)."""
    with pytest.raises(ConfigError, match="the key file") as caught:
        connector_for(resolve(provider="openai", **given(folder)))
    if (folder / "key").stat().st_mode & 0o077:
        # Nobody read it, so nobody knows that it is one.
        assert leaks(str(caught.value)) == []
    exits.append(everything(caught.value))


def test_no_error_of_a_keyring_or_manager_shows_the_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch, exits: list[str]
) -> None:
    """A keyring and a manager that fail with a key in their words lose it (X-07)."""
    import keyring
    from keyring.errors import KeyringError

    configure(api_key=KEY)
    resolve()

    def fails(*_: str) -> str:
        raise KeyringError(f"locked: {KEY} {FORMS['base64']}")

    def manager(_: str) -> str:
        raise RuntimeError(f"refused: {KEY}", {"sent": [KEY]})

    monkeypatch.setattr(keyring, "get_password", fails)
    registries = [LLMRegistry(), LLMRegistry.create_default(credential_manager=manager)]
    for registry in registries:
        with pytest.raises(ConfigError) as caught:
            connector_for(resolve(provider="groq", keyring=True), registry)
        exits.append(everything(caught.value))
        exits.append(shown(registry, registry.credentials))


# Calls: the router, what it remembers, and what lies on the disk afterwards


def _two(server: Loopback, second: Loopback, **more: Any) -> None:
    both = {
        "openai": {"base_url": server.url, "api_key": KEY, "attempts": 1, "model": "m"},
        "groq": {"base_url": second.url, "api_key": KEY, "attempts": 1, "model": "m"},
    }
    configure(provider="openai", fallback=["groq"], llm=both, **more)


@pytest.mark.parametrize("form", FORMS)
def test_no_failover_shows_the_key(
    form: str, server: Loopback, folder: Path, exits: list[str]
) -> None:
    """Errors, attempts, warnings, health and the look at health hold no quoted key (X-07)."""
    said = FORMS[form]
    with Loopback() as second:
        _two(server, second)
        factory = create_llm_factory()
        server.always(failure(500, f"out: {said}", headers={"x-request-id": said}))
        second.script(reply(f"so: {said}"), failure(503, said), failure(401, said))
        answer = bridge.run(factory.call("q"))
        exits.append(shown(answer, answer.metadata, answer.raw))
        assert [each["provider"] for each in answer.metadata["attempts"]] == ["openai", "groq"]
        for _ in range(2):
            with pytest.raises(LLMError) as caught:
                bridge.run(factory.call("q"))
            exits.append(everything(caught.value))
            exits.append(shown(caught.value.attempts_made))
            assert caught.value.attempts_made
        server.script(failure(500, said))
        second.script(failure(401, said))
        looked = bridge.run(factory.health_check())
        assert looked["providers"]["openai"]["consecutive_failures"] == 3
        exits.append(shown(looked, factory) + json.dumps(looked))


def test_nothing_that_is_kept_holds_the_key(
    server: Loopback, folder: Path, tmp_path: Path, exits: list[str]
) -> None:
    """Cached answers and the shared limits' file hold no key, in name or content (X-07)."""
    with Loopback() as second:
        _two(server, second, cache=True, shared_limits=True, requests_per_minute=6000)
        factory = create_llm_factory()
        for number, form in enumerate(["nothing", *FORMS.values()]):
            server.script(reply(f"so: {form}"))
            exits.append(shown(bridge.run(factory.call(f"q{number}"))))
    exits.append(on_disk(tmp_path))

    assert list(answers_folder().glob("*.json"))
    assert list(runtime_folder().glob("limits-*"))


def test_a_missing_key_names_only_its_variable(folder: Path, exits: list[str]) -> None:
    """The error for one provider has no key of another (X-07, S0-12)."""
    configure(llm={"openai": {"api_key": KEY}})
    with pytest.raises(MissingKeyError, match="GROQ_API_KEY") as caught:
        connector_for(resolve(provider="groq"))
    exits.append(everything(caught.value))
